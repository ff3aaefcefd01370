import type { CoreMapping, CoreModule } from "@cdh/core/elf/facts";
import { PT_LOAD } from "@cdh/core/elf/format";
import { DebugInfo } from "../dwarf/debug-info.ts";
import { SourceLines } from "../dwarf/source-lines.ts";
import { readDebugLink, readSharedDebugLink } from "../elf/debug-links.ts";
import { ElfFile } from "../elf/elf-file.ts";
import { openMiniDebugFile } from "../elf/mini-debug-file.ts";
import { GoProgram } from "../go/go-program.ts";
import { FrameTables } from "../tables/frame-tables.ts";
import type { ReadMemory } from "../tables/memory.ts";
import type { ModuleOpener } from "./module-opener.ts";

/** One module of a process: its file, or what the core has of it. */
export class LoadedModule {
  readonly module: CoreModule;
  readonly #opener: ModuleOpener;
  readonly #read: ReadMemory;
  readonly #mappingOf: (address: bigint) => CoreMapping | undefined;
  #file: Promise<ElfFile | undefined> | undefined;
  #code: Promise<ElfFile | undefined> | undefined;
  #debug: Promise<ElfFile | undefined> | undefined;
  #mini: Promise<ElfFile | undefined> | undefined;
  #tables: Promise<FrameTables | undefined> | undefined;
  #lines: Promise<SourceLines | undefined> | undefined;
  #shared: Promise<DebugInfo | undefined> | undefined;
  #go: Promise<GoProgram | undefined> | undefined;

  constructor(
    module: CoreModule,
    opener: ModuleOpener,
    read: ReadMemory,
    mappingOf: (address: bigint) => CoreMapping | undefined,
  ) {
    this.module = module;
    this.#opener = opener;
    this.#read = read;
    this.#mappingOf = mappingOf;
  }

  /** The module's own file; undefined when it is not at hand. */
  file(): Promise<ElfFile | undefined> {
    // The vDSO is in no file.
    return (this.#file ??= this.module.path.startsWith("[")
      ? Promise.resolve(undefined)
      : this.#opener.openFile(this.module));
  }

  /** The module's file, else what of it lies in the core: its headers, and whatever pages were dumped. */
  code(): Promise<ElfFile | undefined> {
    return (this.#code ??= this.file().then((file) => file ?? this.#openInMemory()));
  }

  /** The file with the debugging symbols, which may be the module's own. */
  debugFile(): Promise<ElfFile | undefined> {
    return (this.#debug ??= this.#findDebugFile());
  }

  /** The small symbol table that some distributions leave in stripped files. */
  miniDebugFile(): Promise<ElfFile | undefined> {
    return (this.#mini ??= this.code().then((elf) => (elf === undefined ? undefined : openMiniDebugFile(elf))));
  }

  /** The unwind tables; undefined when neither file nor core has the module's headers. */
  tables(): Promise<FrameTables | undefined> {
    return (this.#tables ??= this.code().then((elf) =>
      elf === undefined ? undefined : new FrameTables(elf, () => this.debugFile()),
    ));
  }

  /** What Go's linker wrote; undefined for other programs. */
  go(): Promise<GoProgram | undefined> {
    return (this.#go ??= this.code().then(async (elf) => {
      if (elf === undefined) return undefined;
      const moved = this.module.start - elf.baseVaddr;
      return GoProgram.tryOpen(elf, (vaddr, length) => this.readAll(vaddr + moved, length));
    }));
  }

  /** Source lines and inlined calls; undefined when no debugging symbols are at hand. */
  sourceLines(): Promise<SourceLines | undefined> {
    return (this.#lines ??= this.debugFile().then(async (elf) => {
      const info = elf === undefined ? undefined : await this.#openInfo(elf);
      return info === undefined ? undefined : new SourceLines(info);
    }));
  }

  #openInfo(elf: ElfFile): Promise<DebugInfo | undefined> {
    const split = async (): Promise<ElfFile | undefined> => this.#opener.openSplitPackage?.(this.module);
    return DebugInfo.tryOpen(elf, () => this.#sharedInfo(elf), split);
  }

  async #sharedInfo(elf: ElfFile): Promise<DebugInfo | undefined> {
    const open = async (): Promise<DebugInfo | undefined> => {
      const link = await readSharedDebugLink(elf);
      const file = link === undefined ? undefined : await this.#opener.openSharedDebugFile(this.module, link);
      return file === undefined ? undefined : DebugInfo.tryOpen(file, () => Promise.resolve(undefined));
    };
    return (this.#shared ??= open());
  }

  /** Tell an address of the process in the terms of the module's file; undefined where the file has nothing there. */
  async vaddrOf(address: bigint): Promise<bigint | undefined> {
    const elf = await this.code();
    if (elf === undefined) return undefined;
    const mapping = this.#mappingOf(address);
    // One file may be mapped twice, or in parts that do not lie as its headers say.
    if (mapping !== undefined && mapping.path === this.module.path)
      return elf.vaddrOf(address - mapping.start + mapping.fileOffset);
    return address - this.module.start + elf.baseVaddr;
  }

  /** Tell where an address of the module's file is in the process; undefined where the file is not known. */
  async addressOf(vaddr: bigint): Promise<bigint | undefined> {
    const elf = await this.code();
    return elf === undefined ? undefined : vaddr + this.module.start - elf.baseVaddr;
  }

  /** Read up to `length` bytes of memory, across the core's segments. */
  async readAll(address: bigint, length: number): Promise<Uint8Array | undefined> {
    const parts: Uint8Array[] = [];
    for (let filled = 0; filled < length;) {
      const part = await this.#read(address + BigInt(filled), length - filled);
      if (part === undefined || part.length === 0) break;
      parts.push(part);
      filled += part.length;
    }
    return parts.length === 0 ? undefined : parts.length === 1 ? parts[0] : Buffer.concat(parts);
  }

  async #openInMemory(): Promise<ElfFile | undefined> {
    const { start, end, path } = this.module;
    const sizeBytes = Number(end - start);
    const readAt = async (offset: number, length: number): Promise<Uint8Array> =>
      (await this.readAll(start + BigInt(offset), length)) ?? new Uint8Array();
    const whole = await ElfFile.tryOpen({ sizeBytes, read: readAt });
    // The vDSO lies in memory as it would in a file; of a file its segments do, each at its own distance.
    if (whole === undefined || path.startsWith("[")) return whole;
    const { programs, baseVaddr } = whole;
    return ElfFile.tryOpen({
      sizeBytes: Number.MAX_SAFE_INTEGER,
      read: (offset, length) => {
        const program = programs.find(
          (one) => one.type === PT_LOAD && offset >= one.offset && offset < one.offset + one.fileSize,
        );
        if (program === undefined) return readAt(offset, offset < 4096 ? length : 0);
        const within = offset - program.offset;
        return readAt(Number(program.vaddr - baseVaddr) + within, Math.min(length, program.fileSize - within));
      },
    });
  }

  async #findDebugFile(): Promise<ElfFile | undefined> {
    const elf = await this.code();
    if (elf === undefined) return undefined;
    if ((await elf.section(".debug_info")) !== undefined) return elf;
    const found = await this.#opener.openDebugFile(this.module, await readDebugLink(elf));
    return found ?? elf;
  }
}
