import type { Problem } from "../base/problem.ts";
import type { Crash, CrashFlag, RlimitBytes } from "./crash.ts";
import { decodeExecutablePath } from "./executable-path.ts";

/** IBM's long names. `exe-name` and the others name the same fields as the short letters. */
const LONG_NAMES: Record<string, CrashFlag> = {
  "limit-size": "c",
  "exe-name": "e",
  pid: "p",
  signal: "s",
  timestamp: "t",
  dir: "d",
  hostname: "h",
  pathname: "E",
  timeout: "T",
  "disable-compression": "D",
};

const SHORT_FLAGS = new Set<string>([
  "P",
  "p",
  "i",
  "I",
  "u",
  "g",
  "s",
  "t",
  "c",
  "m",
  "F",
  "h",
  "e",
  "E",
  "d",
  "T",
  "D",
]);

/** Flags whose value the crashed program chooses itself. */
const TEXT_FLAGS = new Set<CrashFlag>(["h", "e", "E"]);

/** First words that a person types; everything else is the kernel's. */
const VERBS = new Set(["replay", "completion", "--version", "--self-test", "--help"]);

/** Words beyond this are dropped: the kernel's line is 127 bytes, and no value of it is longer than a path. */
const MAX_WORDS = 4096;
const MAX_VALUE_LENGTH = 16384;
const MAX_PROBLEMS = 32;

/** 2^64 − 1, the kernel's RLIM_INFINITY. */
const RLIM_INFINITY = 18446744073709551615n;
const MAX_INT = 2147483647;

/**
 * Tell the kernel's command line from a person's. When in doubt it is the kernel's: a core must never be lost to a
 * word that looks like a verb further down.
 */
export function isKernelMode(argv: readonly string[]): boolean {
  return !VERBS.has(argv[0] ?? "");
}

/**
 * Read the kernel's command line into a {@link Crash}. Total: any words whatever give an answer.
 *
 * Kernels before 5.3 expand the pattern first and split it at blanks afterwards, so a process named `x -P=1` can add
 * words of its own. Our line therefore puts the untrusted values last: once `-P` and `-F` have come and an untrusted
 * value has begun, only `-h`, `-e` and `-E` are flags, and every other word continues the value before it. On other
 * lines (IBM's) the first of two equal flags counts, and two unequal ones where the second came after an untrusted
 * value cancel each other.
 */
export function parseKernelArguments(argv: readonly string[]): Crash {
  const { values, rest, problems } = collectValues(argv);
  const crash: Crash = { raw: Object.fromEntries(values), rest, problems };
  const note = (flag: CrashFlag, text: string, wanted: string): undefined => {
    addProblem(problems, "CDH_ARGUMENT_INVALID", `-${flag}=${text.slice(0, 64)} is not ${wanted}`);
    return undefined;
  };
  const number = (flag: CrashFlag, min: number, max: number): number | undefined => {
    const text = values.get(flag);
    if (text === undefined || text === "") return undefined;
    const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
    return value >= min && value <= max ? value : note(flag, text, `a number from ${min} to ${max}`);
  };
  assign(crash, "pid", number("P", 1, MAX_INT));
  assign(crash, "pidInNamespace", number("p", 0, MAX_INT));
  assign(crash, "tid", number("i", 1, MAX_INT));
  assign(crash, "tidInNamespace", number("I", 0, MAX_INT));
  assign(crash, "uid", number("u", 0, 4294967295));
  assign(crash, "gid", number("g", 0, 4294967295));
  assign(crash, "signal", number("s", 1, 64));
  // The largest second that a Date can hold.
  assign(crash, "timestamp", number("t", 0, 8640000000000));
  assign(crash, "dumpMode", number("m", 0, 2));
  assign(crash, "pidfd", number("F", 0, MAX_INT));
  assign(crash, "timeoutSeconds", number("T", 0, MAX_INT));
  assign(
    crash,
    "rlimitCoreBytes",
    parseRlimit(values.get("c"), (text) => note("c", text, "a limit in bytes")),
  );
  assign(crash, "hostname", nonEmpty(values.get("h")));
  assign(crash, "comm", nonEmpty(values.get("e")));
  assign(crash, "dir", nonEmpty(values.get("d")));
  const disable = values.get("D");
  if (disable !== undefined) crash.disableCompression = !/^(false|0|no)$/i.test(disable);
  const pathname = nonEmpty(values.get("E"));
  if (pathname !== undefined) Object.assign(crash, { pathname, ...decodeExecutablePath(pathname) });
  return crash;
}

