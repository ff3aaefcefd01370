import type { StackFrame, ThreadStack } from "@cdh/unwind/process/read-stacks";
import type { DebuggerName } from "./debugger.ts";
import { formatStack } from "./format-stacks.ts";

/** One frame as a debugger printed it. */
interface DebuggerFrame {
  /** Undefined where it printed none. */
  pc: bigint | undefined;
  /** The line without its number. */
  text: string;
}

/** One thread's block of a debugger's output. */
interface DebuggerThread {
  title: string;
  tid: number | undefined;
  frames: DebuggerFrame[];
}

/** How far a debugger's frames may be ahead: functions that went on by a tail call, or that it has no address for. */
const AHEAD_MAX = 12;
/** gdb and lldb of a frame that they know nothing of. */
const UNKNOWN = /^(?:0x[0-9a-f]+ )?(?:in )?\?\?|^0x[0-9a-f]+(?: [^\s`]+)?$|`___lldb_unnamed_symbol/;

/**
 * Put a debugger's lines, which have arguments, into the stacks that we walked. Where it knows nothing of a frame, ours stays;
 * what it has beyond the outermost frame is left out. Where our walk ended early its frames follow, up to the first that it
 * knows nothing of.
 * @returns undefined when the text is not understood
 */
export function mergeStacks(stacks: readonly ThreadStack[], name: DebuggerName, text: string): string | undefined {
  const threads = parseThreads(name, text);
  if (!threads.some(({ frames }) => frames.some(({ pc }) => pc !== undefined))) return undefined;
  const blocks = stacks.map((stack, index) => {
    const theirs =
      threads.find(({ tid }) => tid === stack.tid) ?? (threads[index]?.tid === undefined ? threads[index] : undefined);
    if (theirs === undefined) return formatStack(stack, `Thread ${stack.tid}`, () => undefined);
    return mergeStack(stack, theirs);
  });
  return `${blocks.join("\n\n")}\n`;
}

function mergeStack(stack: ThreadStack, { title, frames }: DebuggerThread): string {
  let next = 0;
  let last: string | undefined;
  const better = (frame: StackFrame): string | undefined => {
    if (frame.signal === true) {
      if (frames[next]?.text.startsWith("<signal") === true) next += 1;
      return undefined;
    }
    // Functions of Python share the one frame that the debugger knows.
    if (frame.kind !== undefined && frame.pc === last) return undefined;
    last = frame.kind === undefined ? undefined : frame.pc;
    const pc = BigInt(frame.pc);
    const ahead = frames.slice(next, next + AHEAD_MAX).findIndex((one) => one.pc === pc);
    const found = frames[next + ahead];
    if (ahead === -1 || found === undefined) return undefined;
    next += ahead + 1;
    return frame.kind !== undefined || UNKNOWN.test(found.text) ? undefined : found.text;
  };
  // Both ends of a long stack are printed: the second list starts anew.
  const lines = stack.frames.map((frame, index) => {
    if (index === stack.leftOut?.before) {
      const again = frames.findIndex((one, at) => at >= next && one.pc === BigInt(frame.pc));
      if (again !== -1) next = again;
    }
    return better(frame);
  });
  const rest =
    stack.end.kind === "outermost" ? [] : frames.slice(lines.some((line) => line !== undefined) ? next : frames.length);
  const unknown = rest.findIndex((one) => UNKNOWN.test(one.text) || one.pc === undefined);
  const more = rest.slice(0, unknown === -1 ? rest.length : unknown).map(({ text }) => text);
  return formatStack(stack, title, (_, index) => lines[index], more);
}

function parseThreads(name: DebuggerName, text: string): DebuggerThread[] {
  const threads: DebuggerThread[] = [];
  let current: DebuggerThread | undefined;
  for (const line of text.split("\n")) {
    const title = name === "lldb" ? /^\s*\*? ?thread #\d+/.test(line) : /^Thread \d+/.test(line);
    if (title) {
      const id = /\(LWP (\d+)\)|\btid = (\d+)/.exec(line);
      const tid = id === null ? undefined : Number(id[1] ?? id[2]);
      // The outermost frames of long stacks come in a list of their own.
      const known = tid === undefined ? undefined : threads.find((one) => one.tid === tid);
      current = known ?? { title: line.trim(), tid, frames: [] };
      if (known === undefined) threads.push(current);
      continue;
    }
    const frame = name === "lldb" ? /^\s*\*? ?frame #\d+: (.*)$/.exec(line) : /^#\d+ +(.*)$/.exec(line);
    const body = frame?.[1];
    if (body === undefined) continue;
    const address = /^(0x[0-9a-f]+)\b/.exec(body)?.[1];
    current?.frames.push({ pc: address === undefined ? undefined : BigInt(address), text: body });
  }
  return threads;
}
