import { DwarfReader } from "../tables/dwarf-reader.ts";

/** How one kind of entry is written. */
export interface Abbreviation {
  tag: number;
  hasChildren: boolean;
  attributes: readonly { name: number; form: number; implicit: bigint }[];
}

const ENTRIES_MAX = 100_000;
const ATTRIBUTES_MAX = 256;
const FORM_IMPLICIT_CONST = 0x21;

/** Parse one table of abbreviations, and tell whether its end was seen. @throws {UnwindDataError} when it is damaged @see DWARF 5, 7.5.3 */
export function parseAbbreviations(bytes: Uint8Array): { table: Map<number, Abbreviation>; isEnded: boolean } {
  const reader = new DwarfReader(bytes);
  const table = new Map<number, Abbreviation>();
  while (table.size < ENTRIES_MAX && reader.left > 0) {
    const code = reader.count();
    if (code === 0) return { table, isEnded: true };
    const tag = reader.count();
    const hasChildren = reader.u8() !== 0;
    const attributes: { name: number; form: number; implicit: bigint }[] = [];
    for (;;) {
      const [name, form] = [reader.count(), reader.count()];
      const implicit = form === FORM_IMPLICIT_CONST ? reader.sleb() : 0n;
      if (name === 0 && form === 0) break;
      if (attributes.length < ATTRIBUTES_MAX) attributes.push({ name, form, implicit });
    }
    table.set(code, { tag, hasChildren, attributes });
  }
  return { table, isEnded: table.size >= ENTRIES_MAX };
}
