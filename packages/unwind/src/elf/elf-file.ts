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
import { readModuleNotes } from "@cdh/core/elf/module-image";
import { CachedSource, type ByteSource } from "./byte-source.ts";
import { openSection, readSections, type Section } from "./sections.ts";

const PROGRAMS_MAX = 1024;
const PF_X = 1;
/** Longest note segment or section that is read for a build-id. */
const NOTES_MAX_BYTES = 64 * 1024;
/** Largest section that is unpacked, in bytes. */
const SECTION_MAX_BYTES = 256 * 1024 * 1024;

/** Read an ELF file. Total against damaged files: what cannot be read is not found. */
export class ElfFile {
  readonly header: ElfHeader;
  readonly source: ByteSource;
  readonly programs: readonly ProgramHeader[];
  readonly buildId: string | undefined;
  /** Go's own build-id, as its linker writes it; the Go toolchain leaves the GNU one out of some builds. */
  readonly goBuildId: string | undefined;
  /** Lowest address that the file asks to be loaded at, page-aligned. */
  readonly baseVaddr: bigint;
  #sections: Promise<Section[]> | undefined;
  readonly #opened = new Map<Section, Promise<ByteSource | undefined>>();

  private constructor(
    header: ElfHeader,
    source: ByteSource,
    programs: readonly ProgramHeader[],
    ids: { buildId?: string; goBuildId?: string },
  ) {
    this.header = header;
    this.source = source;
    this.programs = programs;
    this.buildId = ids.buildId;
    this.goBuildId = ids.goBuildId;
    // Loadable segments are in ascending order: the first one is where the module starts.
    const first = programs.find(({ type }) => type === PT_LOAD);
    this.baseVaddr =
      first === undefined || !Number.isFinite(first.offset)
        ? 0n
        : BigInt.asUintN(64, (first.vaddr - BigInt(first.offset)) & ~0xfffn);
  }

  /** Open what a source holds; undefined when it is no ELF file. @throws what the source throws */
  static async tryOpen(bytes: ByteSource): Promise<ElfFile | undefined> {
    const source = bytes instanceof CachedSource ? bytes : new CachedSource(bytes);
    const header = tryParseElfHeader(await source.read(0, ELF_HEADER_BYTES));
    if (header === undefined) return undefined;
    const programs = await readPrograms(source, header);
    const ids = await readModuleNotes(header, programs, (offset, length) => source.read(offset, length));
    const elf = new ElfFile(header, source, programs, ids);
    return ids.buildId === undefined ? await withNotesOfSections(elf, ids) : elf;
  }

  /** Make the file anew with the build-ids that only its sections show. */
  static withIds(elf: ElfFile, ids: { buildId?: string; goBuildId?: string }): ElfFile {
    return new ElfFile(elf.header, elf.source, elf.programs, ids);
  }

  /** The sections, with names; none in a file that was stripped of them. */
  sections(): Promise<Section[]> {
    return (this.#sections ??= readSections(this.source, this.header));
  }

  /** The bytes of a section by its name, unpacked where it is compressed. */
  async section(name: string): Promise<{ section: Section; data: ByteSource } | undefined> {
    const zipped = name.startsWith(".debug") ? `.z${name.slice(1)}` : name;
    const section = (await this.sections()).find((one) => one.name === name || one.name === zipped);
    if (section === undefined) return undefined;
    const known = this.#opened.get(section) ?? openSection(this.source, section, this.header, SECTION_MAX_BYTES);
    this.#opened.set(section, known);
    const data = await known;
    return data === undefined ? undefined : { section, data };
  }

  /** Tell at which address of the file an offset into it is loaded; undefined where it is not loaded. */
  vaddrOf(offset: bigint): bigint | undefined {
    let beyond: bigint | undefined;
    for (const program of this.programs) {
      if (program.type !== PT_LOAD || !Number.isFinite(program.offset + program.fileSize)) continue;
      const within = offset - BigInt(program.offset);
      if (within >= 0n && within < BigInt(program.fileSize)) return program.vaddr + within;
      // The loader maps whole pages.
      const page = BigInt(Math.max(4096, Math.min(program.align, 65_536)));
      if (within < 0n ? -within < page : within < (BigInt(program.fileSize) | (page - 1n)) + 1n)
        beyond ??= BigInt.asUintN(64, program.vaddr + within);
    }
    return beyond;
  }

  /** Tell whether the file's own headers make code of an address; undefined where they load nothing there. */
  isExecutable(vaddr: bigint): boolean | undefined {
    for (const { type, vaddr: start, memSize, flags } of this.programs) {
      const end = Number.isFinite(memSize) ? start + BigInt(memSize) : start;
      if (type === PT_LOAD && vaddr >= start && vaddr < end) return (flags & PF_X) !== 0;
    }
    return undefined;
  }

  /** Read what the file puts at an address; undefined where it has not all of it. */
  async readVaddr(vaddr: bigint, length: number): Promise<Uint8Array | undefined> {
    const bytes = await this.readUpToVaddr(vaddr, length);
    return bytes !== undefined && bytes.length === length ? bytes : undefined;
  }

  /** Read what the file puts at an address and behind it, to the end of that segment. */
  async readUpToVaddr(vaddr: bigint, length: number): Promise<Uint8Array | undefined> {
    for (const program of this.programs) {
      const within = vaddr - program.vaddr;
      const size = Math.min(program.fileSize, Number.MAX_SAFE_INTEGER);
      if (program.type !== PT_LOAD || !Number.isFinite(program.offset) || within < 0n || within >= BigInt(size))
        continue;
      return this.source.read(program.offset + Number(within), Math.min(length, size - Number(within)));
    }
    return undefined;
  }
}

const SHT_NOTE = 7;
const SECTION_NOTES_MAX = 32;

/** Objects of debugging symbols, and Go's linker, have notes that no program header shows. */
async function withNotesOfSections(elf: ElfFile, known: { buildId?: string; goBuildId?: string }): Promise<ElfFile> {
  const notes = (await elf.sections())
    .filter(({ type, sizeBytes }) => type === SHT_NOTE && sizeBytes > 0 && sizeBytes <= NOTES_MAX_BYTES)
    .slice(0, SECTION_NOTES_MAX)
    .map(({ offset, sizeBytes }) => ({
      type: 4,
      flags: 0,
      offset,
      vaddr: 0n,
      fileSize: sizeBytes,
      memSize: 0,
      align: 4,
    }));
  const found = await readModuleNotes(elf.header, notes, (offset, length) => elf.source.read(offset, length));
  return ElfFile.withIds(elf, { ...found, ...known });
}

async function readPrograms(source: ByteSource, header: ElfHeader): Promise<ProgramHeader[]> {
  const entryBytes = programHeaderBytes(header);
  // As for sections: another size than the class has is no linker's.
  if (!Number.isFinite(header.phoff) || header.phentsize !== entryBytes) return [];
  const bytes = await source.read(header.phoff, entryBytes * Math.min(header.phnum, PROGRAMS_MAX));
  const programs: ProgramHeader[] = [];
  for (let at = 0; at + entryBytes <= bytes.length; at += entryBytes)
    programs.push(parseProgramHeader(bytes.subarray(at, at + entryBytes), header));
  return programs;
}

/** Read numbers of this file's word size and byte order. */
export function fieldsOf(elf: ElfFile, bytes: Uint8Array): FieldReader {
  return new FieldReader(bytes, elf.header);
}
