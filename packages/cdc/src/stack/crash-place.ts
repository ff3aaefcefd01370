import { createHash } from "node:crypto";
import type { CoreFacts } from "@cdh/core/elf/facts";
import { isRuntimeFile } from "@cdh/core/groups/frame-rules";
import { append } from "@cdh/core/lists";
import type { HeldProcess } from "./held-process.ts";
import { findBeginnings, type Mapping } from "./maps.ts";
import { readMemory } from "./read-memory.ts";
import { isFile, isOwnFile, StackCalls, type CodeAddress } from "./stack-calls.ts";
import { goroutineStacks, interruptedStacks, stackAt, takeGoroutines } from "./take-memory.ts";

/**
 * Where a crash happened, as registers and stack tell before anything is walked: crashes of one place have the same
 * instruction and the same calls below it, in the same builds. Two bugs have two places; one bug may have several, because
 * some of the calls may be what earlier ones left on the stack. Which ones are real a walk tells afterwards: {@link spotsOf}.
 */
export type CrashPlace = KnownPlace | { unknown: string };

/** A place that is known. */
export interface KnownPlace {
  /** Of instruction and calls. */
  hash: string;
  /** The signal and the instructions, named so that they are the same wherever files are loaded. */
  instructions: readonly string[];
  calls: readonly PlaceCall[];
}

/** A call on a stack. */
export interface PlaceCall extends Spot {
  /** Where it returns to. */
  address: bigint;
  /** The same wherever its file is loaded. */
  name: string;
}

/** A spot on one of a thread's stacks. */
export interface Spot {
  /** The thread's own stack is 0; then come those that signals interrupted, and goroutines. */
  stack: number;
  /** Bytes from the stack pointer. */
  distance: number;
}

/** What a place is looked for in. */
export interface PlaceSource {
  held: HeldProcess;
  /** `/proc/PID/maps`, as it was read. */
  maps: Uint8Array;
  facts: Pick<CoreFacts, "threads" | "machine">;
  signal: number | undefined;
  /** Ends it early: then the place is unknown. */
  stop: AbortSignal;
}

/** Calls that make a place. Those below hardly keep bugs apart. */
const HASHED_MAX = 24;
/** Of one stack that is looked at. */
const STACK_BYTES = 64 * 1024;
/** A file's first page has its build-id nearly always, else at least the sizes of its parts. */
const PAGE_BYTES = 4096;
const HASH_LENGTH = 32;
/** Name of the note by which Go's linker marks its programs. */
const GO_NOTE = Buffer.from("Go\0\0", "latin1");

/** A piece of stack, and the instruction that it belongs to. */
interface Span {
  sp: bigint;
  pc?: bigint;
  isGoroutine?: true;
}

/** Find the place of a crash while the kernel holds its process. */
export async function findPlace(source: PlaceSource): Promise<CrashPlace> {
  const { held, facts, stop } = source;
  const crashed = facts.threads.find((thread) => thread.crashed) ?? facts.threads[0];
  const { mem, mappings } = held;
  if (mem === undefined) return { unknown: "its memory cannot be read" };
  if (crashed?.pc === undefined || crashed.sp === undefined) return { unknown: "its registers are not known" };
  const spans = await findSpans({ sp: crashed.sp, pc: crashed.pc }, source, mem);
  const calls = new StackCalls(mem, mappings, facts.machine?.name);
  const found: (CodeAddress & { stack: number })[] = [];
  for (const [stackNumber, { sp, pc }] of spans.entries()) {
    if (stop.aborted) return { unknown: "its stack took too long to read" };
    if (pc !== undefined) found.push({ ...calls.at(pc), stack: stackNumber });
    const stack = await readStack(held, mem, sp);
    const there = stack === undefined ? [] : await calls.on(stack.bytes, Number((8n - (stack.address % 8n)) % 8n));
    if (there === undefined) return { unknown: "a signal's frame is on its stack" };
    append(
      found,
      there.map((one) => ({ ...one, stack: stackNumber })),
    );
  }
  if (!isOwn(calls.at(spans.findLast(({ pc }) => pc !== undefined)?.pc ?? crashed.pc)) && mappings.some(runsOthersCode))
    return { unknown: "it runs code of an interpreter or of its own making" };
  if (!found.some(isOwn)) return { unknown: "nothing of the program's own is on its stack" };
  const files = await readFiles(found, source, mem);
  if (files === undefined) return { unknown: "a file of its stack cannot be told from others" };
  // The handling of a failure is the same for all of them, and fills the system's stack.
  if (files.isGo && !spans.some(({ isGoroutine }) => isGoroutine)) return { unknown: "its goroutine was not found" };
  return describePlace(
    source.signal,
    found.map((code) => ({ ...code, name: files.nameOf(code) })),
  );
}

