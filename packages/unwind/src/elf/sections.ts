import { constants, inflateSync, zstdDecompressSync } from "node:zlib";
import { decodeText, FieldReader, type ElfLayout } from "@cdh/core/elf/bytes";
import type { ElfHeader } from "@cdh/core/elf/format";
import { giveWay } from "@cdh/core/give-way";
import type { ByteSource } from "./byte-source.ts";

/** One section of an ELF file. Offsets and sizes in bytes. */
export interface Section {
  name: string;
  type: number;
  flags: number;
  vaddr: bigint;
  offset: number;
  sizeBytes: number;
  link: number;
}

/** With 64 bytes an entry, a table of 4 MiB. */
const SECTIONS_MAX = 65_536;
/** Entries that are read at once. */
const ENTRIES_AT_ONCE = 1024;
const NAMES_MAX_BYTES = 4 * 1024 * 1024;
/** `e_shstrndx` where the index does not fit. @see elf(5) */
const SHN_XINDEX = 0xffff;
const SHT_NOBITS = 8;
const SHF_COMPRESSED = 0x800;
const ELFCOMPRESS_ZLIB = 1;
const ELFCOMPRESS_ZSTD = 2;

/** Read the section headers; none where the file has none, or they make no sense. */
export async function readSections(source: ByteSource, header: ElfHeader): Promise<Section[]> {
  const table = await openTable(source, header);
  if (table === undefined) return [];
  const found: Section[] = [];
  for await (const entries of pieces(source, table))
    for (let at = 0; at < entries.length; at += table.entryBytes) {
      const { nameAt, ...section } = parseEntry(entries.subarray(at, at + table.entryBytes), header);
      const { names } = table;
      const name = nameAt < names.length ? decodeText(names.subarray(nameAt, nameAt + 256)) : "";
      found.push({ ...section, name });
    }
  return found;
}

/**
 * Find the first section of a name that has bytes in the file. Holds none of the others, and gives way between pieces of
 * the table: for files that anybody may have made, on a thread that answers others.
 */
export async function findSection(source: ByteSource, header: ElfHeader, name: string): Promise<Section | undefined> {
  const table = name === "" ? undefined : await openTable(source, header);
  if (table === undefined) return undefined;
  const { names, entryBytes } = table;
  const wanted = Buffer.from(`${name}\0`);
  for await (const entries of pieces(source, table)) {
    for (let at = 0; at < entries.length; at += entryBytes) {
      const entry = entries.subarray(at, at + entryBytes);
      const nameAt = new FieldReader(entry, header).u32(0);
      if (!wanted.equals(names.subarray(nameAt, nameAt + wanted.length))) continue;
      const section = parseEntry(entry, header);
      if (section.type !== SHT_NOBITS) return { ...section, name };
    }
    await giveWay();
  }
  return undefined;
}

/** Where the section headers are, and the names that they point into. */
interface Table {
  offset: number;
  count: number;
  entryBytes: number;
  names: Uint8Array;
}

async function openTable(source: ByteSource, header: ElfHeader): Promise<Table | undefined> {
  const { shoff: offset, shentsize } = header;
  const wide = header.bits === 64;
  const entryBytes = wide ? 64 : 40;
  // A file that says another size is none that a linker made, and would have as much read as it likes.
  if (!Number.isFinite(offset) || offset === 0 || shentsize !== entryBytes) return undefined;
  const first = new FieldReader(await source.read(offset, entryBytes), header);
  // More sections than the header can say are counted in the first one.
  const count = header.shnum === 0 ? first.size(wide ? 32 : 20) : header.shnum;
  if (count > SECTIONS_MAX) return undefined;
  const head = new FieldReader(await source.read(0, 64), header);
  const said = head.u16(wide ? 62 : 50);
  const index = said === SHN_XINDEX ? first.u32(wide ? 40 : 24) : said;
  const named = index < count ? await source.read(offset + index * entryBytes, entryBytes) : new Uint8Array();
  const texts = parseEntry(named, header);
  const names = await source.read(texts.offset, Math.min(texts.sizeBytes, NAMES_MAX_BYTES));
  return { offset, count, entryBytes, names };
}

