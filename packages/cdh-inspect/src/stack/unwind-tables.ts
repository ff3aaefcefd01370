import {
  ELF_HEADER_BYTES,
  parseProgramHeader,
  programHeaderBytes,
  PT_LOAD,
  tryParseElfHeader,
  type ProgramHeader,
} from "@cdh/core/elf/format";
import { UnwindDataError } from "./dwarf-reader.ts";
import { findFrameDescription, type FrameDescription, type UnwindImage } from "./eh-frame.ts";
import type { ModuleFiles } from "./module-files.ts";
import type { ReadMemory } from "./unwind.ts";

/** Program header of .eh_frame_hdr. @see Linux Standard Base, 10.6 */
const PT_GNU_EH_FRAME = 0x6474e550;
const PROGRAMS_MAX = 1024;
/** Every thread that waits waits in the same few places. */
const KEPT = 4096;

interface ModuleTables {
  image: UnwindImage;
  /** What is added to an address of the process to get one of the file. */
  toVaddr: bigint;
}

type Described = { description: FrameDescription; vaddr: bigint } | undefined;

/** Find how code keeps its caller: in the module's file, else in its pages in the core, where the vDSO is always. */
export class UnwindTables {
  readonly #files: ModuleFiles;
  readonly #read: ReadMemory;
  readonly #modules = new Map<string, Promise<ModuleTables | undefined>>();
  readonly #known = new Map<bigint, Promise<Described>>();
  readonly #code = new Map<bigint, Promise<Uint8Array | undefined>>();

  constructor(files: ModuleFiles, read: ReadMemory) {
    this.#files = files;
    this.#read = read;
  }

  /** Describe the code at an address of the process. @throws {UnwindDataError} when the module's tables are damaged */
  describe(address: bigint): Promise<Described> {
    const known = this.#known.get(address);
    if (known !== undefined) return known;
    const described = this.#find(address);
    if (this.#known.size < KEPT) this.#known.set(address, described);
    return described;
  }

  /** Read instructions: out of the core, which has the vDSO's, else out of their module's file. */
  readCode(address: bigint, length: number): Promise<Uint8Array | undefined> {
    const known = this.#code.get(address) ?? this.#readCode(address, length);
    if (this.#code.size < KEPT) this.#code.set(address, known);
    return known;
  }

  async #readCode(address: bigint, length: number): Promise<Uint8Array | undefined> {
    const held = await this.#read(address, length);
    if (held !== undefined && held.length === length) return held;
    const place = this.#files.map.find(address);
    return place === undefined ? undefined : this.#files.readCode(place, length);
  }

  async #find(address: bigint): Promise<Described> {
    const place = this.#files.map.find(address);
    if (place === undefined) return undefined;
    const tables = this.#modules.get(place.path) ?? this.#open(place.path, address - place.offset);
    this.#modules.set(place.path, tables);
    const found = await tables;
    if (found === undefined) return undefined;
    const vaddr = address + found.toVaddr;
    const description = await findFrameDescription(found.image, vaddr);
    return description === undefined ? undefined : { description, vaddr };
  }

  async #open(path: string, start: bigint): Promise<ModuleTables | undefined> {
    const file = await this.#files.file(path);
    if (file !== undefined) {
      const header = (await file.programs()).find(({ type }) => type === PT_GNU_EH_FRAME);
      if (header === undefined) return undefined;
      const read = (vaddr: bigint, length: number): Promise<Uint8Array | undefined> => file.readVaddr(vaddr, length);
      return { image: imageOf(header, read), toVaddr: file.baseVaddr - start };
    }
    const programs = await this.#programsInCore(start);
    const header = programs.find(({ type }) => type === PT_GNU_EH_FRAME);
    const first = programs.find(({ type }) => type === PT_LOAD);
    if (header === undefined || first === undefined || !Number.isFinite(first.offset)) return undefined;
    const toVaddr = ((first.vaddr - BigInt(first.offset)) & ~0xfffn) - start;
    return { image: imageOf(header, (vaddr, length) => this.#read(vaddr - toVaddr, length)), toVaddr };
  }

  async #programsInCore(start: bigint): Promise<ProgramHeader[]> {
    const header = tryParseElfHeader((await this.#read(start, ELF_HEADER_BYTES)) ?? new Uint8Array());
    if (header === undefined || header.bits !== 64 || !Number.isFinite(header.phoff)) return [];
    const entryBytes = programHeaderBytes(header);
    if (header.phentsize < entryBytes) return [];
    const length = header.phentsize * Math.min(header.phnum, PROGRAMS_MAX);
    const bytes = (await this.#read(start + BigInt(header.phoff), length)) ?? new Uint8Array();
    const programs: ProgramHeader[] = [];
    for (let at = 0; at + entryBytes <= bytes.length; at += header.phentsize)
      programs.push(parseProgramHeader(bytes.subarray(at, at + entryBytes), header));
    return programs;
  }
}

function imageOf({ vaddr, fileSize }: ProgramHeader, read: UnwindImage["read"]): UnwindImage {
  if (!Number.isFinite(fileSize)) throw new UnwindDataError("a table without end");
  return { header: { vaddr, sizeBytes: fileSize }, read };
}
