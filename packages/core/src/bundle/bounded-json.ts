import { CdhError } from "../errors.ts";

/** Deeper than anything a composer or crictl writes; a printer of JSON recurses once per level. */
export const JSON_DEPTH_MAX = 64;

/**
 * Parse JSON from a bundle: UTF-8, and nested no deeper than {@link JSON_DEPTH_MAX}.
 * @param what names the document in the message
 * @throws {CdhError} CDH_BUNDLE_JSON
 */
export function parseBoundedJson(bytes: Uint8Array, what: string): unknown {
  if (depthOf(bytes) > JSON_DEPTH_MAX)
    throw new CdhError(
      "CDH_BUNDLE_JSON",
      `cannot read ${what}: its JSON is nested deeper than ${JSON_DEPTH_MAX} levels`,
    );
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    // The parser quotes the text it stumbled over; the position is enough, and the text may be hostile or long.
    const position =
      error instanceof SyntaxError ? /position \d+/.exec(error.message)?.[0] : "bytes that are not UTF-8";
    throw new CdhError(
      "CDH_BUNDLE_JSON",
      `cannot read ${what}: invalid JSON${position === undefined ? "" : ` (${position})`}`,
      { cause: error },
    );
  }
}

/** Parse JSON from a bundle; undefined when it cannot be. */
export function tryParseBoundedJson(bytes: Uint8Array): unknown {
  try {
    return parseBoundedJson(bytes, "it");
  } catch {
    return undefined;
  }
}

function depthOf(bytes: Uint8Array): number {
  let depth = 0;
  let deepest = 0;
  let inText = false;
  for (let index = 0; index < bytes.length; index += 1) {
    const byte = bytes[index];
    if (inText) {
      if (byte === 0x5c) index += 1;
      else if (byte === 0x22) inText = false;
    } else if (byte === 0x22) inText = true;
    else if (byte === 0x5b || byte === 0x7b) {
      depth += 1;
      if (depth > deepest) deepest = depth;
    } else if (byte === 0x5d || byte === 0x7d) depth -= 1;
  }
  return deepest;
}