/** Whole entries of the table, some at a time; fewer than it says where the file ends. */
async function* pieces(source: ByteSource, { offset, count, entryBytes }: Table): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < count; at += ENTRIES_AT_ONCE) {
    const wanted = Math.min(ENTRIES_AT_ONCE, count - at) * entryBytes;
    const bytes = await source.read(offset + at * entryBytes, wanted);
    yield bytes.subarray(0, bytes.length - (bytes.length % entryBytes));
    if (bytes.length < wanted) return;
  }
}

function parseEntry(bytes: Uint8Array, header: ElfHeader): Omit<Section, "name"> & { nameAt: number } {
  const field = new FieldReader(bytes, header);
  const [flags, vaddr, offset, size, link] = header.bits === 64 ? [8, 16, 24, 32, 40] : [8, 12, 16, 20, 24];
  return {
    nameAt: field.u32(0),
    type: field.u32(4),
    flags: Number(field.word(flags) & 0xffff_ffffn),
    vaddr: field.word(vaddr),
    offset: field.size(offset),
    sizeBytes: field.size(size),
    link: field.u32(link),
  };
}

/**
 * Give a section's bytes, unpacked where it is compressed.
 * @param maxBytes a larger one is not read
 * @returns undefined when it is too large, damaged, or has no bytes in this file
 */
export async function openSection(
  source: ByteSource,
  section: Section,
  layout: ElfLayout,
  maxBytes: number,
): Promise<ByteSource | undefined> {
  const { offset, sizeBytes, type, flags } = section;
  if (type === SHT_NOBITS || !Number.isFinite(offset + sizeBytes) || offset > source.sizeBytes) return undefined;
  const length = Math.min(sizeBytes, source.sizeBytes - offset);
  const isOldStyle = section.name.startsWith(".zdebug");
  if ((flags & SHF_COMPRESSED) === 0 && !isOldStyle)
    return { sizeBytes: length, read: (at, wanted) => source.read(offset + at, Math.min(wanted, length - at)) };
  if (length > maxBytes) return undefined;
  const packed = await source.read(offset, length);
  const bytes = isOldStyle ? unpackOldStyle(packed, maxBytes) : unpack(packed, layout, maxBytes);
  return bytes === undefined
    ? undefined
    : { sizeBytes: bytes.length, read: (at, wanted) => bytes.subarray(at, at + Math.max(0, wanted)) };
}

function unpack(packed: Uint8Array, layout: ElfLayout, maxBytes: number): Uint8Array | undefined {
  const field = new FieldReader(packed, layout);
  const wide = layout.bits === 64;
  const size = field.size(wide ? 8 : 4);
  const body = packed.subarray(wide ? 24 : 12);
  return inflate(field.u32(0), body, size, maxBytes);
}

/** `ZLIB`, then the size in eight bytes, big-endian: what old GNU tools write. */
function unpackOldStyle(packed: Uint8Array, maxBytes: number): Uint8Array | undefined {
  if (packed.length < 12 || Buffer.from(packed.subarray(0, 4)).toString("latin1") !== "ZLIB") return undefined;
  const size = new FieldReader(packed, { bits: 64, little: false }).size(4);
  return inflate(ELFCOMPRESS_ZLIB, packed.subarray(12), size, maxBytes);
}

function inflate(kind: number, body: Uint8Array, size: number, maxBytes: number): Uint8Array | undefined {
  if (size === 0 || size > maxBytes) return undefined;
  try {
    if (kind === ELFCOMPRESS_ZLIB)
      return inflateSync(body, { maxOutputLength: size, finishFlush: constants.Z_SYNC_FLUSH });
    if (kind === ELFCOMPRESS_ZSTD) return zstdDecompressSync(body, { maxOutputLength: size });
  } catch {
    // Damaged: as good as not there.
  }
  return undefined;
}
