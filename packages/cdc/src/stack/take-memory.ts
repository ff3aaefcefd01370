import { within } from "@cdh/core/container/collected";
import type { CoreFacts, CoreThread } from "@cdh/core/elf/facts";
import { append } from "@cdh/core/lists";
import { mappingAt, type HeldProcess } from "./held-process.ts";
import { findMapping, type Mapping } from "./maps.ts";
import { readMemory, wordAt } from "./read-memory.ts";

/** Bytes of the process, and where they lay. */
export interface MemoryChunk {
  address: bigint;
  bytes: Buffer;
}

const KIB = 1024;
/** Compilers may keep data below the stack pointer. @see System V ABI AMD64, 3.2.2 */
const RED_ZONE = 128n;
/** A stack of the usual size is taken whole: recursion has its beginning at the far end. */
const CRASHED_BYTES = 8 * KIB * KIB + 256 * KIB;
/** Of a stack that lies in a larger piece of memory, as goroutines' do. */
const IN_HEAP_BYTES = 1024 * KIB;
/** All others together, and each of them. */
const OTHERS_BYTES = 8 * KIB * KIB;
const OTHER_MAX_BYTES = 64 * KIB;
const OTHER_MIN_BYTES = 8 * KIB;
/** Of everything; it waits in the composer's memory for the core to be written. */
const TOTAL_BYTES = 20 * KIB * KIB;
const VDSO_MAX_BYTES = 64 * KIB;
/** A stack that has overflowed: its pointer lies in front of what is mapped. */
const OVERFLOW_BYTES = 1024n * 1024n;
/** Where frames of signals on stacks of their own are looked for. */
const SIGNAL_SEARCH_BYTES = 128 * KIB;
const SIGNAL_STACKS_MAX = 4;
const READS_AT_ONCE = 8;

/** What was read of a held process. */
export interface TakenMemory {
  chunks: MemoryChunk[];
  /** Go's `g`s that belong to the crashed thread; empty for programs in other languages. */
  goroutines: Buffer[];
  /** Whether it was not stopped before its end. */
  isWhole: boolean;
}

/** Threads whose stacks are taken, the crashed one among them. */
export const STACK_THREADS_MAX = 1000;

/**
 * Read the memory that walking the stacks needs, while the process is held: each thread's stack from its pointer upwards,
 * what a signal's handler interrupted on another stack, the goroutine behind Go's system stack, and the vDSO's code.
 * Total: what cannot be read is left out. @param stop ends it early, with what was read by then, also where a read hangs
 */
export async function takeMemory(
  held: HeldProcess,
  facts: Pick<CoreFacts, "threads" | "machine" | "auxv">,
  stop: AbortSignal,
): Promise<TakenMemory> {
  const [chunks, goroutines]: [MemoryChunk[], Buffer[]] = [[], []];
  await within(readInto({ chunks, goroutines }, held, facts, stop), stop).catch((error: unknown) => {
    if (!stop.aborted) throw error;
  });
  // What hangs may come later; whoever has this must not see it grow.
  return { chunks: [...chunks], goroutines: [...goroutines], isWhole: !stop.aborted };
}

async function readInto(
  { chunks, goroutines }: Pick<TakenMemory, "chunks" | "goroutines">,
  held: HeldProcess,
  facts: Pick<CoreFacts, "threads" | "machine" | "auxv">,
  stop: AbortSignal,
): Promise<void> {
  const { mem, mappings } = held;
  if (mem === undefined) return;
  let room = TOTAL_BYTES;
  const take = async (address: bigint, end: bigint): Promise<Buffer | undefined> => {
    if (stop.aborted || end <= address) return undefined;
    const length = Math.min(Number(end - address), room);
    room -= length;
    const bytes = await readMemory(mem, address, length);
    room += length - (bytes?.length ?? 0);
    if (bytes !== undefined) chunks.push({ address, bytes });
    return bytes;
  };
  const takeStack = async (sp: bigint, size: number): Promise<MemoryChunk | undefined> => {
    const around = stackAt(mappings, sp);
    if (around === undefined || around.start > sp + OVERFLOW_BYTES) return undefined;
    const start = max(around.start, sp - RED_ZONE);
    const isHeap = Number(around.end - around.start) > CRASHED_BYTES;
    const bytes = await take(start, min(around.end, start + BigInt(isHeap ? Math.min(size, IN_HEAP_BYTES) : size)));
    return bytes === undefined ? undefined : { address: start, bytes };
  };
  const crashed = facts.threads.find((thread) => thread.crashed) ?? facts.threads[0];
  if (crashed?.sp !== undefined) {
    const stack = await takeStack(crashed.sp, CRASHED_BYTES);
    for (const { sp } of interruptedStacks(stack, facts.machine?.name)) await takeStack(sp, CRASHED_BYTES);
    const { running, others } = await takeGoroutines(crashed, facts, held, take);
    for (const g of [...others, running]) if (g !== undefined) goroutines.push(g);
    for (const sp of goroutineStacks(others)) await takeStack(sp, IN_HEAP_BYTES);
  }
  const vdso = facts.auxv?.sysinfoEhdr;
  const code = vdso === undefined ? undefined : mappingAt(mappings, vdso);
  if (code !== undefined) await take(code.start, min(code.end, code.start + BigInt(VDSO_MAX_BYTES)));
  const others = facts.threads.filter((thread) => thread !== crashed).slice(0, STACK_THREADS_MAX - 1);
  const share = Math.min(OTHER_MAX_BYTES, Math.max(OTHER_MIN_BYTES, Math.floor(OTHERS_BYTES / (others.length || 1))));
  for (let at = 0; at < others.length && !stop.aborted; at += READS_AT_ONCE)
    await Promise.all(
      others
        .slice(at, at + READS_AT_ONCE)
        .map((thread) => (thread.sp === undefined ? undefined : takeStack(thread.sp, share))),
    );
  if (mappings.some(({ path }) => path.includes("python3"))) {
    const { takePython } = await import("./take-python.ts");
    append(chunks, await takePython(held, { threads: facts.threads, taken: [...chunks] }, stop));
  }
}

