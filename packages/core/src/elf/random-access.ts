import { FieldReader } from "./bytes.ts";
import type { CoreFacts, CoreSegment, ElfLimits } from "./facts.ts";
import { ELF_HEADER_BYTES, PN_XNUM, tryParseElfHeader } from "./format.ts";
import { findLoadedModules } from "./loaded-modules.ts";
import { MAX_PROGRAM_HEADERS } from "./program-table.ts";
import { ElfCoreScanner } from "./scanner.ts";

/** Read bytes of a core at an offset; fewer than asked for only at its end. */
export type ReadAt = (offset: number, length: number) => Promise<Uint8Array>;

/** Say how a core is read. */
export interface ReadCoreOptions {
  /** The core's size in bytes. */
  sizeBytes: number;
  limits?: Partial<ElfLimits>;
  signal?: AbortSignal;
}

/** Bytes of one read: as much as one frame of a compressed core holds. */
const READ_BYTES = 1024 * 1024;

/**
 * Read what a core says about its crash from a place that can be read anywhere: a file, or a bundle's seekable entry.
 * Only headers, notes and the first page of each module are read, wherever they lie.
 * @throws what `read` throws, and the signal's reason
 */
export async function readCoreFacts(read: ReadAt, options: ReadCoreOptions): Promise<CoreFacts> {
  const scanner = new ElfCoreScanner(options.limits, await countProgramHeaders(read));
  for (let wanted = scanner.nextWanted(); wanted !== undefined; wanted = scanner.nextWanted()) {
    options.signal?.throwIfAborted();
    const room = options.sizeBytes - wanted.offset;
    const length = Math.min(wanted.length, READ_BYTES, room);
    const bytes = length > 0 ? await read(wanted.offset, length) : new Uint8Array();
    if (bytes.length === 0) scanner.dropWanted();
    else {
      scanner.seek(wanted.offset);
      scanner.push(bytes);
    }
  }
  const facts = scanner.finish(options.sizeBytes);
  return options.limits?.modules === 0 ? facts : addUnlistedModules(facts, read);
}

/** Complete the list of modules where the core's own list of files is missing or was cut. */
async function addUnlistedModules(facts: CoreFacts, read: ReadAt): Promise<CoreFacts> {
  if (!facts.isCore || facts.threadCount === 0 || facts.fileList === "whole") return facts;
  const memory = new CoreMemory(facts, read);
  const found = await findLoadedModules(facts, facts.modules, (address, length) => memory.read(address, length));
  const problem = {
    step: "core" as const,
    code: "CDH_CORE_FILES",
    detail: `${facts.fileList === "cut" ? "the core's list of files is cut" : "the core lists no files"}: ${found.length} modules were found in memory`,
  };
  const problems = facts.problems.filter(({ code }) => code !== problem.code);
  return { ...facts, modules: [...found, ...facts.modules], problems: [...problems, problem] };
}

/** Read memory of the crashed process from its core. */
export class CoreMemory {
  readonly #segments: readonly CoreSegment[];
  readonly #read: ReadAt;

  constructor(facts: Pick<CoreFacts, "segments">, read: ReadAt) {
    this.#segments = facts.segments
      .filter((segment) => segment.fileSize > 0)
      .sort((a, b) => (a.vaddr < b.vaddr ? -1 : 1));
    this.#read = read;
  }

  /**
   * Read up to `length` bytes at an address; fewer where the segment's bytes in the core end.
   * @returns undefined when the core holds nothing of this address
   */
  async read(address: bigint, length: number): Promise<Uint8Array | undefined> {
    const segment = this.#find(address);
    if (segment === undefined) return undefined;
    const within = Number(address - segment.vaddr);
    return await this.#read(segment.offset + within, Math.min(length, segment.fileSize - within));
  }

  #find(address: bigint): CoreSegment | undefined {
    let low = 0;
    let high = this.#segments.length - 1;
    while (low <= high) {
      const middle = (low + high) >>> 1;
      const segment = this.#segments[middle];
      if (segment === undefined) return undefined;
      if (address < segment.vaddr) high = middle - 1;
      else if (address >= segment.vaddr + BigInt(segment.fileSize)) low = middle + 1;
      else return segment;
    }
    return undefined;
  }
}

/** The number of program headers of a core that has too many for its ELF header: `sh_info` of the first section. */
async function countProgramHeaders(read: ReadAt): Promise<number | undefined> {
  const header = tryParseElfHeader(await read(0, ELF_HEADER_BYTES));
  if (header === undefined || header.phnum !== PN_XNUM || header.shoff === 0 || !Number.isFinite(header.shoff))
    return undefined;
  const infoAt = header.bits === 64 ? 44 : 28;
  const section = await read(header.shoff, infoAt + 4);
  const count = new FieldReader(section, header).u32(infoAt);
  return count >= PN_XNUM && count <= MAX_PROGRAM_HEADERS ? count : undefined;
}
