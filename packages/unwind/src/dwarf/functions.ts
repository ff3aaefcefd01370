import { DwarfReader, UnwindDataError } from "../tables/dwarf-reader.ts";
import type { Abbreviation } from "./abbreviations.ts";
import { UNIT_BYTES_MAX, type DebugInfo, type Unit } from "./debug-info.ts";
import { entryOf, numberOf, readForm, skipForm, textOf, type FormValue } from "./forms.ts";
import { rangesOf } from "./ranges.ts";

/** A function that covers an address, as a unit describes it. */
export interface FunctionEntry {
  name: string | undefined;
  /** Lowest address of its code. */
  start: bigint;
  /** Where it is called, for one that is inlined; numbers of the unit's files. */
  call: { file: number; line: number } | undefined;
}

const TAG = { subprogram: 0x2e, inlined: 0x1d };
const AT = {
  sibling: 0x01,
  name: 0x03,
  lowPc: 0x11,
  highPc: 0x12,
  origin: 0x31,
  specification: 0x47,
  ranges: 0x55,
  callFile: 0x58,
  callLine: 0x59,
  linkageName: 0x6e,
  mipsLinkageName: 0x2007,
};
const ENTRIES_MAX = 20_000_000;
const HOPS_MAX = 8;
/** An entry of a function has some dozen attributes. */
const ENTRY_BYTES_MAX = 4096;

/** The attributes of one entry, by number. */
export type Attributes = Map<number, FormValue>;

/** Read the attributes of an entry; the reader stands behind its code. @throws {UnwindDataError} when it is damaged */
export function readAttributes(reader: DwarfReader, { attributes }: Abbreviation, unit: Unit): Attributes {
  return new Map(attributes.map(({ name, form, implicit }) => [name, readForm(reader, form, unit, implicit)]));
}

/**
 * Find the functions that addresses of a unit are in: for each the one that has the frame first, then what is inlined into
 * it, outermost first. Goes through the unit once.
 * @throws {UnwindDataError} when the unit is damaged or too large
 */
export async function findFunctions(
  info: DebugInfo,
  unit: Unit,
  vaddrs: readonly bigint[],
): Promise<Map<bigint, FunctionEntry[]>> {
  const size = unit.end - unit.root;
  if (size > UNIT_BYTES_MAX) throw new UnwindDataError(`a unit of ${size} bytes`);
  const reader = new DwarfReader(await info.info.read(unit.root, size), 0n, unit.wordBytes);
  const table = await info.abbreviations(unit);
  const found = new Map<bigint, FunctionEntry[]>();
  let depth = 0;
  for (let count = 0; reader.left > 0 && count < ENTRIES_MAX; count += 1) {
    const code = reader.count();
    if (code === 0) {
      depth -= 1;
      if (depth <= 0) break;
      continue;
    }
    const abbreviation = table.get(code);
    if (abbreviation === undefined) throw new UnwindDataError(`abbreviation ${code}`);
    const { tag, hasChildren } = abbreviation;
    if (hasChildren) depth += 1;
    if (tag !== TAG.subprogram && tag !== TAG.inlined) {
      for (const { form, implicit } of abbreviation.attributes) skipForm(reader, form, unit, implicit);
      continue;
    }
    const attributes = readAttributes(reader, abbreviation, unit);
    const [lowPc, highPc, ranges] = [attributes.get(AT.lowPc), attributes.get(AT.highPc), attributes.get(AT.ranges)];
    const covered =
      lowPc === undefined && ranges === undefined ? [] : await rangesOf(info, unit, { lowPc, highPc, ranges });
    const hits = vaddrs.filter((vaddr) => covered.some(({ start, end }) => vaddr >= start && vaddr < end));
    if (hits.length === 0) {
      const sibling = hasChildren ? numberOf(attributes.get(AT.sibling)) : undefined;
      const next = sibling === undefined ? 0 : unit.at + Number(sibling) - unit.root;
      if (next > reader.at && next <= size) {
        reader.at = next;
        depth -= 1;
      }
      continue;
    }
    const entry = await describe(info, unit, attributes, tag === TAG.inlined);
    const start = covered.reduce(
      (least, range) => (range.start < least ? range.start : least),
      covered[0]?.start ?? 0n,
    );
    for (const vaddr of hits) {
      // A function inside of another, as some languages have them, has a frame of its own.
      const chain = tag === TAG.subprogram ? [] : (found.get(vaddr) ?? []);
      found.set(vaddr, [...chain, { ...entry, start }]);
    }
  }
  return found;
}

async function describe(
  info: DebugInfo,
  unit: Unit,
  attributes: Attributes,
  isInlined: boolean,
): Promise<Omit<FunctionEntry, "start">> {
  const line = numberOf(attributes.get(AT.callLine));
  const file = numberOf(attributes.get(AT.callFile));
  return {
    name: await nameOf(info, unit, attributes, HOPS_MAX),
    call: isInlined && line !== undefined ? { file: Number(file ?? 0n), line: Number(line) } : undefined,
  };
}

/** The linker's name of a function, else its own, which may stand at its declaration. */
async function nameOf(info: DebugInfo, unit: Unit, attributes: Attributes, hops: number): Promise<string | undefined> {
  const linkage = attributes.get(AT.linkageName) ?? attributes.get(AT.mipsLinkageName);
  if (linkage !== undefined) return textOf(info, unit, linkage);
  const origin = await entryOf(info, unit, attributes.get(AT.origin) ?? attributes.get(AT.specification));
  const own = attributes.get(AT.name);
  if (origin !== undefined && hops > 0) {
    const elsewhere = await nameAt(origin.info, origin.at, hops - 1);
    if (elsewhere !== undefined) return elsewhere;
  }
  return textOf(info, unit, own);
}

async function nameAt(info: DebugInfo, at: number, hops: number): Promise<string | undefined> {
  const unit = await info.unitAt(at);
  if (unit === undefined || at < unit.root) return undefined;
  const length = Math.min(ENTRY_BYTES_MAX, unit.end - at);
  const reader = new DwarfReader(await info.info.read(at, length), 0n, unit.wordBytes);
  const abbreviation = (await info.abbreviations(unit)).get(reader.count());
  return abbreviation === undefined ? undefined : nameOf(info, unit, readAttributes(reader, abbreviation, unit), hops);
}
