import { append } from "@cdh/core/lists";
import { printable } from "@cdh/core/output";
import type { NamedStack, StackFrame, ThreadStack } from "@cdh/unwind/process/read-stacks";

/** What is put in place of one of our frames: a line by somebody who knows more of it. */
export type BetterLine = (frame: StackFrame, index: number) => string | undefined;

/** Write the stacks of threads, one frame a line. */
export function formatStacks(stacks: readonly ThreadStack[]): string {
  return `${stacks.map((stack) => formatStack(stack, headline(stack), () => undefined)).join("\n\n")}\n`;
}

/**
 * Write one stack.
 * @param better a debugger's line for a frame, without its number
 * @param more lines of frames beyond ours
 */
export function formatStack(
  { frames, leftOut, endsHere }: NamedStack,
  title: string,
  better: BetterLine,
  more: readonly string[] = [],
): string {
  const lines: Line[] = [];
  const add = (key: string, text: string): void => {
    lines.push({ key, count: 1, text });
  };
  for (const [index, frame] of frames.entries()) {
    if (index === leftOut?.before) lines.push({ key: undefined, count: leftOut.count, text: "" });
    // Functions of Python have no addresses of their own: theirs is the interpreter's.
    const [key, address] =
      frame.kind === undefined ? [frame.pc, frame.pc] : [`${frame.function} ${frame.file} ${frame.line}`, ""];
    add(key, better(frame, index) ?? `${address.padEnd(18)} ${describeFrame(frame)}`);
  }
  for (const text of more) add(text, text);
  let number = 0;
  const written = foldRecursion(lines).map(({ key, count, text }) => {
    const row =
      key === undefined ? `  … ${count.toLocaleString("en-US")} frames${text} left out` : numbered(number, text);
    number += count;
    return row;
  });
  if (endsHere !== undefined && more.length === 0) written.push(`  ends here: ${printable(endsHere)}`);
  return [title, ...written].join("\n");
}

/** A frame, or several that are left out: then without a key. */
interface Line {
  key: string | undefined;
  count: number;
  text: string;
}

function numbered(index: number, text: string): string {
  return `  #${String(index).padEnd(3)} ${printable(text)}`.trimEnd();
}

/** Functions that call each other in turn. */
const PERIOD_MAX = 6;
/** A recursion of fewer frames is shown whole; of a longer one, so many at its two ends. */
const RECURSION_MIN = 40;
const SHOWN = { first: 12, last: 6 };

/** Put one line in the place of the middle of a recursion. */
function foldRecursion(lines: readonly Line[]): Line[] {
  const folded: Line[] = [];
  for (let at = 0; at < lines.length;) {
    const end = recursionEnd(lines, at);
    if (end - at < RECURSION_MIN) {
      const line = lines[at];
      if (line !== undefined) folded.push(line);
      at += 1;
      continue;
    }
    const middle = lines.slice(at + SHOWN.first, end - SHOWN.last);
    const count = middle.reduce((sum, line) => sum + line.count, 0);
    append(folded, lines.slice(at, at + SHOWN.first));
    folded.push({ key: undefined, count, text: " like these" });
    append(folded, lines.slice(end - SHOWN.last, end));
    at = end;
  }
  return folded;
}

/** The end of the longest stretch from a line on that consists of the first few of its frames, in whatever order. */
function recursionEnd(lines: readonly Line[], start: number): number {
  const turn = new Set<string | undefined>([undefined]);
  let longest = start;
  for (const line of lines.slice(start, start + PERIOD_MAX)) {
    turn.add(line.key);
    let at = start;
    while (at < lines.length && turn.has(lines[at]?.key)) at += 1;
    longest = Math.max(longest, at);
  }
  return longest;
}

function headline({ tid, crashed }: ThreadStack): string {
  return `Thread ${tid}${crashed ? " (crashed)" : ""}`;
}

function describeFrame(frame: StackFrame): string {
  const name = frame.module?.slice(frame.module.lastIndexOf("/") + 1);
  const inModule = name === undefined ? "in no module" : `${name}+${frame.moduleOffset ?? ""}`;
  const where = frame.file === undefined ? inModule : `${frame.file}:${frame.line ?? "?"}, ${inModule}`;
  const place = frame.byLinkRegister === true ? `${where}, by the link register` : where;
  if (frame.signal === true) return `<signal handler called>  (${place})`;
  if (frame.function === undefined) return place;
  if (frame.kind !== undefined)
    return `${frame.function}()  (${frame.file ?? "?"}:${frame.line ?? "?"}, ${frame.kind})`;
  const offset =
    frame.inlined === true ? " [inlined]" : frame.functionOffset === undefined ? "" : `+${frame.functionOffset}`;
  return `${frame.demangled ?? frame.function}${offset}  (${place})`;
}
