import { formatAddress, type CoreModule, type CoreThread } from "@cdh/core/elf/facts";
import { STACK_ENDS } from "@cdh/core/report/stack-ends";
import { demangle } from "../names/demangle.ts";
import { lookupAddress, type Frame, type StackEnd, type Trust } from "../walk/state.ts";
import { DEFAULT_WALK_LIMITS, walkStack, type WalkedStack, type WalkLimits } from "../walk/walk-stack.ts";
import { nameCode, type CodeName } from "./name-code.ts";
import type { ProcessImage } from "./process-image.ts";

/** One function on a stack, as it is shown. Absent means not known. */
export interface StackFrame {
  pc: string;
  /** Path of the module. */
  module?: string;
  /** From the beginning of the module's file, with `0x`. */
  moduleOffset?: string;
  /** As the file has it. */
  function?: string;
  functionOffset?: string;
  /** The same as a person would write it, where a compiler of C++ or Rust made it. */
  demangled?: string;
  /** Source file, as the compiler wrote it, and line. */
  file?: string;
  line?: number;
  /** This function is inlined into the next one, whose frame it shares. */
  inlined?: true;
  /** The kernel's frame of a signal: the next frame is what the signal interrupted. */
  signal?: true;
  /** Told by the link register alone (arm64): it may be the frame before once more, where it was a call ago. */
  byLinkRegister?: true;
  /** A function of a language that the module runs: it has no place of its own, and the place is the interpreter's. */
  kind?: "python";
  /** What told of the frame; left out for the innermost one. */
  trust?: Trust;
}

/** One stack with names. */
export interface NamedStack {
  frames: StackFrame[];
  /** Frames that were walked and are not listed, and before which of the listed ones they come. */
  leftOut?: { before: number; count: number };
  end: ShownEnd;
  /** Why the stack ends, in words; left out where it is whole. */
  endsHere?: string;
}

/** One thread's stack. */
export interface ThreadStack extends NamedStack {
  tid: number;
  crashed: boolean;
}

/** Why a stack ends where it does, with addresses as texts. @see StackEnd */
export interface ShownEnd {
  kind: StackEnd["kind"];
  /** Of `noTable` and `noMemory`. */
  address?: string;
  /** Of `notCode`. */
  value?: string;
}

/** Say how much is walked, and when to stop. */
export interface ReadStacksOptions {
  /** Limits of the crashed thread's stack. */
  crashed?: WalkLimits;
  /** Limits of the others'. */
  others?: WalkLimits;
  /** False leaves out what only debugging information tells, which can be large: lines and inlined calls. Go's are small. */
  lines?: boolean;
  signal?: AbortSignal;
}

/** A thread and its stack without names. */
export interface WalkedThread {
  thread: CoreThread;
  walked: WalkedStack;
}

/** Walk the stacks of threads, and name what can be named. */
export async function readStacks(
  image: ProcessImage,
  threads: readonly CoreThread[],
  options: ReadStacksOptions = {},
): Promise<ThreadStack[]> {
  return nameStacks(image, await walkStacks(image, threads, options), options);
}

/** Walk the stacks of threads. */
export async function walkStacks(
  image: ProcessImage,
  threads: readonly CoreThread[],
  options: ReadStacksOptions = {},
): Promise<WalkedThread[]> {
  const { crashed = DEFAULT_WALK_LIMITS, others = DEFAULT_WALK_LIMITS, signal } = options;
  const stacks: WalkedThread[] = [];
  for (const thread of threads) {
    signal?.throwIfAborted();
    stacks.push({ thread, walked: await walkStack(thread, image, thread.crashed ? crashed : others) });
  }
  return stacks;
}

/** Name what can be named of threads' stacks. */
export async function nameStacks(
  image: ProcessImage,
  stacks: readonly WalkedThread[],
  options: ReadStacksOptions = {},
): Promise<ThreadStack[]> {
  const named = await nameWalked(
    image,
    stacks.map(({ walked }) => walked),
    options,
  );
  return stacks.flatMap(({ thread: { tid, crashed } }, index) => {
    const stack = named[index];
    return stack === undefined ? [] : [{ tid, crashed, ...stack }];
  });
}

