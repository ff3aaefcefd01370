import type { CoreModule } from "@cdh/core/elf/facts";
import type { ElfFile } from "@cdh/unwind/elf/elf-file";
import type { DebugLink, ModuleOpener } from "@cdh/unwind/process/module-opener";
import type { OpenElf } from "./file-source.ts";
import { findDebugFile, findModuleFile, findSharedDebugFile, findSplitPackage, type FileWishes } from "./find-files.ts";

/** The files behind a core's modules, opened when they are needed. */
export class ModuleFiles implements ModuleOpener {
  /** Why names are missing. */
  readonly notes = new Set<string>();
  readonly #wishes: FileWishes;
  readonly #opened: OpenElf[] = [];
  /** A file that is mapped twice is opened once. */
  readonly #files = new Map<string, Promise<ElfFile | undefined>>();

  constructor(wishes: FileWishes) {
    this.#wishes = wishes;
  }

  openFile(module: CoreModule): Promise<ElfFile | undefined> {
    const key = [module.path, module.buildId, module.sha256, module.goBuildId, module.executable].join("\0");
    const known = this.#files.get(key) ?? this.#find(module);
    this.#files.set(key, known);
    return known;
  }

  async openDebugFile(module: CoreModule, link: DebugLink | undefined): Promise<ElfFile | undefined> {
    return this.#keep(await findDebugFile(module, link, this.#wishes));
  }

  async openSharedDebugFile(_module: CoreModule, link: DebugLink): Promise<ElfFile | undefined> {
    return this.#keep(await findSharedDebugFile(link, this.#wishes));
  }

  async openSplitPackage(module: CoreModule): Promise<ElfFile | undefined> {
    return this.#keep(await findSplitPackage(module, this.#wishes));
  }

  async close(): Promise<void> {
    for (const file of this.#opened) await file.close();
  }

  async #find(module: CoreModule): Promise<ElfFile | undefined> {
    const { file, mismatch } = await findModuleFile(module, this.#wishes);
    if (mismatch !== undefined) this.notes.add(`another build: ${mismatch}`);
    if (file === undefined) {
      const { path, buildId } = module;
      this.notes.add(`no file for ${path}${buildId === undefined ? "" : ` (build-id ${buildId})`}`);
    }
    return this.#keep(file);
  }

  #keep(file: OpenElf | undefined): ElfFile | undefined {
    if (file !== undefined) this.#opened.push(file);
    return file?.elf;
  }
}
