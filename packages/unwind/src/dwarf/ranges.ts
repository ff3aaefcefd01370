import { DwarfReader, UnwindDataError } from "../tables/dwarf-reader.ts";
import type { DebugInfo, Unit } from "./debug-info.ts";
import { addressOf, isRangeIndex, numberOf, readNumber, type FormValue } from "./forms.ts";

/** A stretch of code, without its end. */
export interface CodeRange {
  start: bigint;
  end: bigint;
}

const RANGES_MAX = 65_536;
/** Lists are short nearly always, and a program has tens of thousands of them. */
const SHORT_BYTES = 512;
const PIECE_BYTES = 64 * 1024;

/** Attributes that tell where an entry's code is. */
export interface RangeAttributes {
  lowPc?: FormValue | undefined;
  highPc?: FormValue | undefined;
  ranges?: FormValue | undefined;
}

/** Tell where an entry's code is; nowhere when it has none. @throws {UnwindDataError} when the list is damaged */
export async function rangesOf(info: DebugInfo, unit: Unit, attributes: RangeAttributes): Promise<CodeRange[]> {
  const { lowPc, highPc, ranges } = attributes;
  if (ranges !== undefined) return unit.version >= 5 ? newRanges(info, unit, ranges) : oldRanges(info, unit, ranges);
  const start = await addressOf(info, unit, lowPc);
  if (start === undefined || highPc === undefined) return [];
  const end = (await addressOf(info, unit, highPc)) ?? start + (numberOf(highPc) ?? 0n);
  return end > start ? [{ start, end }] : [];
}

interface List {
  ranges: CodeRange[];
  /** Whether its end was seen. */
  isEnded: boolean;
}

/** Read a list out of a short piece first, then out of a long one. */
async function readList(
  info: DebugInfo,
  unit: Unit,
  section: "ranges" | "rnglists",
  at: number,
  parse: (reader: DwarfReader) => List | Promise<List>,
): Promise<CodeRange[]> {
  const bytes = await info.read(section, at, SHORT_BYTES);
  const readerOf = (piece: Uint8Array): DwarfReader => new DwarfReader(piece, 0n, unit.wordBytes);
  if (bytes.length < SHORT_BYTES) return (await parse(readerOf(bytes))).ranges;
  try {
    const { ranges, isEnded } = await parse(readerOf(bytes));
    if (isEnded) return ranges;
  } catch (error) {
    if (!(error instanceof UnwindDataError)) throw error;
  }
  return (await parse(readerOf(await info.read(section, at, PIECE_BYTES)))).ranges;
}

/** @see DWARF 4, 2.17.3 Non-Contiguous Address Ranges */
function oldRanges(info: DebugInfo, unit: Unit, found: FormValue): Promise<CodeRange[]> {
  return readList(info, unit, "ranges", unit.oldRangesAt + Number(numberOf(found) ?? 0n), (reader) =>
    parseOldRanges(reader, unit),
  );
}

function parseOldRanges(reader: DwarfReader, unit: Unit): List {
  const list: CodeRange[] = [];
  const highest = unit.wordBytes === 8 ? 0xffff_ffff_ffff_ffffn : 0xffff_ffffn;
  let base = unit.lowPc;
  while (list.length < RANGES_MAX && reader.left >= 2 * unit.wordBytes) {
    const [start, end] = [reader.word(), reader.word()];
    if (start === 0n && end === 0n) return { ranges: list, isEnded: true };
    if (start === highest) base = end;
    else if (end > start) list.push({ start: base + start, end: base + end });
  }
  return { ranges: list, isEnded: list.length >= RANGES_MAX };
}

/** @see DWARF 5, 2.17.3 and 7.25 */
async function newRanges(info: DebugInfo, unit: Unit, found: FormValue): Promise<CodeRange[]> {
  let at = Number(numberOf(found) ?? 0n);
  if (isRangeIndex(found)) {
    const width = unit.isWide ? 8 : 4;
    const offset = await readNumber(info, "rnglists", unit.bases.ranges + at * width, width);
    if (offset === undefined) return [];
    at = unit.bases.ranges + Number(offset);
  }
  return readList(info, unit, "rnglists", at, (reader) => parseNewRanges(info, unit, reader));
}

async function parseNewRanges(info: DebugInfo, unit: Unit, reader: DwarfReader): Promise<List> {
  const list: CodeRange[] = [];
  const indexed = async (): Promise<bigint> =>
    (await readNumber(info, "addr", unit.bases.addresses + reader.count() * unit.wordBytes, unit.wordBytes)) ?? 0n;
  let base = unit.lowPc;
  const push = (start: bigint, end: bigint): void => {
    if (end > start) list.push({ start, end });
  };
  while (list.length < RANGES_MAX && reader.left > 0) {
    const kind = reader.u8();
    if (kind === 0) return { ranges: list, isEnded: true };
    if (kind === 1) base = await indexed();
    else if (kind === 2) push(await indexed(), await indexed());
    else if (kind === 3) {
      const start = await indexed();
      push(start, start + reader.uleb());
    } else if (kind === 4) push(base + reader.uleb(), base + reader.uleb());
    else if (kind === 5) base = reader.word();
    else if (kind === 6) push(reader.word(), reader.word());
    else if (kind === 7) {
      const start = reader.word();
      push(start, start + reader.uleb());
    } else return { ranges: list, isEnded: true };
  }
  return { ranges: list, isEnded: list.length >= RANGES_MAX };
}
