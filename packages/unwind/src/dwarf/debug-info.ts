import { once } from "@cdh/core/async/once";
import { decodeText } from "@cdh/core/elf/bytes";
import type { ByteSource } from "../elf/byte-source.ts";
import type { ElfFile } from "../elf/elf-file.ts";
import { DwarfReader, UnwindDataError } from "../tables/dwarf-reader.ts";
import { parseAbbreviations, type Abbreviation } from "./abbreviations.ts";
import { SplitPackage, type SplitSection } from "./split-package.ts";

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
  /** What the offsets of old ranges are counted from. */
  oldRangesAt: number;
  /** Number of the unit that has its entries, in a package of split debug info; undefined where it has them itself. */
  splitId: bigint | undefined;
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

/** Where a section lies, or the part of it that is one unit's. */
interface Part {
  data: ByteSource;
  offset: number;
  sizeBytes: number;
}

type FindPart = (name: SectionName) => Promise<Part | undefined>;

/** Debugging information of one file, read piece by piece. */
export class DebugInfo {
  readonly info: ByteSource;
  readonly wordBytes: 4 | 8;
  readonly #part: FindPart;
  readonly #abbreviations = new Map<number, Promise<Map<number, Abbreviation>>>();
  #units: Promise<Unit[]> | undefined;
  /** The file that several debugging files share. */
  readonly shared: () => Promise<DebugInfo | undefined>;
  readonly #split: () => Promise<SplitPackage | undefined>;

  private constructor(
    info: ByteSource,
    wordBytes: 4 | 8,
    part: FindPart,
    { shared, split }: { shared: DebugInfo["shared"]; split: () => Promise<SplitPackage | undefined> },
  ) {
    this.#part = part;
    this.info = info;
    this.shared = shared;
    this.#split = split;
    this.wordBytes = wordBytes;
  }

  /**
   * Open a file's debugging information; undefined when it has none.
   * @param split finds the package that has the entries which this file only names
   */
  static async tryOpen(
    elf: ElfFile,
    shared: () => Promise<DebugInfo | undefined>,
    split: () => Promise<ElfFile | undefined> = () => Promise.resolve(undefined),
  ): Promise<DebugInfo | undefined> {
    const info = elf.header.little ? await elf.section(".debug_info") : undefined;
    if (info === undefined) return undefined;
    const part: FindPart = async (name) => wholeOf((await elf.section(`.debug_${name}`))?.data);
    const open = once(async () => {
      const found = await split();
      return found === undefined ? undefined : SplitPackage.tryOpen(found);
    });
    return new DebugInfo(info.data, elf.header.bits === 64 ? 8 : 4, part, { shared, split: open });
  }

  /**
   * Open the unit of the package that has the entries of one of this file's units; undefined without package or unit.
   * @param skeleton was opened: what it says of addresses counts for both
   * @throws {UnwindDataError} when the package is damaged
   */
  async splitUnit(skeleton: Unit): Promise<{ info: DebugInfo; unit: Unit } | undefined> {
    const pack = skeleton.splitId === undefined ? undefined : await this.#split();
    const parts = skeleton.splitId === undefined ? undefined : await pack?.find(skeleton.splitId);
    if (pack === undefined || parts === undefined) return undefined;
    const part: FindPart = async (name) => {
      if (name === "addr" || name === "ranges") return await this.#part(name);
      const whole = wholeOf((await pack.elf.section(`.debug_${name}.dwo`))?.data);
      // Texts are everybody's.
      if (whole === undefined || name === "str") return whole;
      const own = parts.get(name as SplitSection);
      return own === undefined ? undefined : { data: whole.data, ...own };
    };
    const own = await part("info");
    if (own === undefined) return undefined;
    const bytes: ByteSource = { sizeBytes: own.sizeBytes, read: (offset, length) => readPart(own, offset, length) };
    const info = new DebugInfo(bytes, this.wordBytes, part, { shared: this.shared, split: async () => undefined });
    const [found] = await info.units();
    if (found === undefined) return undefined;
    const { strings, ranges } = found.bases;
    const { addresses } = skeleton.bases;
    // Before version 5 the tables have no header, and ranges lie in the program's own file.
    const bases = found.version >= 5 ? { strings, addresses, ranges } : { strings: 0, addresses, ranges };
    // Its entries refer to each other, and find their unit by themselves.
    const unit = Object.assign(found, { bases, lowPc: skeleton.lowPc, oldRangesAt: skeleton.oldRangesAt });
    return { info, unit };
  }

  /** Read some bytes of a section; fewer at its end, none without the section. */
  async read(name: SectionName, offset: number, length: number): Promise<Uint8Array> {
    const part = await this.#part(name);
    return part === undefined ? new Uint8Array() : readPart(part, offset, length);
  }

  /** Size of a section in bytes; 0 without it. */
  async sizeOf(name: SectionName): Promise<number> {
    return (await this.#part(name))?.sizeBytes ?? 0;
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

function wholeOf(data: ByteSource | undefined): Part | undefined {
  return data && { data, offset: 0, sizeBytes: data.sizeBytes };
}

function readPart(part: Part, offset: number, length: number): Uint8Array | Promise<Uint8Array> {
  const wanted = Math.min(length, part.sizeBytes - offset);
  return offset < 0 || wanted <= 0 ? new Uint8Array() : part.data.read(part.offset + offset, wanted);
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
  let splitId: bigint | undefined;
  if (version === 5) {
    type = reader.u8();
    wordBytes = reader.u8();
    abbreviationsAt = reader.offset(isWide);
    if (type === SKELETON) splitId = reader.u64();
    else if (type === SPLIT_UNIT) reader.u64();
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
    oldRangesAt: 0,
    splitId,
  };
}