/** Find the memory of a stack. One that has overflowed has its pointer in front of that: in nothing, or in a thread's guard page. */
export function stackAt(mappings: readonly Mapping[], sp: bigint): Mapping | undefined {
  const found = findMapping(mappings, sp);
  return found === undefined || found.isWritable ? found : findMapping(mappings, found.end);
}

/**
 * Where a `ucontext` has the interrupted stack pointer and program counter, in words from its stack's description on.
 * @see ucontext.h; struct ucontext_ia32, arch/x86/include/asm/ia32.h
 */
const SAVED: Readonly<Record<string, { wordBytes: 4 | 8; sp: number; pc: number }>> = {
  x64: { wordBytes: 8, sp: 18, pc: 19 },
  arm64: { wordBytes: 8, sp: 52, pc: 53 },
  x86: { wordBytes: 4, sp: 10, pc: 17 },
};
const ALT_STACK_MIN = 2048n;
const ALT_STACK_MAX = 64n * 1024n * 1024n;

/**
 * Find the stacks that handlers of signals interrupted: the kernel writes down the stack that it changed to, and its own
 * frame lies in that.
 */
export function interruptedStacks(
  stack: MemoryChunk | undefined,
  machine: string | undefined,
): { sp: bigint; pc: bigint }[] {
  const saved = SAVED[machine ?? ""];
  if (stack === undefined || saved === undefined) return [];
  const { bytes, address } = stack;
  const { wordBytes } = saved;
  const wordOf = (at: number, index: number): bigint =>
    wordBytes === 8 ? bytes.readBigUInt64LE(at + index * 8) : BigInt(bytes.readUInt32LE(at + index * 4));
  const found: { sp: bigint; pc: bigint }[] = [];
  const first = Number((8n - (address % 8n)) % 8n);
  const end = Math.min(bytes.length, SIGNAL_SEARCH_BYTES) - (saved.pc + 1) * wordBytes;
  for (let at = first; at <= end && found.length < SIGNAL_STACKS_MAX; at += wordBytes) {
    const size = wordOf(at, 2);
    if (size < ALT_STACK_MIN || size > ALT_STACK_MAX) continue;
    const base = wordOf(at, 0);
    const here = address + BigInt(at);
    if (here < base || here >= base + size) continue;
    const sp = wordOf(at, saved.sp);
    if (sp < base || sp >= base + size) found.push({ sp, pc: wordOf(at, saved.pc) });
  }
  return found;
}

/** Fields of Go's `g`, in bytes. @see runtime/runtime2.go */
const GO = { gBytes: 0x80n, gM: 0x30, gSchedSp: 0x38, mBytes: 0x200n };
const GOROUTINES_MAX = 8;

/** Go's own stack changes: from the thread's `g` to its `m`, and from there to the goroutine that it ran. @returns the `g` that runs, and its `m`'s others */
export async function takeGoroutines(
  { registers }: CoreThread,
  { machine }: Pick<CoreFacts, "machine">,
  { mappings }: HeldProcess,
  take: (address: bigint, end: bigint) => Promise<Buffer | undefined>,
): Promise<{ running?: Buffer; others: Buffer[] }> {
  const isWritable = (address: bigint): boolean => mappingAt(mappings, address)?.isWritable === true;
  const takeAt = async (address: bigint | undefined, size: bigint): Promise<Buffer | undefined> =>
    address === undefined || address % 8n !== 0n || !isWritable(address) ? undefined : take(address, address + size);
  const base = registers?.["fs_base"];
  const running =
    machine?.name === "arm64"
      ? registers?.["x28"]
      : wordAt(await takeAt(base === undefined ? undefined : base - 8n, 8n), 0);
  const first = await takeAt(running, GO.gBytes);
  const m = wordAt(first, GO.gM);
  const words = await takeAt(m, GO.mBytes);
  const others: Buffer[] = [];
  const seen = new Set<bigint>();
  for (let at = 0; at + 8 <= (words?.length ?? 0) && seen.size < GOROUTINES_MAX; at += 8) {
    const candidate = wordAt(words, at) ?? 0n;
    if (candidate === running || seen.has(candidate) || candidate % 8n !== 0n || !isWritable(candidate)) continue;
    seen.add(candidate);
    const g = await takeAt(candidate, GO.gBytes);
    if (g !== undefined && wordAt(g, GO.gM) === m) others.push(g);
  }
  return { others, ...(first === undefined || words === undefined ? {} : { running: first }) };
}

/** Where goroutines go on, as they noted it when they left their stacks. */
export function goroutineStacks(goroutines: readonly Buffer[]): bigint[] {
  return goroutines.flatMap((g) => {
    const [low, high, sp] = [wordAt(g, 0) ?? 0n, wordAt(g, 8) ?? 0n, wordAt(g, GO.gSchedSp) ?? 0n];
    return sp > low && sp <= high ? [sp] : [];
  });
}

function min(left: bigint, right: bigint): bigint {
  return left < right ? left : right;
}

function max(left: bigint, right: bigint): bigint {
  return left > right ? left : right;
}