function describePlace(
  signal: number | undefined,
  found: readonly (CodeAddress & { stack: number; name: string })[],
): KnownPlace {
  const instructions = [
    String(signal ?? 0),
    ...found.flatMap(({ distance, name }) => (distance === undefined ? name : [])),
  ];
  const calls = found.flatMap(({ stack, distance, address, name }) =>
    distance === undefined ? [] : { stack, distance, address, name },
  );
  const hashed = [...Map.groupBy(calls, ({ stack }) => stack).values()].flatMap((some) => some.slice(0, HASHED_MAX));
  return { hash: hashOf([...instructions, ...hashed.map(({ name }) => name)]), instructions, calls };
}

/**
 * Find on which spots of the stacks the calls stand that a walk found, the innermost first.
 * @param frames return addresses of the program's own, as they were walked
 * @returns undefined where one of them stands nowhere
 */
export function spotsOf({ calls }: KnownPlace, frames: readonly bigint[]): Spot[] | undefined {
  const spots: Spot[] = [];
  let from = 0;
  for (const address of new Set(frames)) {
    const index = calls.findIndex((call, at) => at >= from && call.address === address);
    const call = calls[index];
    if (call === undefined) return undefined;
    from = index + 1;
    spots.push({ stack: call.stack, distance: call.distance });
  }
  return spots;
}

/** Hash what stands on spots of a crash's stacks; undefined where one of them holds no call. The same for crashes with the same frames. */
export function hashOfSpots({ instructions, calls }: KnownPlace, spots: readonly Spot[]): string | undefined {
  const names = spots.map(
    ({ stack, distance }) => calls.find((call) => call.stack === stack && call.distance === distance)?.name,
  );
  return names.includes(undefined) ? undefined : hashOf([...instructions, ...(names as string[])]);
}

function hashOf(lines: readonly string[]): string {
  return createHash("sha256").update(lines.join("\n")).digest("hex").slice(0, HASH_LENGTH);
}

/** The crashed thread's stack, what a signal interrupted on another one, and the goroutine behind Go's system stack. */
async function findSpans(first: Span, { held, facts }: PlaceSource, mem: number): Promise<Span[]> {
  const crashed = facts.threads.find((thread) => thread.crashed) ?? facts.threads[0];
  if (crashed === undefined) return [first];
  const stack = await readStack(held, mem, first.sp);
  const take = async (address: bigint, end: bigint): Promise<Buffer | undefined> =>
    readMemory(mem, address, Number(end - address));
  const { others } = await takeGoroutines(crashed, facts, held, take);
  return [
    first,
    ...interruptedStacks(stack, facts.machine?.name),
    ...goroutineStacks(others).map((sp): Span => ({ sp, isGoroutine: true })),
  ];
}

async function readStack(
  { mappings }: HeldProcess,
  mem: number,
  sp: bigint,
): Promise<{ address: bigint; bytes: Buffer } | undefined> {
  const around = stackAt(mappings, sp);
  if (around === undefined) return undefined;
  const address = sp < around.start ? around.start : sp;
  const bytes = await readMemory(mem, address, Math.min(STACK_BYTES, Number(around.end - address)));
  return bytes === undefined ? undefined : { address, bytes };
}

/** A program that makes code, or runs others', is told apart by what it runs; its own calls are the same for all of that. */
function runsOthersCode({ isExecutable, path }: Mapping): boolean {
  return isExecutable && (isFile(path) ? isRuntimeFile(path) : !path.startsWith("[v"));
}

function isOwn({ mapping }: CodeAddress): boolean {
  return mapping !== undefined && isOwnFile(mapping.path);
}

interface Files {
  /** Name an address so that it is the same wherever the file is loaded. */
  nameOf: (code: CodeAddress) => string;
  isGo: boolean;
}

/** Tell files by their first page, as it lies in memory; nothing of a file is parsed, and no path is believed. */
async function readFiles(
  found: readonly CodeAddress[],
  { maps, stop }: PlaceSource,
  mem: number,
): Promise<Files | undefined> {
  const mappings = [...new Set(found.flatMap(({ mapping }) => mapping ?? []))];
  const beginnings = findBeginnings(maps, new Set(mappings.map(fileOf)));
  const known = new Map<Mapping, { begin: bigint; page: string }>();
  let isGo = false;
  for (const mapping of mappings) {
    if (stop.aborted) return undefined;
    const begin = beginnings.get(fileOf(mapping))?.findLast((start) => start <= mapping.start) ?? mapping.start;
    const bytes = await readMemory(mem, begin, PAGE_BYTES);
    if (bytes === undefined) return undefined;
    isGo ||= bytes.includes(GO_NOTE);
    known.set(mapping, { begin, page: createHash("sha256").update(bytes).digest("hex") });
  }
  const nameOf = ({ address, mapping }: CodeAddress): string => {
    const file = mapping === undefined ? undefined : known.get(mapping);
    return file === undefined ? "in no file" : `${file.page}+${(address - file.begin).toString(16)}`;
  };
  return { nameOf, isGo };
}

function fileOf({ device, inode }: Mapping): string {
  return `${device} ${inode}`;
}
