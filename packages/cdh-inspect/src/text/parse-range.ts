import { CdhError } from "@cdh/core/errors";
import { parseBytes } from "@cdh/core/units";

/** A part of something: from where, how much; `length` is undefined for the rest. */
export interface Range<Offset> {
  start: Offset;
  length: number | undefined;
}

/** Nobody reads more than this through a pipe by accident, and it stays a safe integer. */
const LENGTH_MAX = Number.MAX_SAFE_INTEGER;

/**
 * Read `START+LENGTH`, `START-END` or `START`; numbers are decimal, hexadecimal with `0x`, or with a unit (`64Ki`).
 * @throws {CdhError} CDH_CONFIG_INVALID
 */
export function parseRange(text: string): Range<bigint> {
  const match = /^([0-9a-zA-Z.]+)(?:([+-])([0-9a-zA-Z.]+))?$/.exec(text.trim());
  if (match === null) throw notARange(text);
  const start = parseNumber(match[1] ?? "", text);
  if (match[3] === undefined) return { start, length: undefined };
  const second = parseNumber(match[3], text);
  const length = match[2] === "+" ? second : second - start;
  if (length < 0n || length > BigInt(LENGTH_MAX)) throw notARange(text);
  return { start, length: Number(length) };
}

function parseNumber(text: string, whole: string): bigint {
  if (/^0x[0-9a-f]{1,16}$/i.test(text)) return BigInt(text);
  try {
    return BigInt(parseBytes(text));
  } catch {
    throw notARange(whole);
  }
}

function notARange(text: string): CdhError {
  return new CdhError("CDH_CONFIG_INVALID", `not a range: ${JSON.stringify(text)}`, {
    hint: "START+LENGTH or START-END, such as 0+64Ki or 0x7f0000001000+256",
  });
}