interface Collected {
  values: Map<CrashFlag, string>;
  rest: string[];
  problems: Problem[];
}

function collectValues(argv: readonly string[]): Collected {
  const values = new Map<CrashFlag, string>();
  const rest: string[] = [];
  const problems: Problem[] = [];
  const cancelled = new Set<CrashFlag>();
  /** The untrusted value that a bare word continues. */
  let open: CrashFlag | undefined;
  let untrusted = false;
  const leftover = (word: string): void => {
    if (open === undefined) {
      if (rest.length < MAX_WORDS) rest.push(word.slice(0, MAX_VALUE_LENGTH));
      return;
    }
    const before = values.get(open) ?? "";
    values.set(open, (before === "" ? word : `${before} ${word}`).slice(0, MAX_VALUE_LENGTH));
  };
  const words = argv.slice(0, MAX_WORDS);
  if (argv.length > MAX_WORDS) addProblem(problems, "CDH_ARGUMENT_EXCESS", `${argv.length - MAX_WORDS} words dropped`);
  for (let index = 0; index < words.length; index += 1) {
    const word = String(words[index]);
    const sealed = untrusted && values.has("P") && values.has("F");
    const parsed = splitFlag(word);
    if (parsed === undefined || (sealed && (!TEXT_FLAGS.has(parsed.flag) || values.has(parsed.flag)))) {
      leftover(word);
      continue;
    }
    const { flag } = parsed;
    let value = parsed.value;
    if (value === undefined && takesNext(flag, words[index + 1])) {
      index += 1;
      value = String(words[index]);
    }
    const known = values.get(flag);
    if (known !== undefined || cancelled.has(flag)) {
      // The later one of two is only suspicious; after untrusted words nobody can tell which of them the kernel wrote.
      if (untrusted && known !== value && !TEXT_FLAGS.has(flag)) {
        values.delete(flag);
        cancelled.add(flag);
      }
      addProblem(problems, "CDH_ARGUMENT_REPEATED", `-${flag} came again: ${word.slice(0, 64)}`);
      if (rest.length < MAX_WORDS) rest.push(word.slice(0, MAX_VALUE_LENGTH));
      continue;
    }
    if (value === undefined && flag !== "D") addProblem(problems, "CDH_ARGUMENT_MISSING", `-${flag} has no value`);
    values.set(flag, (value ?? "").slice(0, MAX_VALUE_LENGTH));
    open = TEXT_FLAGS.has(flag) ? flag : undefined;
    untrusted ||= TEXT_FLAGS.has(flag);
  }
  return { values, rest, problems };
}

/** Take `-x=value`, `-x`, `--long-name=value` and `--long-name` apart; undefined when it is no flag of ours. */
function splitFlag(word: string): { flag: CrashFlag; value: string | undefined } | undefined {
  if (!word.startsWith("-")) return undefined;
  const equals = word.indexOf("=");
  const name = equals === -1 ? word : word.slice(0, equals);
  const value = equals === -1 ? undefined : word.slice(equals + 1);
  if (name.startsWith("--")) {
    const flag = Object.hasOwn(LONG_NAMES, name.slice(2)) ? LONG_NAMES[name.slice(2)] : undefined;
    return flag === undefined ? undefined : { flag, value };
  }
  const letter = name.slice(1);
  return SHORT_FLAGS.has(letter) ? { flag: letter as CrashFlag, value } : undefined;
}

/** Decide whether the word after a bare flag is its value. */
function takesNext(flag: CrashFlag, next: string | undefined): boolean {
  if (next === undefined) return false;
  if (flag === "D") return /^(true|false)$/i.test(next);
  return splitFlag(String(next)) === undefined;
}

function parseRlimit(text: string | undefined, bad: (text: string) => undefined): RlimitBytes | undefined {
  if (text === undefined || text === "") return undefined;
  if (/^(unlimited|-1)$/i.test(text)) return "unlimited";
  if (!/^\d{1,20}$/.test(text)) return bad(text);
  const bytes = BigInt(text);
  if (bytes > RLIM_INFINITY) return bad(text);
  return bytes === RLIM_INFINITY ? "unlimited" : Number(bytes);
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === "" ? undefined : text;
}

function assign<K extends keyof Crash>(crash: Crash, key: K, value: Crash[K] | undefined): void {
  if (value !== undefined) crash[key] = value;
}

function addProblem(problems: Problem[], code: string, detail: string): void {
  if (problems.length < MAX_PROBLEMS) problems.push({ step: "arguments", code, detail });
}
