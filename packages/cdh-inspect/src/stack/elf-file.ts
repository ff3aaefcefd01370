import { open, type FileHandle } from "node:fs/promises";
import { FieldReader } from "@cdh/core/elf/bytes";
import {
  ELF_HEADER_BYTES,
  parseProgramHeader,
  programHeaderBytes,
  PT_LOAD,
  tryParseElfHeader,
  type ElfHeader,
  type ProgramHeader,
} from "@cdh/core/elf/format";
import { tryParseModuleImage } from "@cdh/core/elf/module-image";

/** A function, and how far into it an address is. */
export interface Symbol {
  name: string;
  offset: bigint;
}

const SHT_SYMTAB = 2;
const SHT_DYNSYM = 11;
const STB_LOCAL = 0;
const STT_FUNC = 2;
const STT_GNU_IFUNC = 10;
const SECTIONS_MAX = 65_536;
const PROGRAMS_MAX = 1024;
const PIECE_BYTES = 1024 * 1024;
/** Templates have long names. */
const NAME_MAX_BYTES = 8192;
/** A symbol without a size covers at most this. */
const UNSIZED_MAX = 0x10000n;
/** Build-ids lie in the first pages. */
const IMAGE_BYTES = 64 * 1024;

interface Section {
  type: number;
  offset: number;
  sizeBytes: number;
  link: number;
}

interface Best {
  value: bigint;
  nameOffset: number;
  isSized: boolean;
  isLocal: boolean;
}

/** Read symbols out of an ELF file on disk. Total against damaged files: what cannot be read is not found. */
export class ElfFile {
  readonly buildId: string | undefined;
  readonly #file: FileHandle;
  readonly #header: ElfHeader;
  /** Lowest address that the file asks to be loaded at, page-aligned. */
  readonly baseVaddr: bigint;
  #programs: Promise<ProgramHeader[]> | undefined;

  private constructor(file: FileHandle, header: ElfHeader, baseVaddr: bigint, buildId: string | undefined) {
    this.#file = file;
    this.#header = header;
    this.baseVaddr = baseVaddr;
    this.buildId = buildId;
  }

  /** Open a file; undefined when it is not there or no ELF file. */
  static async tryOpen(path: string): Promise<ElfFile | undefined> {
    const file = await open(path, "r").catch(() => undefined);
    if (file === undefined) return undefined;
    try {
      const stats = await file.stat();
      const head = stats.isFile() ? await readUpTo(file, 0, IMAGE_BYTES) : Buffer.alloc(0);
      const header = tryParseElfHeader(head.subarray(0, ELF_HEADER_BYTES));
      if (header !== undefined)
        return new ElfFile(file, header, await readBaseVaddr(file, header), tryParseModuleImage(head)?.buildId);
    } catch {
      // Unreadable is as good as not there.
    }
    await file.close();
    return undefined;
  }

  /**
   * Name the functions that offsets from the module's start fall into. Reads the symbol table piece by piece, so that its
   * size does not matter; `.dynsym` is what a stripped file has left.
   */
  async findSymbols(offsets: readonly bigint[]): Promise<Map<bigint, Symbol>> {
    const found = new Map<bigint, Symbol>();
    const sections = await this.#sections();
    for (const type of [SHT_SYMTAB, SHT_DYNSYM]) {
      const table = sections.find((section) => section.type === type);
      const strings = table === undefined ? undefined : sections[table.link];
      const missing = offsets.filter((offset) => !found.has(offset));
      if (table === undefined || strings === undefined || missing.length === 0) continue;
      for (const [offset, best] of await this.#scan(table, missing)) {
        const name = await this.#name(strings, best.nameOffset);
        if (name !== "") found.set(offset, { name, offset: offset + this.baseVaddr - best.value });
      }
    }
    return found;
  }

  /** Read the bytes at an offset from the module's start, as the file has them. */
  async readAt(offset: bigint, length: number): Promise<Uint8Array | undefined> {
    return this.readVaddr(offset + this.baseVaddr, length);
  }

