import { describeModules } from "@cdh/core/bundle/manifest-from-core";
import { formatAddress, type CoreFacts } from "@cdh/core/elf/facts";
import { CoreMemory } from "@cdh/core/elf/random-access";
import { makeAddressMap, type AddressMap } from "../address-map.ts";
import type { Subject } from "../subject.ts";
import { findModuleFile, type FileWishes, type FoundFile } from "./find-files.ts";
import { unwindByFramePointers, type Frame } from "./unwind.ts";

/** One frame as it is shown. */
export interface StackFrame {
  pc: string;
  /** Path of the module. */
  module?: string;
  /** From the module's start, with `0x`. */
  moduleOffset?: string;
  function?: string;
  functionOffset?: string;
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

/** Threads whose stacks are walked; more than a person reads. */
const THREADS_MAX = 4096;

/**
 * Walk the stacks of all threads by frame pointers, straight from the core's stack pages, and name what can be named.
 * @throws {CdhError} the CDH_BUNDLE family
 */
export async function readRawStacks(subject: Subject, wishes: FileWishes, signal?: AbortSignal): Promise<RawStacks> {
  const core = await subject.core();
  const facts = await subject.facts();
  const memory = new CoreMemory(facts, (offset, length) => core.read(offset, length, signal));
  const modules = describeModules(facts);
  const map = makeAddressMap(modules);
  const isCode = executableRanges(facts, map);
  const stacks: { tid: number; crashed: boolean; frames: Frame[] }[] = [];
  for (const thread of facts.threads.slice(0, THREADS_MAX)) {
    signal?.throwIfAborted();
    const frames = await unwindByFramePointers(
      thread,
      facts.machine,
      (address, length) => memory.read(address, length),
      isCode,
    );
    stacks.push({ tid: thread.tid, crashed: thread.crashed, frames });
  }
  const { names, notes } = await nameFrames(
    stacks.flatMap((stack) => stack.frames),
    facts,
    map,
    wishes,
  );
  return {
    threads: stacks.map(({ tid, crashed, frames }) => ({
      tid,
      crashed,
      frames: frames.map((frame) => describe(frame, map, names)),
    })),
    notes,
  };
}

/** The address whose function a frame is in: a call that never returns may be the last instruction of its function. */
function lookupAddress(frame: Frame): bigint {
  return frame.isReturn && frame.pc > 0n ? frame.pc - 1n : frame.pc;
}

function describe(
  frame: Frame,
  map: AddressMap,
  names: ReadonlyMap<bigint, { name: string; offset: bigint }>,
): StackFrame {
  const place = map.find(frame.pc);
  const symbol = names.get(lookupAddress(frame));
  const beyond = frame.isReturn ? 1n : 0n;
  return {
    pc: formatAddress(frame.pc),
    ...(place === undefined ? {} : { module: place.path, moduleOffset: formatAddress(place.offset) }),
    ...(symbol === undefined ? {} : { function: symbol.name, functionOffset: formatAddress(symbol.offset + beyond) }),
  };
}

async function nameFrames(
  frames: readonly Frame[],
  facts: CoreFacts,
  map: AddressMap,
  wishes: FileWishes,
): Promise<{ names: Map<bigint, { name: string; offset: bigint }>; notes: string[] }> {
  const wanted = new Map<string, Set<bigint>>();
  for (const frame of frames) {
    const place = map.find(lookupAddress(frame));
    if (place === undefined) continue;
    const offsets = wanted.get(place.path) ?? new Set();
    wanted.set(place.path, offsets.add(place.offset));
  }
  const names = new Map<bigint, { name: string; offset: bigint }>();
  const notes: string[] = [];
  const described = describeModules(facts);
  for (const [index, module] of facts.modules.entries()) {
    const offsets = wanted.get(module.path);
    const moduleFacts = described[index];
    if (offsets === undefined || moduleFacts === undefined || module.path.startsWith("[")) continue;
    const { file, mismatch } = await findModuleFile(moduleFacts, module.executable === true, wishes);
    if (mismatch !== undefined) notes.push(`another build: ${mismatch}`);
    if (file === undefined) {
      notes.push(`no file for ${module.path}${module.buildId === undefined ? "" : ` (build-id ${module.buildId})`}`);
      continue;
    }
    const symbols = await readSymbols(file, [...offsets]);
    for (const [offset, symbol] of symbols) names.set(module.start + offset, symbol);
    wanted.delete(module.path);
  }
  return { names, notes };
}

async function readSymbols(
  file: FoundFile,
  offsets: readonly bigint[],
): Promise<Map<bigint, { name: string; offset: bigint }>> {
  try {
    return await file.elf.findSymbols(offsets);
  } finally {
    await file.elf.close();
  }
}

function executableRanges(facts: CoreFacts, map: AddressMap): (address: bigint) => boolean {
  const ranges = facts.segments
    .filter((segment) => (segment.flags & 1) !== 0)
    .map((segment) => ({ start: segment.vaddr, end: segment.vaddr + BigInt(segment.memSize) }));
  return (address) =>
    ranges.some((range) => address >= range.start && address < range.end) ||
    (ranges.length === 0 && map.find(address) !== undefined);
}
