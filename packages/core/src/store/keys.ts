import { CdhError } from "../base/errors.ts";

/** S3 takes keys of at most so many bytes. */
export const KEY_MAX_BYTES = 1024;

/**
 * Check that a key can be an object in a bucket and a file in a directory alike: parts between single `/`, none hidden
 * (a leading dot is the directory store's own), no control characters.
 * @throws {CdhError} CDH_STORE_REFUSED
 */
export function checkKey(key: string): string {
  const bad =
    key === "" ||
    Buffer.byteLength(key) > KEY_MAX_BYTES ||
    !key.isWellFormed() ||
    // eslint-disable-next-line no-control-regex -- control characters are exactly what is refused
    /[\u0000-\u001f\u007f]/.test(key) ||
    key.split("/").some((part) => part === "" || part.startsWith(".") || Buffer.byteLength(part) > 255);
  if (bad) throw new CdhError("CDH_STORE_REFUSED", `cannot store ${JSON.stringify(key)}: not a usable key`);
  return key;
}

/** Make a text usable as one part of a key: what {@link checkKey} refuses becomes `_`. */
export function keyPart(text: string): string {
  const safe = text
    .toWellFormed()
    // eslint-disable-next-line no-control-regex -- control characters are exactly what must go
    .replaceAll(/[/\\\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069\ufffd]/g, "_")
    .replace(/^\.+/, "_");
  return safe === "" ? "_" : safe;
}

const SURROGATE = /[\ud800-\udfff]/;

/** Order keys as S3 does: by their UTF-8 bytes. */
export function compareKeys(a: string, b: string): number {
  // JavaScript orders by UTF-16, which differs only where surrogates are; a hundred thousand keys are sorted at once.
  if (!SURROGATE.test(a) && !SURROGATE.test(b)) return a === b ? 0 : a < b ? -1 : 1;
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