  /** Read what the file puts at an address; undefined where it has not all of it. */
  async readVaddr(vaddr: bigint, length: number): Promise<Uint8Array | undefined> {
    for (const program of await this.programs()) {
      const within = vaddr - program.vaddr;
      if (
        program.type !== PT_LOAD ||
        within < 0n ||
        within + BigInt(length) > BigInt(Math.min(program.fileSize, Number.MAX_SAFE_INTEGER))
      )
        continue;
      return readUpTo(this.#file, program.offset + Number(within), length);
    }
    return undefined;
  }

  /** The program headers. */
  programs(): Promise<ProgramHeader[]> {
    return (this.#programs ??= readPrograms(this.#file, this.#header));
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  async #sections(): Promise<Section[]> {
    const { shoff, shentsize, shnum } = this.#header;
    const wide = this.#header.bits === 64;
    if (!Number.isFinite(shoff) || shentsize < (wide ? 64 : 40) || shnum > SECTIONS_MAX) return [];
    const bytes = await readUpTo(this.#file, shoff, shentsize * shnum);
    const sections: Section[] = [];
    for (let at = 0; at + shentsize <= bytes.length; at += shentsize) {
      const field = new FieldReader(bytes.subarray(at, at + shentsize), this.#header);
      sections.push(
        wide
          ? { type: field.u32(4), offset: field.size(24), sizeBytes: field.size(32), link: field.u32(40) }
          : { type: field.u32(4), offset: field.size(16), sizeBytes: field.size(20), link: field.u32(24) },
      );
    }
    return sections;
  }

  async #scan(table: Section, offsets: readonly bigint[]): Promise<Map<bigint, Best>> {
    const wide = this.#header.bits === 64;
    const entryBytes = wide ? 24 : 16;
    const best = new Map<bigint, Best>();
    // A program may have a million symbols and a thousand frames: each symbol looks only at the addresses that it covers.
    const wanted = offsets.toSorted((left, right) => (left < right ? -1 : 1));
    const firstFrom = (sorted: readonly bigint[], value: bigint): number => {
      let [low, high] = [0, sorted.length];
      while (low < high) {
        const middle = (low + high) >>> 1;
        if ((sorted[middle] ?? 0n) + this.baseVaddr < value) low = middle + 1;
        else high = middle;
      }
      return low;
    };
    const end = table.offset + table.sizeBytes;
    const step = PIECE_BYTES - (PIECE_BYTES % entryBytes);
    for (let at = table.offset; at < end;) {
      const piece = await readUpTo(this.#file, at, Math.min(step, end - at));
      if (piece.length < entryBytes) break;
      const field = new FieldReader(piece, this.#header);
      for (let entry = 0; entry + entryBytes <= piece.length; entry += entryBytes) {
        const type = field.u8(entry + (wide ? 4 : 12)) & 0xf;
        const section = field.u16(entry + (wide ? 6 : 14));
        if ((type !== STT_FUNC && type !== STT_GNU_IFUNC) || section === 0) continue;
        const value = field.word(entry + (wide ? 8 : 4));
        const size = field.word(entry + (wide ? 16 : 8));
        const isLocal = field.u8(entry + (wide ? 4 : 12)) >>> 4 === STB_LOCAL;
        const symbol = { value, size, isLocal, nameOffset: field.u32(entry) };
        const after = value + (size > 0n ? size : UNSIZED_MAX);
        for (let index = firstFrom(wanted, value); index < wanted.length; index += 1) {
          const offset = wanted[index] ?? 0n;
          if (offset + this.baseVaddr >= after) break;
          consider(best, offset, symbol);
        }
      }
      at += piece.length;
    }
    return best;
  }

  async #name(strings: Section, offset: number): Promise<string> {
    if (offset >= strings.sizeBytes) return "";
    const bytes = await readUpTo(
      this.#file,
      strings.offset + offset,
      Math.min(NAME_MAX_BYTES, strings.sizeBytes - offset),
    );
    const end = bytes.indexOf(0);
    const name = bytes.subarray(0, end === -1 ? undefined : end).toString("utf8");
    // Files of debugging symbols have versions in their names: `read@@GLIBC_2.2.5`.
    return name.replace(/@@?[A-Za-z_][\w.]*$/, "");
  }
}

/** Keep the better of two symbols that cover an address. */
function consider(
  best: Map<bigint, Best>,
  offset: bigint,
  { value, size, isLocal, nameOffset }: { value: bigint; size: bigint; isLocal: boolean; nameOffset: number },
): void {
  const isSized = size > 0n;
  const known = best.get(offset);
  // A symbol that says it covers the address beats one that merely stands before it; a public name beats an alias that the
  // library has for itself.
  if (known !== undefined) {
    if (known.isSized !== isSized ? known.isSized : known.value > value) return;
    if (known.isSized === isSized && known.value === value && (!known.isLocal || isLocal)) return;
  }
  best.set(offset, { value, nameOffset, isSized, isLocal });
}

async function readPrograms(file: FileHandle, header: ElfHeader): Promise<ProgramHeader[]> {
  const entryBytes = programHeaderBytes(header);
  if (!Number.isFinite(header.phoff) || header.phentsize < entryBytes) return [];
  const bytes = await readUpTo(file, header.phoff, header.phentsize * Math.min(header.phnum, PROGRAMS_MAX));
  const programs: ProgramHeader[] = [];
  for (let at = 0; at + entryBytes <= bytes.length; at += header.phentsize)
    programs.push(parseProgramHeader(bytes.subarray(at, at + entryBytes), header));
  return programs;
}

async function readBaseVaddr(file: FileHandle, header: ElfHeader): Promise<bigint> {
  // Loadable segments are in ascending order: the first one is where the module starts.
  const first = (await readPrograms(file, header)).find(({ type }) => type === PT_LOAD);
  return first === undefined || !Number.isFinite(first.offset) ? 0n : (first.vaddr - BigInt(first.offset)) & ~0xfffn;
}

async function readUpTo(file: FileHandle, offset: number, length: number): Promise<Buffer> {
  if (!Number.isSafeInteger(offset) || length <= 0) return Buffer.alloc(0);
  const bytes = Buffer.alloc(Math.min(length, 16 * 1024 * 1024));
  let filled = 0;
  while (filled < bytes.length) {
    const { bytesRead } = await file.read(bytes, filled, bytes.length - filled, offset + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return bytes.subarray(0, filled);
}
