/** An object of a manifest as YAML gives it. */
export type Fields = Record<string, unknown>;

/** Says that a rendered pod holds something that the translation does not know. */
export class UnknownField extends Error {}

/**
 * Take an object of which every field is known.
 * @param known names that may be there
 * @throws {UnknownField} when it is no object, or holds another name: the suite would test something else than the chart
 */
export function fieldsOf(value: unknown, path: string, known: readonly string[]): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new UnknownField(`${path} is no object`);
  const strange = Object.keys(value).filter((name) => !known.includes(name));
  if (strange.length > 0) throw new UnknownField(`${path} has ${strange.join(", ")}, which is not translated`);
  return value as Fields;
}

/** Take a list; an absent one is empty. @throws {UnknownField} when it is something else */
export function listOf(value: unknown, path: string): unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw new UnknownField(`${path} is no list`);
  return value;
}

/** Take a text. @throws {UnknownField} when it is something else */
export function textOf(value: unknown, path: string): string {
  if (typeof value !== "string") throw new UnknownField(`${path} is no text`);
  return value;
}

/** Take a text that may be absent. @throws {UnknownField} when it is something else */
export function optionalText(value: unknown, path: string): string | undefined {
  return value === undefined || value === null ? undefined : textOf(value, path);
}

/** Take true or false; absent is undefined. @throws {UnknownField} when it is something else */
export function flagOf(value: unknown, path: string): boolean | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "boolean") throw new UnknownField(`${path} is neither true nor false`);
  return value;
}

/** Take a whole number; absent is undefined. @throws {UnknownField} when it is something else */
export function numberOf(value: unknown, path: string): number | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "number" || !Number.isInteger(value)) throw new UnknownField(`${path} is no whole number`);
  return value;
}

/** Take one of several words. @throws {UnknownField} when it is another */
export function wordOf<T extends string>(value: unknown, path: string, words: readonly T[]): T {
  const found = words.find((word) => word === value);
  if (found === undefined) throw new UnknownField(`${path} is ${JSON.stringify(value)}, none of ${words.join(", ")}`);
  return found;
}
