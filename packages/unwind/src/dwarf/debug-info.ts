import { decodeText } from "@cdh/core/elf/bytes";
import type { ByteSource } from "../elf/byte-source.ts";
import type { ElfFile } from "../elf/elf-file.ts";
import { DwarfReader, UnwindDataError } from "../tables/dwarf-reader.ts";
import { parseAbbreviations, type Abbreviation } from "./abbreviations.ts";

/** Where a unit's attributes point that are given by an index. */
export interface UnitBases {
  strings: number;
  addresses: number;
  ranges: number;
}

/** One unit of `.debug_info`. Offsets are those into the section. */
export interface Unit {
  at: number;
  end: number;
  /** Where its first entry lies. */
  root: number;
  version: number;
  isWide: boolean;
  wordBytes: 4 | 8;
  abbreviationsAt: number;
  bases: UnitBases;
  /** What the ranges are counted from. */
  lowPc: bigint;
  lineAt: number | undefined;
}

const UNITS_MAX = 500_000;
/** Entries are read out of one unit at a time. */
export const UNIT_BYTES_MAX = 128 * 1024 * 1024;
const HEADER_BYTES = 48;
const ABBREVIATIONS_BYTES_MAX = 4 * 1024 * 1024;
const ABBREVIATIONS_BYTES_SHORT = 16 * 1024;
const ABBREVIATIONS_KEPT = 512;
const TEXT_BYTES_MAX = 8192;
const SKELETON = 4;
const SPLIT_UNIT = 5;
const TYPE_UNITS = new Set([2, 6]);

/** The sections of DWARF that are read. */
export type SectionName =
  | "info"
  | "abbrev"
  | "str"
  | "line"
  | "line_str"
  | "ranges"
  | "rnglists"
  | "addr"
  | "str_offsets";

/** Debugging information of one file, read piece by piece. */
export class DebugInfo {
  readonly info: ByteSource;
  readonly wordBytes: 4 | 8;
  readonly #elf: ElfFile;
  readonly #abbreviations = new Map<number, Promise<Map<number, Abbreviation>>>();
  #units: Promise<Unit[]> | undefined;
  /** The file that several debugging files share. */
  readonly shared: () => Promise<DebugInfo | undefined>;

  private constructor(elf: ElfFile, info: ByteSource, shared: () => Promise<DebugInfo | undefined>) {
    this.#elf = elf;
    this.info = info;
    this.shared = shared;
    this.wordBytes = elf.header.bits === 64 ? 8 : 4;
  }

  /** Open a file's debugging information; undefined when it has none. */
  static async tryOpen(elf: ElfFile, shared: () => Promise<DebugInfo | undefined>): Promise<DebugInfo | undefined> {
    const info = elf.header.little ? await elf.section(".debug_info") : undefined;
    return info === undefined ? undefined : new DebugInfo(elf, info.data, shared);
  }

  /** Read some bytes of a section; fewer at its end, none without the section. */
  async read(name: SectionName, offset: number, length: number): Promise<Uint8Array> {
    const section = await this.#elf.section(`.debug_${name}`);
    return section === undefined ? new Uint8Array() : section.data.read(offset, length);
  }

  /** Size of a section in bytes; 0 without it. */
  async sizeOf(name: SectionName): Promise<number> {
    return (await this.#elf.section(`.debug_${name}`))?.data.sizeBytes ?? 0;
  }

  /** Read a text of a section. */
  async text(name: SectionName, offset: number): Promise<string> {
    const bytes = await this.read(name, offset, TEXT_BYTES_MAX);
    return bytes.includes(0) ? decodeText(bytes) : "";
  }

  /** The headers of all units, in order; what follows a damaged one is not found. */
  units(): Promise<Unit[]> {
    return (this.#units ??= this.#readUnits());
  }

  /** Find the unit that holds an offset into the section. */
  async unitAt(offset: number): Promise<Unit | undefined> {
    const units = await this.units();
    let [low, high] = [0, units.length - 1];
    while (low <= high) {
      const middle = (low + high) >>> 1;
      if ((units[middle]?.at ?? 0) <= offset) low = middle + 1;
      else high = middle - 1;
    }
    const unit = units[high];
    return unit !== undefined && offset < unit.end ? unit : undefined;
  }

  /** The abbreviations of a unit. @throws {UnwindDataError} when they are damaged */
  abbreviations({ abbreviationsAt }: Unit): Promise<Map<number, Abbreviation>> {
    const known = this.#abbreviations.get(abbreviationsAt);
    if (known !== undefined) return known;
    const parsed = (async () => {
      const size = await this.sizeOf("abbrev");
      const length = Math.min(size - abbreviationsAt, ABBREVIATIONS_BYTES_MAX);
      // A unit's table is short; another one follows it.
      const short = await this.read("abbrev", abbreviationsAt, Math.min(length, ABBREVIATIONS_BYTES_SHORT));
      try {
        const { table, isEnded } = parseAbbreviations(short);
        if (isEnded || short.length >= length) return table;
      } catch (error) {
        if (!(error instanceof UnwindDataError)) throw error;
      }
      return parseAbbreviations(await this.read("abbrev", abbreviationsAt, length)).table;
    })();
    if (this.#abbreviations.size >= ABBREVIATIONS_KEPT) this.#abbreviations.clear();
    this.#abbreviations.set(abbreviationsAt, parsed);
    return parsed;
  }

  async #readUnits(): Promise<Unit[]> {
    const units: Unit[] = [];
    try {
      for (let at = 0; at < this.info.sizeBytes && units.length < UNITS_MAX;) {
        const unit = parseUnit(await this.info.read(at, HEADER_BYTES), at);
        at = unit.end;
        if (unit.version >= 2 && unit.version <= 5) units.push(unit);
      }
    } catch (error) {
      if (!(error instanceof UnwindDataError)) throw error;
    }
    return units;
  }
}

/** @see DWARF 5, 7.5.1 Unit Headers */
function parseUnit(bytes: Uint8Array, at: number): Unit {
  const reader = new DwarfReader(bytes);
  const short = reader.u32();
  const isWide = short === 0xffff_ffff;
  const length = isWide ? reader.offset(true) : short;
  if (length === 0 || (!isWide && short >= 0xffff_fff0)) throw new UnwindDataError(`a unit of ${length} bytes`);
  const end = at + reader.at + length;
  const version = reader.u16();
  let type = 1;
  let wordBytes: number;
  let abbreviationsAt: number;
  if (version === 5) {
    type = reader.u8();
    wordBytes = reader.u8();
    abbreviationsAt = reader.offset(isWide);
    if (type === SKELETON || type === SPLIT_UNIT) reader.u64();
    else if (TYPE_UNITS.has(type)) {
      reader.u64();
      reader.offset(isWide);
    }
  } else {
    abbreviationsAt = reader.offset(isWide);
    wordBytes = reader.u8();
  }
  if (wordBytes !== 4 && wordBytes !== 8) throw new UnwindDataError(`addresses of ${wordBytes} bytes`);
  const bases = { strings: isWide ? 16 : 8, addresses: isWide ? 16 : 8, ranges: isWide ? 20 : 12 };
  return {
    at,
    end,
    root: at + reader.at,
    version,
    isWide,
    wordBytes,
    abbreviationsAt,
    bases,
    lowPc: 0n,
    lineAt: undefined,
  };
}
