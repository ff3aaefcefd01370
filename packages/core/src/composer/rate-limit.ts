import { CdhError } from "../base/errors.ts";
import { parseDuration } from "../base/units.ts";

/** So many bundles in a window of time. */
export interface RateLimit {
  count: number;
  /** Milliseconds. */
  windowMs: number;
}

/**
 * Read `5/1h`, or `0` for no limit. The empty text is refused: a setting that was left empty must not lift the limit.
 * @throws {CdhError} CDH_CONFIG_INVALID
 */
export function parseRateLimit(text: string): RateLimit | undefined {
  const trimmed = text.trim();
  if (trimmed === "0") return undefined;
  const match = /^(\d+)\s*\/\s*(.+)$/.exec(trimmed);
  if (match?.[1] === undefined || match[2] === undefined)
    throw new CdhError("CDH_CONFIG_INVALID", "not a rate limit: write 5/1h, or 0 for none");
  // `5/h` means the same as `5/1h`.
  const window = /^[a-z]/i.test(match[2]) ? `1${match[2]}` : match[2];
  const windowMs = parseDuration(window);
  return Number(match[1]) === 0 ? undefined : { count: Number(match[1]), windowMs };
}
