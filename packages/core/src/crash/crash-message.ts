import { cutText } from "../base/cut-text.ts";
import type { Manifest } from "../bundle/manifest.ts";
import { printable } from "../cli/output.ts";

/** What a program said of its own end. */
export type CrashMessage = NonNullable<Manifest["message"]>;

/** Bytes of the line that says it, and of each that follows; how many follow. */
const TEXT_MAX_BYTES = 1000;
const MORE_MAX_BYTES = 400;
const MORE_MAX_LINES = 6;
/** Longer lines are cut before anything is looked for in them. */
const LINE_MAX_LENGTH = 4096;
/** Lines that are looked at behind the one that matched. */
export const FOLLOWING_LINES = 16;

/** How a line of a log is known as a program's last words. */
interface MessageRule {
  kind: string;
  /** Bytes that stand in each such line: what is looked for first, in a whole log. */
  needle: string;
  /** Takes time as long as the line: what may stand anywhere, or repeat, has nothing of any length behind it. */
  line: RegExp;
  /** Stands somewhere behind what `line` matched. */
  behind?: string;
  /** Ends the line. */
  end?: string;
  /** The line behind it that belongs to the first. */
  joined?: RegExp;
  /** Ends by a fault: the message also stands before SIGSEGV and the like. */
  ofFaults?: true;
  /** Says less than another message of the same end. */
  weak?: true;
}

/** SIGILL, SIGTRAP, SIGABRT: what programs end themselves by. */
const OWN_SIGNALS = [4, 5, 6];
/** Those, and SIGBUS, SIGFPE, SIGSEGV. */
const FAULTS = [...OWN_SIGNALS, 7, 8, 11];

