/** A JSON object of unknown shape. */
export type JsonObject = Record<string, unknown>;

/** Give the value as an object, or undefined when it is none. */
export function asObject(value: unknown): JsonObject | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as JsonObject) : undefined;
}

/** Give the objects of an array; undefined and everything else give none. */
export function asObjects(value: unknown): JsonObject[] {
  return Array.isArray(value) ? value.map(asObject).filter((item) => item !== undefined) : [];
}

/** Follow keys into nested objects. */
export function dig(value: unknown, ...keys: string[]): unknown {
  let current = value;
  for (const key of keys) {
    const object = asObject(current);
    current = object !== undefined && Object.hasOwn(object, key) ? object[key] : undefined;
  }
  return current;
}

/** Follow keys to a text that is not empty. */
export function digText(value: unknown, ...keys: string[]): string | undefined {
  const found = dig(value, ...keys);
  return typeof found === "string" && found !== "" ? found : undefined;
}

/** Follow keys to a whole number, which protobuf's JSON may write as text. */
export function digCount(value: unknown, ...keys: string[]): number | undefined {
  const found = dig(value, ...keys);
  const number = typeof found === "string" && /^\d{1,15}$/.test(found) ? Number(found) : found;
  return typeof number === "number" && Number.isSafeInteger(number) && number >= 0 ? number : undefined;
}

/** Follow keys to an object of texts: labels, annotations. Other values are left out. */
export function digTexts(value: unknown, ...keys: string[]): Record<string, string> {
  const object = asObject(dig(value, ...keys)) ?? {};
  return Object.fromEntries(
    Object.entries(object).filter((entry): entry is [string, string] => typeof entry[1] === "string"),
  );
}

/** Parse a JSON object; undefined when the text is none. */
export function tryParseObject(text: string): JsonObject | undefined {
  try {
    return asObject(JSON.parse(text));
  } catch {
    return undefined;
  }
}

/** Leave out what is undefined, so that absent means absent. */
export function compact<T extends object>(object: { [K in keyof T]: T[K] | undefined }): T {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as T;
}
