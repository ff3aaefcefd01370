import { makeRangeIndex } from "@cdh/core/elf/range-index";
import { DwarfReader, UnwindDataError } from "../tables/dwarf-reader.ts";
import type { DebugInfo, Unit } from "./debug-info.ts";
import { addressOf, numberOf } from "./forms.ts";
import { findFunctions, readAttributes, type Attributes, type FunctionEntry } from "./functions.ts";
import { findLines, type UnitLines } from "./line-program.ts";
import { rangesOf } from "./ranges.ts";

/** A function that an address is in, and its place in the source. */
export interface SourceFunction {
  name?: string;
  /** Lowest address of its code. */
  start?: bigint;
  file?: string;
  line?: number;
}

const AT = { lowPc: 0x11, highPc: 0x12, lines: 0x10, ranges: 0x55, strings: 0x72, addresses: 0x73, lists: 0x74 };
/** Before version 5. @see https://gcc.gnu.org/wiki/DebugFission */
const GNU = { splitId: 0x2131, ranges: 0x2132, addresses: 0x2133 };
/** Bytes at a unit's beginning that hold its first entry. */
const ROOT_BYTES = 1024;

/** Source lines and inlined calls, by DWARF 2 to 5. */
export class SourceLines {
  readonly #info: DebugInfo;
  #unitOf: Promise<(vaddr: bigint) => { unit: Unit } | undefined> | undefined;

  constructor(info: DebugInfo) {
    this.#info = info;
  }

  /**
   * Tell the functions that addresses are in, the innermost inlined one first, the one that has the frame last. Addresses
   * without any are left out; so is what lies in damaged units.
   */
  async find(vaddrs: readonly bigint[]): Promise<Map<bigint, SourceFunction[]>> {
    const unitOf = await (this.#unitOf ??= this.#indexUnits());
    const found = new Map<bigint, SourceFunction[]>();
    for (const [unit, wanted] of Map.groupBy(vaddrs, (vaddr) => unitOf(vaddr)?.unit)) {
      if (unit === undefined) continue;
      const lines = await orNothing(findLines(this.#info, unit, wanted));
      const functions = await orNothing(this.#functionsIn(unit, wanted));
      for (const vaddr of wanted) {
        const chain = describe(vaddr, functions?.get(vaddr) ?? [], lines);
        if (chain.length > 0) found.set(vaddr, chain);
      }
    }
    return found;
  }

  /** What a unit's entries say lies in another file where that was split off; numbers of files are of the unit's own lines. */
  async #functionsIn(unit: Unit, wanted: readonly bigint[]): Promise<Map<bigint, FunctionEntry[]>> {
    const split = await orNothing(this.#info.splitUnit(unit));
    return await findFunctions(split?.info ?? this.#info, split?.unit ?? unit, wanted);
  }

  async #indexUnits(): Promise<(vaddr: bigint) => { unit: Unit } | undefined> {
    const ranges: { start: bigint; end: bigint; unit: Unit }[] = [];
    for (const unit of await this.#info.units()) {
      const covered = await orNothing(this.#openUnit(unit));
      for (const range of covered ?? []) if (range.start !== 0n) ranges.push({ ...range, unit });
    }
    return makeRangeIndex(ranges);
  }

  /** Read a unit's first entry: where its code is, and what its attributes are counted from. */
  async #openUnit(unit: Unit): Promise<{ start: bigint; end: bigint }[]> {
    const info = this.#info;
    const bytes = await info.info.read(unit.root, Math.min(ROOT_BYTES, unit.end - unit.root));
    const reader = new DwarfReader(bytes, 0n, unit.wordBytes);
    const abbreviation = (await info.abbreviations(unit)).get(reader.count());
    if (abbreviation === undefined) return [];
    const root: Attributes = readAttributes(reader, abbreviation, unit);
    const base = (name: number, otherwise: number): number => Number(numberOf(root.get(name)) ?? BigInt(otherwise));
    const { strings, addresses, ranges } = unit.bases;
    unit.bases = {
      strings: base(AT.strings, strings),
      addresses: base(AT.addresses, base(GNU.addresses, addresses)),
      ranges: base(AT.lists, ranges),
    };
    unit.splitId ??= numberOf(root.get(GNU.splitId));
    const covered = await this.#coveredBy(unit, root);
    // Counts for the entries that were split off, not for the unit's own.
    unit.oldRangesAt = base(GNU.ranges, 0);
    return covered;
  }

  async #coveredBy(unit: Unit, root: Attributes): Promise<{ start: bigint; end: bigint }[]> {
    const info = this.#info;
    unit.lowPc = (await addressOf(info, unit, root.get(AT.lowPc))) ?? 0n;
    const lineAt = numberOf(root.get(AT.lines));
    unit.lineAt = lineAt === undefined ? undefined : Number(lineAt);
    return rangesOf(info, unit, {
      lowPc: root.get(AT.lowPc),
      highPc: root.get(AT.highPc),
      ranges: root.get(AT.ranges),
    });
  }
}

/** Each function's place is where the next inner one is called. */
function describe(vaddr: bigint, functions: readonly FunctionEntry[], lines: UnitLines | undefined): SourceFunction[] {
  const chain: SourceFunction[] = [];
  let place = lines?.lines.get(vaddr);
  for (const { name, start, call } of functions.toReversed()) {
    chain.push({ ...(name === undefined || name === "" ? {} : { name }), start, ...placed(place, lines) });
    place = call;
  }
  return chain.length > 0 || place === undefined ? chain : [placed(place, lines)];
}

function placed(
  place: { file: number; line: number } | undefined,
  lines: UnitLines | undefined,
): Pick<SourceFunction, "file" | "line"> {
  const file = place === undefined ? undefined : lines?.files.name(place.file);
  return place === undefined || file === undefined || place.line <= 0 ? {} : { file, line: place.line };
}

async function orNothing<Value>(value: Promise<Value>): Promise<Value | undefined> {
  try {
    return await value;
  } catch (error) {
    if (error instanceof UnwindDataError) return undefined;
    throw error;
  }
}
