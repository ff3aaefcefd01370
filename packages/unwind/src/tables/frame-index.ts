import { UnwindDataError } from "./dwarf-reader.ts";
import {
  parseCommon,
  parseDescription,
  readDescription,
  readRecord,
  type CommonEntry,
  type FrameDescription,
  type FrameSection,
} from "./frame-records.ts";

/** Records looked at in one section; Chromium's has a million. */
const RECORDS_MAX = 2_000_000;
/** Bytes of a section that are gone through. */
const SECTION_BYTES_MAX = 128 * 1024 * 1024;

/** Where each description of a section lies, in the order of the code. */
export class FrameIndex {
  readonly #section: FrameSection;
  /** Starts of code, in ascending order, with ends and places of the descriptions beside them. */
  readonly #starts: BigUint64Array;
  readonly #ends: BigUint64Array;
  readonly #places: BigUint64Array;

  private constructor(section: FrameSection, rows: readonly { start: bigint; end: bigint; place: bigint }[]) {
    this.#section = section;
    this.#starts = BigUint64Array.from(rows, ({ start }) => start);
    this.#ends = BigUint64Array.from(rows, ({ end }) => end);
    this.#places = BigUint64Array.from(rows, ({ place }) => place);
  }

  /**
   * Go through a section once. What follows a damaged record is not found, as there is no telling where it starts.
   * @param sizeBytes of the section
   */
  static async build(section: FrameSection, sizeBytes: number): Promise<FrameIndex> {
    const rows: { start: bigint; end: bigint; place: bigint }[] = [];
    const commons = new Map<bigint, CommonEntry | undefined>();
    const commonAt = async (at: bigint): Promise<CommonEntry | undefined> => {
      if (!commons.has(at)) commons.set(at, await tryReadCommon(section, at));
      return commons.get(at);
    };
    const end = section.vaddr + BigInt(Math.min(sizeBytes, SECTION_BYTES_MAX));
    try {
      for (let at = section.vaddr, count = 0; at < end && count < RECORDS_MAX; count += 1) {
        const record = await readRecord(section, at);
        if (record === undefined) {
          // An end in the middle is what some linkers leave between two files.
          at += 4n;
          continue;
        }
        at = record.next;
        const common = record.common === undefined ? undefined : await commonAt(record.common);
        if (common === undefined) continue;
        const { start, end: last } = parseDescription(record, common, section);
        // Code that the linker dropped starts at 0.
        if (start !== 0n && last > start) rows.push({ start, end: last, place: record.at });
      }
    } catch (error) {
      if (!(error instanceof UnwindDataError)) throw error;
    }
    rows.sort((left, right) => (left.start < right.start ? -1 : left.start > right.start ? 1 : 0));
    return new FrameIndex(section, rows);
  }

  get size(): number {
    return this.#starts.length;
  }

  /** Find the description of the code at an address. @throws {UnwindDataError} when it is damaged */
  async find(vaddr: bigint): Promise<FrameDescription | undefined> {
    let low = 0;
    let high = this.#starts.length - 1;
    while (low <= high) {
      const middle = (low + high) >>> 1;
      if ((this.#starts[middle] ?? 0n) <= vaddr) low = middle + 1;
      else high = middle - 1;
    }
    const place = this.#places[high];
    return place === undefined || vaddr >= (this.#ends[high] ?? 0n) ? undefined : readDescription(this.#section, place);
  }
}

async function tryReadCommon(section: FrameSection, at: bigint): Promise<CommonEntry | undefined> {
  try {
    const entry = await readRecord(section, at);
    return entry === undefined || entry.common !== undefined ? undefined : parseCommon(entry, section);
  } catch (error) {
    if (error instanceof UnwindDataError) return undefined;
    throw error;
  }
}
