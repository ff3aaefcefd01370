import { CdhError } from "../base/errors.ts";
import { JSON_LIMITS, parseJson, type JsonLimits } from "../base/json.ts";

/**
 * Parse JSON from a bundle, within the limits of readers.
 * @param what names the document in the message
 * @throws {CdhError} CDH_BUNDLE_JSON
 */
export function parseBoundedJson(bytes: Uint8Array, what: string, limits: JsonLimits = JSON_LIMITS): unknown {
  try {
    return parseJson(bytes, limits);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new CdhError("CDH_BUNDLE_JSON", `cannot read ${what}: ${why}`, { cause: error });
  }
}
