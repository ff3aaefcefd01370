import { CdhError } from "../base/errors.ts";
import { parseBytes } from "../base/units.ts";

/** A part of a file system, 0 to 1. */
interface Fraction {
  fraction: number;
}

/** Space on a file system: bytes, or a fraction of it. */
export type Space = { bytes: number } | Fraction;

/** Files that a file system can still hold: a number, or a fraction of all. */
export type Inodes = { count: number } | Fraction;

/** Read `1Gi`, `0` or `10%`. @throws {CdhError} CDH_CONFIG_INVALID */
export function parseSpace(text: string): Space {
  return parseFraction(text) ?? { bytes: parseBytes(text) };
}

/** Read `100000`, `0` or `6%`. @throws {CdhError} CDH_CONFIG_INVALID */
export function parseInodes(text: string): Inodes {
  const fraction = parseFraction(text);
  if (fraction !== undefined) return fraction;
  if (!/^\s*\d{1,15}\s*$/.test(text)) throw new CdhError("CDH_CONFIG_INVALID", "neither a number nor a percentage");
  return { count: Number(text) };
}

function parseFraction(text: string): Fraction | undefined {
  const percent = /^\s*(\d+(?:\.\d+)?)\s*%\s*$/.exec(text);
  if (percent === null) return undefined;
  const fraction = Number(percent[1]) / 100;
  if (fraction > 1) throw new CdhError("CDH_CONFIG_INVALID", "more than 100 %");
  return { fraction };
}
