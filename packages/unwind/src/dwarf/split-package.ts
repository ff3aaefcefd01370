import type { ByteSource } from "../elf/byte-source.ts";
import type { ElfFile } from "../elf/elf-file.ts";
import { DwarfReader, UnwindDataError } from "../tables/dwarf-reader.ts";

/** The sections of a package of which each unit has a part of its own. */
export type SplitSection = "info" | "abbrev" | "str_offsets" | "rnglists";

/** Which part of a section is a unit's. */
export interface Contribution {
  offset: number;
  sizeBytes: number;
}

/** The parts of one unit. */
export type Contributions = ReadonlyMap<SplitSection, Contribution>;

/** Numbers of the sections in the index. @see DWARF 5, 7.3.5.3; the same in GNU's version 2 for those that it has */
const COLUMNS: Readonly<Record<number, SplitSection>> = { 1: "info", 3: "abbrev", 6: "str_offsets", 8: "rnglists" };
const HEADER_BYTES = 16;
const COLUMNS_MAX = 16;
/** A package of Chromium's size has some 50,000. */
const UNITS_MAX = 500_000;
const PROBES_MAX = 4096;

/** A package of split debug info (`.dwp`): the units that a program's own debug info only names. */
export class SplitPackage {
  readonly elf: ElfFile;
  readonly #index: ByteSource;
  readonly #version: number;
  readonly #columns: number;
  readonly #units: number;
  readonly #slots: number;

  private constructor(elf: ElfFile, index: ByteSource, header: DwarfReader) {
    this.elf = elf;
    this.#index = index;
    // Version 5 has a half-word and padding.
    this.#version = header.u16();
    header.u16();
    this.#columns = header.u32();
    this.#units = header.u32();
    this.#slots = header.u32();
  }

  /** Open a file that may be one; undefined when it is none, or its index is of another version. */
  static async tryOpen(elf: ElfFile): Promise<SplitPackage | undefined> {
    const index = elf.header.little ? (await elf.section(".debug_cu_index"))?.data : undefined;
    if (index === undefined || index.sizeBytes < HEADER_BYTES) return undefined;
    const opened = new SplitPackage(elf, index, new DwarfReader(await index.read(0, HEADER_BYTES)));
    return opened.#isSound() ? opened : undefined;
  }

  /** Find a unit by the number that it and the program's own unit share. @throws {UnwindDataError} when the index is damaged */
  async find(id: bigint): Promise<Contributions | undefined> {
    const mask = BigInt(this.#slots - 1);
    let slot = id & mask;
    const step = ((id >> 32n) & mask) | 1n;
    for (let probes = 0; probes < Math.min(this.#slots, PROBES_MAX); probes += 1) {
      const row = (await this.#words(this.#rowsAt + 4 * Number(slot), 1))[0] ?? 0;
      if (row === 0) return undefined;
      const [low = 0, high = 0] = await this.#words(HEADER_BYTES + 8 * Number(slot), 2);
      if (((BigInt(high) << 32n) | BigInt(low)) === id) return await this.#contributions(row);
      slot = (slot + step) & mask;
    }
    return undefined;
  }

  get #rowsAt(): number {
    return HEADER_BYTES + 8 * this.#slots;
  }

  #isSound(): boolean {
    const isPower = this.#slots > 0 && (this.#slots & (this.#slots - 1)) === 0;
    const isKnown = this.#version === 5 || this.#version === 2;
    return isKnown && isPower && this.#columns <= COLUMNS_MAX && this.#units <= UNITS_MAX && this.#units <= this.#slots;
  }

  async #contributions(row: number): Promise<Contributions> {
    if (row > this.#units) throw new UnwindDataError(`row ${row} of ${this.#units}`);
    const columns = this.#columns;
    const idsAt = this.#rowsAt + 4 * this.#slots;
    const offsetsAt = idsAt + 4 * columns;
    const sizesAt = offsetsAt + 4 * columns * this.#units;
    const [ids, offsets, sizes] = await Promise.all([
      this.#words(idsAt, columns),
      this.#words(offsetsAt + 4 * columns * (row - 1), columns),
      this.#words(sizesAt + 4 * columns * (row - 1), columns),
    ]);
    const parts = new Map<SplitSection, Contribution>();
    for (const [column, id] of ids.entries()) {
      const name = COLUMNS[id];
      const [offset, sizeBytes] = [offsets[column], sizes[column]];
      if (name !== undefined && offset !== undefined && sizeBytes !== undefined) parts.set(name, { offset, sizeBytes });
    }
    return parts;
  }

  async #words(at: number, count: number): Promise<number[]> {
    const reader = new DwarfReader(await this.#index.read(at, 4 * count));
    return Array.from({ length: count }, () => reader.u32());
  }
}
