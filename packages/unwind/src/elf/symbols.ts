import { decodeText, type FieldReader } from "@cdh/core/elf/bytes";
import { fieldsOf, type ElfFile } from "./elf-file.ts";
import type { Section } from "./sections.ts";

/** A function, and how far into it an address is, in bytes. */
export interface Symbol {
  name: string;
  offset: bigint;
}

const SHT_SYMTAB = 2;
const SHT_DYNSYM = 11;
const SHF_ALLOC = 2;
const SHF_EXECINSTR = 4;
const STB_LOCAL = 0;
const STT_NOTYPE = 0;
const STT_FUNC = 2;
const STT_GNU_IFUNC = 10;
const SHN_LORESERVE = 0xff00;
const PIECE_BYTES = 1024 * 1024;
/** Templates have long names. */
const NAME_MAX_BYTES = 8192;
/** A symbol without a size covers at most this, in bytes. */
const UNSIZED_MAX = 0x10000n;
/** Symbols looked at in one table; the largest programs known have some millions. */
const SYMBOLS_MAX = 16_000_000;
/** Labels that assemblers and compilers make for themselves; `$x` and `$d` tell code from data on arm64. */
const OWN_LABEL = /^(?:\.L|\$[adtx](?:\.|$))/;

interface Best {
  value: bigint;
  nameOffset: number;
  rank: number;
}

/**
 * Name the functions that addresses of the file fall into. Reads the symbol table piece by piece, so that its size does not
 * matter; `.dynsym` is what a stripped file has left.
 */
export async function findSymbols(elf: ElfFile, vaddrs: readonly bigint[]): Promise<Map<bigint, Symbol>> {
  const found = new Map<bigint, Symbol>();
  const sections = await elf.sections();
  for (const type of [SHT_SYMTAB, SHT_DYNSYM]) {
    const table = sections.find((section) => section.type === type);
    const strings = table === undefined ? undefined : sections[table.link];
    const missing = vaddrs.filter((vaddr) => !found.has(vaddr));
    if (table === undefined || strings === undefined || missing.length === 0) continue;
    for (const [vaddr, best] of await scan(elf, sections, table, missing)) {
      const name = await readName(elf, strings, best.nameOffset);
      if (name !== "" && !OWN_LABEL.test(name)) found.set(vaddr, { name, offset: vaddr - best.value });
    }
  }
  return found;
}

/** Find where symbols of these names are; the first of each name counts. */
export async function findNamed(elf: ElfFile, names: ReadonlySet<string>): Promise<Map<string, bigint>> {
  const found = new Map<string, bigint>();
  const sections = await elf.sections();
  for (const table of sections.filter(({ type }) => type === SHT_SYMTAB || type === SHT_DYNSYM)) {
    const strings = sections[table.link];
    if (strings === undefined || !Number.isFinite(strings.offset) || strings.sizeBytes > 64 * PIECE_BYTES) continue;
    const texts = await elf.source.read(strings.offset, strings.sizeBytes);
    await forEachSymbol(elf, table, ({ nameOffset, value, section }) => {
      if (section === 0 || found.size === names.size || nameOffset >= texts.length) return;
      const end = texts.indexOf(0, nameOffset);
      if (end - nameOffset > 64) return;
      const name = decodeText(texts.subarray(nameOffset, end));
      if (names.has(name) && !found.has(name)) found.set(name, value);
    });
  }
  return found;
}

interface Entry {
  value: bigint;
  size: bigint;
  type: number;
  binding: number;
  section: number;
  nameOffset: number;
}

async function forEachSymbol(elf: ElfFile, table: Section, take: (entry: Entry) => void): Promise<void> {
  const wide = elf.header.bits === 64;
  const entryBytes = wide ? 24 : 16;
  const end = Math.min(table.offset + table.sizeBytes, table.offset + SYMBOLS_MAX * entryBytes);
  const step = PIECE_BYTES - (PIECE_BYTES % entryBytes);
  for (let at = table.offset; at < end;) {
    const piece = await elf.source.read(at, Math.min(step, end - at));
    if (piece.length < entryBytes) return;
    const field: FieldReader = fieldsOf(elf, piece);
    for (let entry = 0; entry + entryBytes <= piece.length; entry += entryBytes) {
      const info = field.u8(entry + (wide ? 4 : 12));
      take({
        type: info & 0xf,
        binding: info >>> 4,
        section: field.u16(entry + (wide ? 6 : 14)),
        value: field.word(entry + (wide ? 8 : 4)),
        size: field.word(entry + (wide ? 16 : 8)),
        nameOffset: field.u32(entry),
      });
    }
    at += piece.length;
  }
}

async function scan(
  elf: ElfFile,
  sections: readonly Section[],
  table: Section,
  vaddrs: readonly bigint[],
): Promise<Map<bigint, Best>> {
  const best = new Map<bigint, Best>();
  // A program may have a million symbols and a thousand frames: each symbol looks only at the addresses that it covers.
  const wanted = vaddrs.toSorted((left, right) => (left < right ? -1 : 1));
  await forEachSymbol(elf, table, ({ type, binding, section, value, size, nameOffset }) => {
    const isFunction = type === STT_FUNC || type === STT_GNU_IFUNC;
    if ((!isFunction && type !== STT_NOTYPE) || section === 0 || nameOffset === 0) return;
    const home = sections[section];
    // What is no function is a label: only in code, and only without a better name.
    if (!isFunction && (home === undefined || (home.flags & SHF_EXECINSTR) === 0)) return;
    const start = value;
    let after = start + (size > 0n ? size : UNSIZED_MAX);
    if (home !== undefined && section < SHN_LORESERVE && (home.flags & SHF_ALLOC) !== 0) {
      const end = home.vaddr + BigInt(Number.isFinite(home.sizeBytes) ? home.sizeBytes : 0);
      if (end < after) after = end;
    }
    const rank = rankOf(isFunction, size > 0n, binding);
    for (let index = firstFrom(wanted, start); index < wanted.length; index += 1) {
      const vaddr = wanted[index] ?? 0n;
      if (vaddr >= after) break;
      consider(best, vaddr, { value: start, nameOffset, rank });
    }
  });
  return best;
}

/** A symbol that says it covers the address beats one that merely stands before it; a function beats a label. */
function rankOf(isFunction: boolean, isSized: boolean, binding: number): number {
  const kind = isSized ? 8 : 0;
  // Of aliases the public name is known to more people than the library's own.
  return kind + (isFunction ? 4 : 0) + (binding === STB_LOCAL ? 0 : 1);
}

function firstFrom(sorted: readonly bigint[], value: bigint): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] ?? 0n) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Keep the better of two symbols that cover an address. */
function consider(best: Map<bigint, Best>, vaddr: bigint, next: Best): void {
  const known = best.get(vaddr);
  if (known !== undefined) {
    const [sized, other] = [known.rank >= 8, next.rank >= 8];
    if (sized !== other ? sized : known.value > next.value) return;
    if (sized === other && known.value === next.value && known.rank >= next.rank) return;
  }
  best.set(vaddr, next);
}

async function readName(elf: ElfFile, strings: Section, offset: number): Promise<string> {
  if (offset >= strings.sizeBytes) return "";
  const length = Math.min(NAME_MAX_BYTES, strings.sizeBytes - offset);
  const bytes = await elf.source.read(strings.offset + offset, length);
  const end = bytes.indexOf(0);
  const name = decodeText(end === -1 ? bytes : bytes.subarray(0, end));
  // Files of debugging symbols have versions in their names: `read@@GLIBC_2.2.5`.
  return name.replace(/@@?[A-Za-z_][\w.]*$/, "");
}
