import { formatAddress, type CoreFacts, type CoreThread } from "@cdh/core/elf/facts";
import { CoreMemory } from "@cdh/core/elf/random-access";
import type { AddressMap, Place } from "@cdh/core/report/address-map";
import { demangle } from "../names/demangle.ts";
import type { Subject } from "../subject.ts";
import type { Symbol } from "./elf-file.ts";
import type { FileWishes } from "./find-files.ts";
import { findLeafCaller } from "./leaf-callers.ts";
import { ModuleFiles } from "./module-files.ts";
import { UnwindTables } from "./unwind-tables.ts";
import { walkStack, type Frame, type ReadMemory, type WalkedStack } from "./unwind.ts";

/** One frame as it is shown. */
export interface StackFrame {
  pc: string;
  /** Path of the module. */
  module?: string;
  /** From the module's start, with `0x`. */
  moduleOffset?: string;
  /** As the file has it. */
  function?: string;
  functionOffset?: string;
  /** The same as a person would write it, where a compiler of C++ or Rust made it. */
  demangled?: string;
  /** The kernel's frame of a signal: the next frame is what the signal interrupted. */
  signal?: true;
  /** Told by the link register alone (arm64): it may be the frame before once more, where it was a call ago. */
  byLinkRegister?: true;
}

/** One thread's stack. */
export interface ThreadStack {
  tid: number;
  crashed: boolean;
  frames: StackFrame[];
}

/** What the core gives without a debugger. */
export interface RawStacks {
  threads: ThreadStack[];
  /** Why names are missing. */
  notes: string[];
}

type Walked = WalkedStack & { thread: CoreThread };

/** Threads whose stacks are walked; more than a person reads. */
const THREADS_MAX = 4096;

/**
 * Walk the stacks of all threads straight from the core's stack pages, by unwind tables where the files are at hand and
 * by frame pointers elsewhere, and name what can be named.
 * @throws {CdhError} the CDH_BUNDLE family
 */
export async function readRawStacks(subject: Subject, wishes: FileWishes, signal?: AbortSignal): Promise<RawStacks> {
  const core = await subject.core();
  const facts = await subject.facts();
  const memory = new CoreMemory(facts, (offset, length) => core.read(offset, length, signal));
  const read = (address: bigint, length: number): Promise<Uint8Array | undefined> => memory.read(address, length);
  const files = new ModuleFiles(facts, wishes);
  try {
    const isCode = executableRanges(facts, files.map);
    const tables = new UnwindTables(files, read);
    const context = {
      machine: facts.machine,
      read,
      readCode: (address: bigint, length: number) => tables.readCode(address, length),
      isCode,
      describe: (address: bigint) => tables.describe(address),
    };
    const stacks: Walked[] = [];
    for (const thread of facts.threads.slice(0, THREADS_MAX)) {
      signal?.throwIfAborted();
      stacks.push({ thread, ...(await walkStack(thread, context)) });
    }
    const names = await files.name(stacks.flatMap(({ frames }) => frames.map(lookupAddress)));
    await correctInjectedCalls(stacks, names, files);
    if (facts.machine?.name === "x64") await insertLeafCallers(stacks, names, files, read);
    for (const stack of stacks)
      stack.frames = stack.frames.filter((frame, at) => !isLeftBehind(stack.frames[at - 1], frame, names));
    return {
      threads: stacks.map(({ thread: { tid, crashed }, frames }) => ({
        tid,
        crashed,
        frames: frames.map((frame) => describe(frame, files.map, names)),
      })),
      notes: files.notes,
    };
  } finally {
    await files.close();
  }
}

/**
 * Go's signal handler turns a fault into a call of this function: what it returns to is the instruction that faulted, which
 * may be its function's first.
 */
const INJECTED = "runtime.sigpanic";

async function correctInjectedCalls(
  stacks: readonly Walked[],
  names: Map<bigint, Symbol>,
  files: ModuleFiles,
): Promise<void> {
  for (const { frames } of stacks) {
    for (const [index, frame] of frames.entries()) {
      const callee = frames[index - 1];
      if (callee === undefined || names.get(lookupAddress(callee))?.name !== INJECTED) continue;
      frame.isReturn = false;
      for (const [address, name] of await files.name([frame.pc])) names.set(address, name);
    }
  }
}

async function insertLeafCallers(
  stacks: readonly Walked[],
  names: Map<bigint, Symbol>,
  files: ModuleFiles,
  read: ReadMemory,
): Promise<void> {
  const code = {
    find: (address: bigint) => files.map.find(address),
    // What calls is right before what is returned to.
    readCode: (place: Place, length: number) =>
      files.readCode({ ...place, offset: place.offset - BigInt(length) }, length),
  };
  for (const { thread, frames, firstStep } of stacks) {
    const symbol = names.get(thread.pc);
    // A table passes over no caller.
    if (symbol === undefined || firstStep === "table") continue;
    const caller = await findLeafCaller(thread.sp, thread.pc - symbol.offset, frames[1], read, code);
    if (caller === undefined) continue;
    frames.splice(1, 0, caller);
    for (const [address, name] of await files.name([lookupAddress(caller)])) names.set(address, name);
  }
}

/** Tell whether a frame is what an earlier call of the same function left in the link register. */
function isLeftBehind(innermost: Frame | undefined, frame: Frame, names: ReadonlyMap<bigint, Symbol>): boolean {
  if (innermost === undefined || frame.isByLink !== true) return false;
  const [first, second] = [innermost, frame].map((one) => {
    const address = lookupAddress(one);
    const symbol = names.get(address);
    return symbol === undefined ? undefined : address - symbol.offset;
  });
  return first !== undefined && first === second;
}

/** The address whose function a frame is in: a call that never returns may be the last instruction of its function. */
function lookupAddress(frame: Frame): bigint {
  return frame.isReturn && frame.pc > 0n ? frame.pc - 1n : frame.pc;
}

function describe(frame: Frame, map: AddressMap, names: ReadonlyMap<bigint, Symbol>): StackFrame {
  const place = map.find(frame.pc);
  // Nothing called the kernel's frame: the address before it is in another function.
  const symbol = frame.isSignal === true ? undefined : names.get(lookupAddress(frame));
  const beyond = frame.isReturn ? 1n : 0n;
  const demangled = symbol === undefined ? undefined : demangle(symbol.name);
  return {
    pc: formatAddress(frame.pc),
    ...(place === undefined ? {} : { module: place.path, moduleOffset: formatAddress(place.offset) }),
    ...(symbol === undefined ? {} : { function: symbol.name, functionOffset: formatAddress(symbol.offset + beyond) }),
    ...(demangled === undefined ? {} : { demangled }),
    ...(frame.isSignal === undefined ? {} : { signal: frame.isSignal }),
    // A name shows that it is another function than the innermost one.
    ...(frame.isByLink === undefined || symbol !== undefined ? {} : { byLinkRegister: frame.isByLink }),
  };
}

function executableRanges(facts: CoreFacts, map: AddressMap): (address: bigint) => boolean {
  const ranges = facts.segments
    .filter((segment) => (segment.flags & 1) !== 0)
    .map((segment) => ({ start: segment.vaddr, end: segment.vaddr + BigInt(segment.memSize) }));
  return (address) =>
    ranges.some((range) => address >= range.start && address < range.end) ||
    (ranges.length === 0 && map.find(address) !== undefined);
}
