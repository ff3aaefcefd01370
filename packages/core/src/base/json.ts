/** Bounds on one JSON document. */
export interface JsonLimits {
  /** UTF-8 bytes of the text. */
  bytes: number;
  /** Levels of objects and arrays within each other; a plain value has 0. */
  depth: number;
  /** Bytes of {@link JSON_ELEMENT_BYTES} outside of strings. */
  elements: number;
}

/**
 * What counts as an element of a JSON text, outside of its strings: each `{`, each `[` and each `,`. One pass over the
 * bytes counts them, and a parser makes at most two values for each.
 */
export const JSON_ELEMENT_BYTES: readonly number[] = [0x7b, 0x5b, 0x2c];

/** Bounds on the JSON of other programs, where nothing narrower is known. */
export const JSON_LIMITS: JsonLimits = { bytes: 16 * 1024 * 1024, depth: 64, elements: 200_000 };

/** Says why a text was not parsed. Its message never quotes the text, which may be hostile or long. */
export class JsonRefused extends Error {
  override readonly name = "JsonRefused";
}

/**
 * Parse JSON that others wrote. Its bytes, its depth and the number of its elements are counted in one pass before
 * anything is made of it: 16 KiB that unpack to millions of empty objects would take a gigabyte. It is the one place that
 * calls `JSON.parse`.
 * @param source UTF-8 bytes, or a text
 * @throws {JsonRefused} when it is beyond the limits, not UTF-8, or no JSON
 */
export function parseJson(source: Uint8Array | string, limits: JsonLimits = JSON_LIMITS): unknown {
  checkExtent(source, limits);
  let text: string;
  try {
    text = typeof source === "string" ? source : new TextDecoder("utf-8", { fatal: true }).decode(source);
  } catch (error) {
    throw new JsonRefused("invalid JSON (bytes that are not UTF-8)", { cause: error });
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    const position = error instanceof SyntaxError ? /position \d+/.exec(error.message)?.[0] : undefined;
    throw new JsonRefused(`invalid JSON${position === undefined ? "" : ` (${position})`}`);
  }
}

/** Parse JSON that others wrote; undefined when it is none, or beyond the limits. */
export function tryParseJson(source: Uint8Array | string, limits: JsonLimits = JSON_LIMITS): unknown {
  try {
    return parseJson(source, limits);
  } catch {
    return undefined;
  }
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const KIND_OPEN = 1;
const KIND_CLOSE = 2;
const KIND_ELEMENT = 4;

/** What each byte means outside of strings, as sums of the kinds above. */
const KINDS = new Uint8Array(256);
for (const byte of [0x7b, 0x5b]) KINDS[byte] = KIND_OPEN;
for (const byte of [0x7d, 0x5d]) KINDS[byte] = KIND_CLOSE;
for (const byte of JSON_ELEMENT_BYTES) KINDS[byte] = (KINDS[byte] ?? 0) + KIND_ELEMENT;

/** @throws {JsonRefused} */
function checkExtent(source: Uint8Array | string, limits: JsonLimits): void {
  const isText = typeof source === "string";
  // A text has at least one byte for each unit: what is longer than allowed need not be measured.
  const sizeBytes = isText && source.length <= limits.bytes ? Buffer.byteLength(source) : source.length;
  if (sizeBytes > limits.bytes) throw new JsonRefused(`its JSON takes more than ${limits.bytes} bytes`);
  const { length } = source;
  let depth = 0;
  let elements = 0;
  let inString = false;
  for (let index = 0; index < length; index += 1) {
    const code = isText ? source.charCodeAt(index) : (source[index] ?? 0);
    if (inString) {
      if (code === BACKSLASH) index += 1;
      else if (code === QUOTE) inString = false;
      continue;
    }
    if (code === QUOTE) inString = true;
    const kind = code < 256 ? (KINDS[code] ?? 0) : 0;
    if (kind === 0) continue;
    if ((kind & KIND_ELEMENT) !== 0) elements += 1;
    if ((kind & KIND_OPEN) !== 0) depth += 1;
    if ((kind & KIND_CLOSE) !== 0) depth -= 1;
    if (depth > limits.depth) throw new JsonRefused(`its JSON is nested deeper than ${limits.depth} levels`);
    if (elements > limits.elements) throw new JsonRefused(`its JSON has more than ${limits.elements} elements`);
  }
}
