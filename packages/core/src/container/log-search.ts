import { parseLogLine } from "./log-lines.ts";

/** What is looked for in a container's log. */
export interface LogSearch {
  /** One of these stands in each line that is looked for. */
  needles: readonly string[];
  /** How much a line says: 0 nothing, 1 little, 2 all. */
  weigh: (line: string) => number;
  /** Lines behind the one that is found, of the same stream. */
  following: number;
  /** When it was written: epoch milliseconds. Lines that do not tell their time are not taken. */
  fromMs: number;
  untilMs: number;
}

const NEWLINE = 10;
/** Longest line that is looked at, and longest that is given, in bytes. */
const LINE_MAX_BYTES = 64 * 1024;
const GIVEN_MAX_BYTES = 4096;
/** Lines with one needle that are looked at, the last first: a log may be full of it. */
const TRIES_MAX = 500;
/** Lines that are passed by for those of the same stream. */
const PASSED_MAX = 200;

/**
 * Find the last line that says most, and what follows it. Only places of the needles are looked at, and no line twice, so
 * that a log of megabytes costs a few milliseconds; a hostile one is weighed once at most.
 * @param bytes lines of a log file, as they lie in it
 * @returns undefined when there is none; lines are text as the container wrote it
 */
export function findInLog(bytes: Buffer, search: LogSearch): string[] | undefined {
  const weights = new Map<number, number>();
  let best: { weight: number; start: number; end: number } | undefined;
  for (const needle of search.needles) {
    const bound = bytes.length;
    for (let tries = 0, before = bound; tries < TRIES_MAX && before > 0; tries += 1) {
      const at = bytes.lastIndexOf(needle, before - 1);
      if (at === -1) break;
      const start = bytes.lastIndexOf(NEWLINE, at) + 1;
      const newline = bytes.indexOf(NEWLINE, at);
      const end = newline === -1 ? bytes.length : newline;
      before = start - 1;
      const weight = weights.get(start) ?? weigh(bytes, start, end, search);
      weights.set(start, weight);
      if (weight === 0) continue;
      const isBetter = best === undefined || weight > best.weight || (weight === best.weight && start > best.start);
      if (isBetter) best = { weight, start, end };
      if (weight === 2) break;
    }
  }
  return best === undefined ? undefined : linesFrom(bytes, best, search.following);
}

function weigh(bytes: Buffer, start: number, end: number, search: LogSearch): number {
  if (end - start > LINE_MAX_BYTES) return 0;
  const { message, atMs } = parseLogLine(bytes.subarray(start, end));
  if (atMs === undefined || atMs < search.fromMs || atMs > search.untilMs) return 0;
  return search.weigh(textOf(message));
}

function linesFrom(bytes: Buffer, found: { start: number; end: number }, following: number): string[] {
  const first = parseLogLine(bytes.subarray(found.start, found.end));
  const lines = [textOf(first.message)];
  let at = found.end + 1;
  for (let passed = 0; at < bytes.length && lines.length <= following && passed < PASSED_MAX; passed += 1) {
    const newline = bytes.indexOf(NEWLINE, at);
    const end = newline === -1 ? bytes.length : newline;
    const { stream, message } = parseLogLine(bytes.subarray(at, Math.min(end, at + LINE_MAX_BYTES)));
    if (stream === first.stream) lines.push(textOf(message));
    at = end + 1;
  }
  return lines;
}

function textOf(message: Buffer): string {
  return message.toString("utf8", 0, GIVEN_MAX_BYTES);
}
