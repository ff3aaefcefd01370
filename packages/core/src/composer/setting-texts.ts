import { CdhError } from "../base/errors.ts";
import { tryParseSignal } from "../base/signals.ts";
import type { Compression } from "../bundle/manifest.ts";
import { NAME_VARIABLES, renderName, type NameVariables } from "../bundle/naming.ts";
import { parsers } from "../service/config.ts";
import { tryParseLogLevel, type LogLevel } from "../service/log.ts";

// Readers of single settings of the composer. Each throws a CdhError (CDH_CONFIG_INVALID) that says what was expected.

/** Which files of /proc/<pid> go into the bundle. */
export type ProcInfo = "none" | "facts" | "environ";

/** A watch renews its lease every minute, and a node may be slow for some of them. */
const WATCH_LEASE_MIN_MS = 10 * 60_000;

/** Read a log level's name. */
export function parseLogLevel(text: string): LogLevel {
  return tryParseLogLevel(text) ?? refuse("none of trace, debug, info, warn, error, off");
}

/** Read COMPRESSION. IBM's switch was true or false. The empty text is neither: it must not turn compression off. */
export function parseCompression(text: string): Compression {
  const lower = text.trim().toLowerCase();
  if (lower === "zstd" || lower === "deflate" || lower === "none") return lower;
  return parseSwitch(lower, "zstd, deflate, none") ? "deflate" : "none";
}

/** Read INCLUDE_PROC_INFO. IBM's switch was true or false for all five files; environ is now a choice of its own, because it holds secrets. */
export function parseProcInfo(text: string): ProcInfo {
  const lower = text.trim().toLowerCase();
  if (lower === "environ" || lower === "none" || lower === "facts") return lower;
  parseSwitch(lower, "none, facts, environ");
  return "facts";
}

function parseSwitch(text: string, names: string): boolean {
  try {
    if (text !== "") return parsers.boolean(text);
  } catch {
    // The names are said as well.
  }
  return refuse(`none of ${names}, true, false`);
}

/** Check FILENAME_TEMPLATE by rendering it. */
export function parseTemplate(text: string): string {
  const sample = Object.fromEntries(NAME_VARIABLES.map((name) => [name, name])) as NameVariables;
  const { problem } = renderName(text, sample);
  return problem === undefined ? text : refuse(problem.replace(/^FILENAME_TEMPLATE: /, ""));
}

/** Read names and numbers of signals. @returns the numbers */
export function parseSignals(text: string): number[] {
  return parsers.list(text).map((name) => tryParseSignal(name) ?? refuse(`${name} is no signal`));
}

/** Read a duration of ten minutes or more, or 0. @returns milliseconds */
export function parseWatchLease(text: string): number {
  const ms = parsers.durationFromSeconds(text);
  return ms === 0 || ms >= WATCH_LEASE_MIN_MS ? ms : refuse("shorter than 10m");
}

function refuse(reason: string): never {
  throw new CdhError("CDH_CONFIG_INVALID", reason);
}
