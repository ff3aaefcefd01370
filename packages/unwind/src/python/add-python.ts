import type { LoadedModule } from "../process/loaded-module.ts";
import type { ProcessImage } from "../process/process-image.ts";
import type { StackFrame, ThreadStack } from "../process/read-stacks.ts";
import { findPythonRuntime } from "./find-runtime.ts";
import { PythonFrames, type PythonStack } from "./read-frames.ts";

/** The interpreter's loop; compilers and linkers append to its name. */
const LOOP = /^_PyEval_EvalFrameDefault(?:\.|$)/;

/** Of a longer stack, so many frames at its two ends are listed: a recursion in Python can have any number. */
const LISTED = { first: 448, last: 64 };

/** What is known of the interpreter in one module. */
type Known = { reason: string } | { frames: PythonFrames; threads: ReadonlyMap<number, bigint> };

/**
 * Puts the functions of Python in the place of the interpreter's loop, which runs several of them. Where the two do not have
 * the same number of calls, nothing is put anywhere, and a note says why.
 */
export class PythonStacks {
  /** Why functions of Python are missing. */
  readonly notes = new Set<string>();
  readonly #image: ProcessImage;
  readonly #known = new Map<LoadedModule, Promise<Known>>();

  constructor(image: ProcessImage) {
    this.#image = image;
  }

  /** Add what is known to a thread's stack. */
  async add(stack: ThreadStack): Promise<ThreadStack> {
    const loop = stack.frames.find(isLoop);
    const loaded = loop === undefined ? undefined : this.#image.find(BigInt(loop.pc));
    if (loaded === undefined) return stack;
    const known = this.#known.get(loaded) ?? this.#open(loaded);
    this.#known.set(loaded, known);
    const found = await known;
    if ("reason" in found) {
      this.notes.add(`no functions of Python: ${found.reason}`);
      return stack;
    }
    const state = found.threads.get(stack.tid);
    const added =
      state === undefined ? "the interpreter does not know the thread" : merge(stack, await found.frames.stack(state));
    if (typeof added === "object") return added;
    this.notes.add(`no functions of Python in thread ${stack.tid}: ${added}`);
    return stack;
  }

  async #open(loaded: LoadedModule): Promise<Known> {
    const { machine, read } = this.#image;
    if (machine?.bits !== 64) return { reason: "those of 32-bit machines are not read" };
    const runtime = await findPythonRuntime(loaded, read);
    if ("reason" in runtime) return runtime;
    const frames = new PythonFrames(runtime, read);
    return { frames, threads: await frames.threads() };
  }
}

function isLoop({ function: name = "", inlined }: StackFrame): boolean {
  return inlined !== true && LOOP.test(name);
}

/** @returns why it is not done, in words */
function merge(stack: ThreadStack, { calls, endsHere }: PythonStack): ThreadStack | string {
  if (endsHere !== undefined) return endsHere;
  const loops = stack.frames.filter(isLoop).length;
  if (stack.leftOut !== undefined) return "its stack is too long";
  if (loops !== calls.length) return `the stack has ${loops} calls of the interpreter, Python ${calls.length}`;
  let next = 0;
  const frames: StackFrame[] = [];
  for (const frame of stack.frames) {
    if (!isLoop(frame)) {
      // What is inlined into the loop is the interpreter's own.
      frames.push(frame);
      continue;
    }
    const call = calls[next] ?? [];
    next += 1;
    const { function: _name, functionOffset: _offset, demangled: _text, file: _file, line: _line, ...place } = frame;
    if (call.length === 0) frames.push(frame);
    for (const one of call) frames.push({ ...place, ...one, kind: "python" });
  }
  if (frames.length <= LISTED.first + LISTED.last) return { ...stack, frames };
  const leftOut = { before: LISTED.first, count: frames.length - LISTED.first - LISTED.last };
  return { ...stack, frames: [...frames.slice(0, LISTED.first), ...frames.slice(-LISTED.last)], leftOut };
}