/** Name what can be named of walked stacks, one for each. */
export async function nameWalked(
  image: ProcessImage,
  stacks: readonly WalkedStack[],
  options: ReadStacksOptions = {},
): Promise<NamedStack[]> {
  const names = await nameFrames(
    image,
    stacks.flatMap(({ frames }) => frames),
    options,
  );
  return stacks.map((walked) => {
    const rows = walked.frames.map((frame) => describe(image, frame, names.get(lookupAddress(frame)) ?? []));
    // Inlined functions are frames of their own in the list.
    const before = rows.slice(0, walked.leftOut?.before ?? 0).flat().length;
    return {
      frames: rows.flat(),
      ...(walked.leftOut === undefined ? {} : { leftOut: { before, count: walked.leftOut.count } }),
      ...describeEnd(walked.end, image),
    };
  });
}

async function nameFrames(
  image: ProcessImage,
  frames: readonly Frame[],
  { signal, lines = true }: ReadStacksOptions,
): Promise<Map<bigint, CodeName[]>> {
  const names = new Map<bigint, CodeName[]>();
  const wanted = Map.groupBy(new Set(frames.map(lookupAddress)), (address) => image.find(address));
  for (const [loaded, addresses] of wanted) {
    signal?.throwIfAborted();
    if (loaded === undefined) continue;
    const places = new Map<bigint, bigint>();
    for (const address of addresses) {
      const vaddr = await loaded.vaddrOf(address);
      if (vaddr !== undefined) places.set(vaddr, address);
    }
    for (const [vaddr, name] of await nameCode(loaded, [...places.keys()], { lines }))
      names.set(places.get(vaddr) ?? 0n, name);
  }
  return names;
}

function describe(image: ProcessImage, frame: Frame, names: readonly CodeName[]): StackFrame[] {
  const place = image.find(frame.pc)?.module;
  const at = {
    pc: formatAddress(frame.pc),
    ...(place === undefined ? {} : { module: place.path, moduleOffset: formatAddress(moduleOffset(place, frame.pc)) }),
  };
  const told = {
    ...(frame.trust === undefined ? {} : { trust: frame.trust }),
    // A name shows that it is another function than the innermost one.
    ...(frame.trust !== "link" || names.length > 0 ? {} : { byLinkRegister: true as const }),
  };
  // Nothing called the kernel's frame: the address before it is in another function.
  if (frame.isSignal === true) return [{ ...at, signal: true, ...told }];
  if (names.length === 0) return [{ ...at, ...told }];
  const beyond = frame.isReturn ? 1n : 0n;
  return names.map((name, index) => ({
    ...at,
    ...describeName(name, beyond),
    ...(index < names.length - 1 ? { inlined: true as const } : {}),
    ...told,
  }));
}

function moduleOffset({ start, fileOffset }: CoreModule, address: bigint): bigint {
  return address - start + (fileOffset ?? 0n);
}

function describeName({ function: symbol, offset, file, line }: CodeName, beyond: bigint): Partial<StackFrame> {
  const demangled = symbol === undefined ? undefined : demangle(symbol);
  return {
    ...(symbol === undefined ? {} : { function: symbol }),
    ...(offset === undefined ? {} : { functionOffset: formatAddress(offset + beyond) }),
    ...(demangled === undefined ? {} : { demangled }),
    ...(file === undefined ? {} : { file }),
    ...(line === undefined || line === 0 ? {} : { line }),
  };
}

function describeEnd(end: StackEnd, image: ProcessImage): Pick<NamedStack, "end" | "endsHere"> {
  const shown: ShownEnd = {
    kind: end.kind,
    ...("address" in end ? { address: formatAddress(end.address) } : {}),
    ...("value" in end ? { value: formatAddress(end.value) } : {}),
  };
  const words = wordsOf(end, image);
  return { end: shown, ...(words === undefined ? {} : { endsHere: words }) };
}

function wordsOf(end: StackEnd, image: ProcessImage): string | undefined {
  switch (end.kind) {
    case "outermost":
      return undefined;
    case "noTable": {
      const place = image.find(end.address)?.module;
      const name = place === undefined ? undefined : place.path.slice(place.path.lastIndexOf("/") + 1);
      const where =
        place === undefined ? formatAddress(end.address) : `${name}+${formatAddress(moduleOffset(place, end.address))}`;
      return `no unwind table for ${where}`;
    }
    case "notCode":
      return `return address ${formatAddress(end.value)} is no code`;
    case "noMemory":
      return `the core does not hold the stack at ${formatAddress(end.address)}`;
    case "loop":
    case "limit":
    case "machine":
      return STACK_ENDS[end.kind];
  }
}