/** What the runtimes of languages write before they end a process. @see docs/stacks.md */
const RULES: readonly MessageRule[] = [
  { kind: "assert", needle: "Assertion ", line: /(?:^|[ :])Assertion [`'‘"]/, behind: " failed" },
  { kind: "assert", needle: "Assertion failed", line: /^Assertion failed: / },
  { kind: "panic", needle: "panic: ", line: /^panic: /, ofFaults: true },
  { kind: "panic", needle: "panicked at ", line: /^thread '.*' (?:\(\d+\) )?panicked at library\/core\//, weak: true },
  {
    kind: "panic",
    needle: "panicked at ",
    line: /^thread '.*' (?:\(\d+\) )?panicked at /,
    end: ":",
    joined: /./,
  },
  { kind: "panic", needle: "panicked at ", line: /^thread '.*' (?:\(\d+\) )?panicked at / },
  { kind: "fatal", needle: "fatal runtime error: ", line: /^fatal runtime error: /, weak: true },
  { kind: "fatal", needle: "fatal error: ", line: /^fatal error: /, ofFaults: true },
  { kind: "fatal", needle: "FATAL ERROR: ", line: /^FATAL ERROR: / },
  { kind: "fatal", needle: "Fatal Python error: ", line: /^Fatal Python error: /, ofFaults: true },
  {
    kind: "fatal",
    needle: "# A fatal error has been detected",
    line: /^# A fatal error has been detected/,
    joined: /^# {2}\S/,
    ofFaults: true,
  },
  { kind: "fatal", needle: "# Fatal error in ", line: /^# Fatal error in /, joined: /^# \S/ },
  { kind: "fatal", needle: "Unhandled exception. ", line: /^Unhandled exception\. / },
  { kind: "terminate", needle: "terminate called ", line: /^terminate called /, joined: /^ *what\(\):/ },
  { kind: "terminate", needle: "libc++abi: ", line: /^libc\+\+abi: / },
  { kind: "abort", needle: " detected ***: ", line: /^\*\*\* .* detected \*\*\*: / },
  { kind: "abort", needle: "(): ", line: /^(?:free|[mc]alloc|realloc|munmap_chunk|malloc_\w+|unlink_chunk)\(\): / },
  { kind: "abort", needle: "corrupted ", line: /^corrupted (?:size vs\. prev_size|double-linked list)/ },
];

/** What follows a message and is none of it. */
const ENDS = /^(?:\s*$|goroutine \d+|note: run with|stack backtrace:|exit status)/;
/** What terminals take for colours and the like. */
// eslint-disable-next-line no-control-regex -- it begins with one
const ESCAPES = /\u001b\[[0-9;?]*[A-Za-z]/g;

/** Looks for a program's last words in a log. */
export interface MessageSearch {
  /** One of them stands in each line that can be such a message. */
  needles: readonly string[];
  /** How much a line says: 0 nothing, 1 little, 2 all. */
  weigh: (line: string) => number;
}

/** Make the search for the messages that a signal goes with; undefined where there are none. */
export function messageSearch(signal: number | undefined): MessageSearch | undefined {
  const rules = rulesFor(signal);
  if (rules.length === 0) return undefined;
  return {
    needles: [...new Set(rules.map(({ needle }) => needle))],
    weigh: (line) => {
      const rule = ruleOf(rules, tidy(line));
      return rule === undefined ? 0 : rule.weak === true ? 1 : 2;
    },
  };
}

/**
 * Make a message of the lines of a log, of which the first says it. Total: what no rule knows is none.
 * @param lines that one and what follows it; hostile
 */
export function messageOfLines(lines: readonly string[], signal: number | undefined): CrashMessage | undefined {
  const [first = "", ...rest] = lines.map(tidy);
  const rule = ruleOf(rulesFor(signal), first);
  if (rule === undefined) return undefined;
  const { joined } = rule;
  const at = joined === undefined ? -1 : rest.slice(0, 3).findIndex((line) => joined.test(line));
  const text = at === -1 ? first : `${first.replace(/:$/, "")}: ${(rest[at] ?? "").replace(/^[#\s]+/, "")}`;
  return messageOf(rule.kind, [text, ...rest.slice(at + 1)], "log");
}

/** Make a message of what libc noted for debuggers (`__abort_msg`), hostile text. */
export function messageOfAbort(text: string): CrashMessage | undefined {
  // What is asserted may have lines of its own.
  const kind = /: Assertion [`'‘]/.test(text.slice(0, LINE_MAX_LENGTH)) ? "assert" : "abort";
  return messageOf(kind, text.split("\n").map(tidy), "memory");
}

/** Make a message of the value that a Go program panicked with, hostile text. */
export function messageOfPanic(text: string): CrashMessage | undefined {
  return text === "" ? undefined : messageOf("panic", `panic: ${text}`.split("\n").map(tidy), "memory");
}

/** Bound everything; no character of it ends a line or moves a cursor. */
function messageOf(kind: string, lines: readonly string[], source: "memory" | "log"): CrashMessage | undefined {
  const [first = "", ...rest] = lines;
  const text = cutText(printable(first), TEXT_MAX_BYTES);
  if (text.trim() === "") return undefined;
  const end = rest.findIndex((line) => ENDS.test(line));
  const more = rest
    .slice(0, Math.min(end === -1 ? rest.length : end, MORE_MAX_LINES))
    .map((line) => cutText(printable(line), MORE_MAX_BYTES));
  return { kind, text, ...(more.length === 0 ? {} : { more }), source };
}

function rulesFor(signal: number | undefined): readonly MessageRule[] {
  if (signal === undefined || !FAULTS.includes(signal)) return [];
  return OWN_SIGNALS.includes(signal) ? RULES : RULES.filter(({ ofFaults }) => ofFaults === true);
}

function ruleOf(rules: readonly MessageRule[], line: string): MessageRule | undefined {
  return rules.find((rule) => line.includes(rule.needle) && isOf(rule, line));
}

function isOf({ line: pattern, behind = "", end = "" }: MessageRule, line: string): boolean {
  const match = pattern.exec(line);
  return match !== null && line.includes(behind, match.index + match[0].length) && line.endsWith(end);
}

function tidy(line: string): string {
  return line.slice(0, LINE_MAX_LENGTH).replace(ESCAPES, "").replaceAll("\t", " ").trimEnd().toWellFormed();
}
