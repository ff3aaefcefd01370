import type { ModuleFacts } from "@cdh/core/bundle/manifest";
import { describeModules } from "@cdh/core/bundle/manifest-from-core";
import type { CoreFacts } from "@cdh/core/elf/facts";
import { makeAddressMap, type AddressMap, type Place } from "@cdh/core/report/address-map";
import type { ElfFile, Symbol } from "./elf-file.ts";
import { findModuleFile, type FileWishes } from "./find-files.ts";

/** The files behind a core's modules, opened when they are needed. */
export class ModuleFiles {
  readonly map: AddressMap;
  /** Why names are missing. */
  readonly notes: string[] = [];
  readonly #modules: readonly { facts: ModuleFacts; start: bigint; isProgram: boolean }[];
  readonly #wishes: FileWishes;
  readonly #symbols = new Map<string, Promise<ElfFile | undefined>>();
  readonly #code = new Map<string, Promise<ElfFile | undefined>>();

  constructor(facts: CoreFacts, wishes: FileWishes) {
    const described = describeModules(facts);
    this.map = makeAddressMap(described);
    this.#wishes = wishes;
    this.#modules = facts.modules.flatMap(({ start, executable }, index) => {
      const module = described[index];
      return module === undefined ? [] : [{ facts: module, start, isProgram: executable === true }];
    });
  }

  /** Name the functions that addresses fall into; those that cannot be named are left out. */
  async name(addresses: readonly bigint[]): Promise<Map<bigint, Symbol>> {
    const offsets = new Map<string, Set<bigint>>();
    for (const address of addresses) {
      const place = this.map.find(address);
      if (place !== undefined) offsets.set(place.path, (offsets.get(place.path) ?? new Set()).add(place.offset));
    }
    const names = new Map<bigint, Symbol>();
    for (const [path, wanted] of offsets) {
      const start = this.#find(path)?.start;
      const file = await this.#open(path);
      if (file === undefined || start === undefined) continue;
      for (const [offset, symbol] of await file.findSymbols([...wanted])) names.set(start + offset, symbol);
    }
    return names;
  }

  /** Read the instructions at a place. */
  async readCode(place: Place, length: number): Promise<Uint8Array | undefined> {
    return (await this.file(place.path))?.readAt(place.offset, length);
  }

  /** The file of a module, with its code; undefined when it is not here. */
  file(path: string): Promise<ElfFile | undefined> {
    const known = this.#code.get(path) ?? this.#openFirst(path, true);
    this.#code.set(path, known);
    return known;
  }

  async close(): Promise<void> {
    for (const file of [...this.#symbols.values(), ...this.#code.values()]) await (await file)?.close();
  }

  #find(path: string): { facts: ModuleFacts; start: bigint; isProgram: boolean } | undefined {
    return this.#modules.find((module) => module.facts.path === path);
  }

  #open(path: string): Promise<ElfFile | undefined> {
    const known = this.#symbols.get(path) ?? this.#openFirst(path, false);
    this.#symbols.set(path, known);
    return known;
  }

  async #openFirst(path: string, needsCode: boolean): Promise<ElfFile | undefined> {
    const module = this.#find(path);
    // The vDSO is in no file.
    if (module === undefined || path.startsWith("[")) return undefined;
    const { file, mismatch } = await findModuleFile(module.facts, module.isProgram, this.#wishes, { needsCode });
    // What is said of a file's names holds for its code.
    if (needsCode) return file?.elf;
    if (mismatch !== undefined) this.notes.push(`another build: ${mismatch}`);
    if (file === undefined) {
      const { buildId } = module.facts;
      this.notes.push(`no file for ${path}${buildId === undefined ? "" : ` (build-id ${buildId})`}`);
    }
    return file?.elf;
  }
}
