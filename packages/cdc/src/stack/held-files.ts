import { fstatSync, readSync } from "node:fs";
import type { CoreModule } from "@cdh/core/elf/facts";
import { makeRangeIndex } from "@cdh/core/elf/range-index";
import { reasonOf } from "@cdh/core/errors";
import type { ByteSource } from "@cdh/unwind/elf/byte-source";
import { ElfFile } from "@cdh/unwind/elf/elf-file";
import type { ModuleOpener } from "@cdh/unwind/process/module-opener";
import { reopenFile } from "./path-descriptor.ts";
import type { StackRequest } from "./stack-request.ts";

const NOTES_MAX = 8;
/** Longest piece that is read at once, in bytes. */
const READ_MAX_BYTES = 64 * 1024 * 1024;

/** The files behind the modules of a crashed process, out of descriptors that its composer kept. */
export class HeldFiles implements ModuleOpener {
  /** Why names may be missing. */
  readonly notes: string[] = [];
  readonly #descriptors = new Map<CoreModule, number>();
  readonly #opened = new Map<number, Promise<ElfFile | undefined>>();

  constructor({ facts, files }: Pick<StackRequest, "facts" | "files">) {
    const moduleAt = makeRangeIndex(facts.modules);
    const mappings = new Map(facts.mappings.map((mapping) => [mapping.start, mapping.path]));
    for (const { fd, starts } of files) {
      for (const start of starts) {
        const module = moduleAt(start);
        const path = mappings.get(start);
        if (module !== undefined && (path === undefined || path === module.path)) this.#descriptors.set(module, fd);
      }
    }
    // A file that is mapped twice has its code in one of them alone.
    const byPath = new Map([...this.#descriptors].map(([{ path }, fd]) => [path, fd]));
    for (const module of facts.modules) {
      const fd = byPath.get(module.path);
      if (fd !== undefined && !this.#descriptors.has(module)) this.#descriptors.set(module, fd);
    }
  }

  async openFile(module: CoreModule): Promise<ElfFile | undefined> {
    const fd = this.#descriptors.get(module);
    if (fd === undefined) return undefined;
    const opened = this.#opened.get(fd) ?? this.#open(fd, module);
    this.#opened.set(fd, opened);
    const elf = await opened;
    if (elf?.buildId === undefined || module.buildId === undefined || elf.buildId === module.buildId) return elf;
    this.#note(`${module.path} is another build now`);
    return undefined;
  }

  /** Separate files are wherever their package put them, if they are on the node at all. */
  async openDebugFile(): Promise<undefined> {
    return undefined;
  }

  async openSharedDebugFile(): Promise<undefined> {
    return undefined;
  }

  async #open(fd: number, { path }: CoreModule): Promise<ElfFile | undefined> {
    try {
      const elf = await ElfFile.tryOpen(openHeld(fd).source);
      if (elf === undefined) this.#note(`${path} is no ELF file`);
      return elf;
    } catch (error) {
      this.#note(`${path}: ${reasonOf(error)}`);
      return undefined;
    }
  }

  #note(text: string): void {
    if (this.notes.length < NOTES_MAX && !this.notes.includes(text)) this.notes.push(text);
  }
}

/**
 * Open what a path descriptor refers to, and read it on this thread: nothing else is to be done meanwhile.
 * @throws as {@link reopenFile}
 */
export function openHeld(held: number): { fd: number; source: ByteSource } {
  const fd = reopenFile(held);
  const sizeBytes = fstatSync(fd).size;
  const source: ByteSource = {
    sizeBytes,
    read: (offset, length) => {
      const wanted = Math.min(length, sizeBytes - offset, READ_MAX_BYTES);
      if (!Number.isSafeInteger(offset) || offset < 0 || wanted <= 0) return new Uint8Array();
      const bytes = Buffer.allocUnsafe(wanted);
      let filled = 0;
      while (filled < wanted) {
        const count = readSync(fd, bytes, filled, wanted - filled, offset + filled);
        if (count === 0) break;
        filled += count;
      }
      return bytes.subarray(0, filled);
    },
  };
  return { fd, source };
}
