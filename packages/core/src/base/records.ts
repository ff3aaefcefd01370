/** An object of unknown shape, as JSON gives it. */
export type JsonObject = Record<string, unknown>;

/** Tell whether a value is an object with keys: no list, not null. */
export function isRecord(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Give the value as an object, or undefined when it is none. */
export function tryRecord(value: unknown): JsonObject | undefined {
  return isRecord(value) ? value : undefined;
}

/** Leave out what is undefined, so that absent means absent. The keys of what is left keep their order. */
export function compact<T extends object>(object: { [K in keyof T]: T[K] | undefined }): T {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as T;
}
