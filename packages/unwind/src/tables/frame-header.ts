import { DwarfReader, UnwindDataError } from "./dwarf-reader.ts";
import { readDescription, type FrameDescription, type FrameSection } from "./frame-records.ts";

/** Where `.eh_frame_hdr` lies, in the file's terms. */
export interface FrameHeader {
  vaddr: bigint;
  sizeBytes: number;
}

const HEADER_BYTES_MAX = 64;
const ROWS_MAX = 1 << 26;
/** Bytes of one field of the search table, by the format in the low half of its encoding. */
const FIELD_BYTES: Partial<Record<number, number>> = { 0x02: 2, 0x03: 4, 0x04: 8, 0x0a: 2, 0x0b: 4, 0x0c: 8 };

/** What a search in `.eh_frame_hdr` gave; `noTable` where it has none that can be searched. */
export type HeaderSearch = { description: FrameDescription | undefined } | "noTable";

/**
 * Find the description of the code at an address by the binary search table of `.eh_frame_hdr`. Reads some dozen bytes,
 * however large the tables are.
 * @throws {UnwindDataError} when the tables are damaged
 * @see Linux Standard Base, 10.6: Exception Frames
 */
export async function searchFrameHeader(
  section: FrameSection,
  { vaddr: base, sizeBytes }: FrameHeader,
  vaddr: bigint,
): Promise<HeaderSearch> {
  const { wordBytes } = section;
  const bases = { ...section.bases, data: base };
  const readSome = async (at: bigint, length: number): Promise<DwarfReader> => {
    const bytes = await section.read(at, length);
    if (bytes === undefined || bytes.length < length) throw new UnwindDataError("unwind data is not there");
    return new DwarfReader(bytes, at, wordBytes);
  };
  const header = await readSome(base, Math.min(HEADER_BYTES_MAX, sizeBytes));
  const [version, frameEncoding, countEncoding, tableEncoding] = [header.u8(), header.u8(), header.u8(), header.u8()];
  if (version !== 1 || countEncoding === 0xff || tableEncoding === 0xff) return "noTable";
  const fieldBytes = (tableEncoding & 0x0f) === 0 ? wordBytes : FIELD_BYTES[tableEncoding & 0x0f];
  if (fieldBytes === undefined) return "noTable";
  header.pointer(frameEncoding, bases);
  const rows = Number(header.pointer(countEncoding, bases));
  const rowBytes = 2 * fieldBytes;
  if (rows > ROWS_MAX || rows * rowBytes > sizeBytes) throw new UnwindDataError(`${rows} descriptions`);
  const table = base + BigInt(header.at);
  let low = 0;
  let high = rows - 1;
  let found: bigint | undefined;
  while (low <= high) {
    const middle = Math.floor((low + high) / 2);
    const row = await readSome(table + BigInt(middle * rowBytes), rowBytes);
    const [start, description] = [row.pointer(tableEncoding, bases), row.pointer(tableEncoding, bases)];
    if (start <= vaddr) {
      found = description;
      low = middle + 1;
    } else high = middle - 1;
  }
  if (found === undefined) return { description: undefined };
  const description = await readDescription(section, found);
  return { description: vaddr >= description.start && vaddr < description.end ? description : undefined };
}
