import { tryParseJson } from "../base/json.ts";
import { tryRecord, type JsonObject } from "../base/records.ts";

/** Give the objects of an array; undefined and everything else give none. */
export function asObjects(value: unknown): JsonObject[] {
  return Array.isArray(value) ? value.map(tryRecord).filter((item) => item !== undefined) : [];
}

/** Follow keys into nested objects. */
export function dig(value: unknown, ...keys: string[]): unknown {
  let current = value;
  for (const key of keys) {
    const object = tryRecord(current);
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
  const object = tryRecord(dig(value, ...keys)) ?? {};
  return Object.fromEntries(
    Object.entries(object).filter((entry): entry is [string, string] => typeof entry[1] === "string"),
  );
}

/** Parse a JSON object; undefined when the text is none. */
export function tryParseObject(text: string): JsonObject | undefined {
  return tryRecord(tryParseJson(text));
}
