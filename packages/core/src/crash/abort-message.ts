import type { CoreFacts } from "../elf/facts.ts";
import { makeRangeIndex } from "../elf/range-index.ts";
import { messageOfAbort, type CrashMessage } from "./crash-message.ts";

/** A stretch of the process's memory. */
export interface MemoryRegion {
  start: bigint;
  end: bigint;
  isWritable: boolean;
}

/** A process's memory, while it lives or as its core has it. */
export interface MessageMemory {
  machine: CoreFacts["machine"];
  signal: number | undefined;
  /** The writable memory that belongs to libc; of a static program its own. */
  libcData: readonly MemoryRegion[];
  /** The region around an address. */
  regionAt: (address: bigint) => MemoryRegion | undefined;
  /** Reads what is there, which may be less; undefined where nothing is. */
  read: (address: bigint, length: number) => Promise<Buffer | undefined>;
}

const SIGABRT = 6;
/** Bytes of a message that are read. */
const TEXT_MAX_BYTES = 4096;
/** libc's own data, or those of a program that holds libc itself. */
const DATA_MAX_BYTES = 1024 * 1024;
/** Pages that may hold libc's message: its data point to few. */
const PAGES_MAX = 32;
const PAGE = 4096;
/** A message takes whole pages; nobody writes longer ones. */
const MESSAGE_MAX_BYTES = 1024 * 1024;
/** Where libc's file lies. */
export const LIBC_PATH = /\/libc(?:-[\d.]+)?\.so(?:\.6)?$/;
/** Of a segment: PF_W. */
const WRITABLE = 2;

/**
 * Read `__abort_msg`: libc leaves the text of a failed assertion, of a damaged heap or a smashed stack for debuggers in pages of
 * its own, which begin with their size. The pointer is found by what it points to: its symbol is in libc's file, which may
 * be stripped, gone, or on a file system that does not answer. A few small reads. Total: what is not laid out so is none.
 * @see glibc, assert/assert.c and sysdeps/posix/libc_fatal.c
 */
export async function findAbortMessage(memory: MessageMemory): Promise<CrashMessage | undefined> {
  const { machine, signal, libcData, regionAt, read } = memory;
  if (signal !== SIGABRT || machine?.bits !== 64 || machine.endian !== "little") return undefined;
  let left = DATA_MAX_BYTES;
  const pages = new Set<bigint>();
  for (const { start, end } of libcData) {
    const length = Math.min(Number(end - start), left);
    left -= length;
    for (const page of pageAddresses(length > 0 ? await read(start, length) : undefined))
      if (pages.size < PAGES_MAX) pages.add(page);
  }
  for (const page of pages) {
    const around = regionAt(page);
    if (around?.isWritable !== true) continue;
    const bytes = await read(page, Math.min(Number(around.end - page), TEXT_MAX_BYTES));
    const size = bytes !== undefined && bytes.length > 4 ? bytes.readUInt32LE(0) : 0;
    const isSize = size >= PAGE && size % PAGE === 0 && size <= MESSAGE_MAX_BYTES;
    if (bytes === undefined || !isSize || page + BigInt(size) > around.end) continue;
    const zero = bytes.indexOf(0, 4);
    const message = messageOfAbort(bytes.toString("utf8", 4, zero === -1 ? bytes.length : zero));
    if (message !== undefined) return message;
  }
  return undefined;
}

/**
 * Read `__abort_msg` out of a core.
 * @param readCore reads bytes of the core by their offset; fewer where there are no more
 */
export async function findAbortMessageInCore(
  facts: Pick<CoreFacts, "machine" | "segments" | "mappings" | "modules">,
  signal: number | undefined,
  readCore: (offset: number, length: number) => Promise<Buffer | undefined>,
): Promise<CrashMessage | undefined> {
  const regions = facts.segments
    .map(({ vaddr, memSize, flags, offset, fileSize }) => ({
      start: vaddr,
      end: vaddr + BigInt(memSize),
      isWritable: (flags & WRITABLE) !== 0,
      offset,
      fileSize,
    }))
    .sort((left, right) => (left.start < right.start ? -1 : left.start > right.start ? 1 : 0));
  const program = facts.modules.find((module) => module.executable === true)?.path;
  const ofLibc = facts.mappings.filter(({ path }) => LIBC_PATH.test(path));
  const mapped = ofLibc.length > 0 ? ofLibc : facts.mappings.filter(({ path }) => path === program);
  const [low, high] = [mapped[0]?.start ?? 1n, mapped.at(-1)?.end ?? 0n];
  // What has no file follows right behind what has one.
  const libcData = regions.filter(({ start, isWritable }) => isWritable && start >= low && start <= high);
  const regionAt = makeRangeIndex(regions);
  const read = async (address: bigint, length: number): Promise<Buffer | undefined> => {
    const region = regionAt(address);
    const at = Number(address - (region?.start ?? address));
    const wanted = Math.min(length, (region?.fileSize ?? 0) - at);
    return region === undefined || wanted <= 0 ? undefined : await readCore(region.offset + at, wanted);
  };
  return await findAbortMessage({ machine: facts.machine, signal, libcData, regionAt, read });
}

/** Words that are addresses of pages in the lower half, where programs are. */
function* pageAddresses(bytes: Buffer | undefined): Generator<bigint> {
  for (let at = 0; at + 8 <= (bytes?.length ?? 0); at += 8) {
    const low = bytes?.readUInt32LE(at) ?? 0;
    if (low % PAGE !== 0) continue;
    const high = bytes?.readUInt32LE(at + 4) ?? 0;
    if (high <= 0xffff && (high > 0 || low > 0)) yield (BigInt(high) << 32n) + BigInt(low);
  }
}
