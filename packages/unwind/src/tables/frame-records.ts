import { DwarfReader, UnwindDataError, type PointerBases } from "./dwarf-reader.ts";

/** How to find the caller of the code in one range of addresses. */
export interface FrameDescription {
  /** First address, in the file's terms. */
  start: bigint;
  end: bigint;
  codeAlign: bigint;
  dataAlign: bigint;
  /** Column of the return address. */
  returnRegister: number;
  /** Encoding of addresses in the instructions. */
  encoding: number;
  /** Bytes of an address on the machine. */
  wordBytes: 4 | 8;
  /** The kernel built this frame when it delivered a signal: what it returns to was not called. */
  isSignal: boolean;
  initial: Uint8Array;
  instructions: Uint8Array;
}

/** Where records of unwind tables are read from. Addresses are those of the file. */
export interface FrameSection {
  /** `.eh_frame` has its own encodings of pointers; `.debug_frame` has plain addresses and offsets into itself. */
  kind: "eh" | "debug";
  /** Address of the section's first byte; 0 for `.debug_frame`, whose records are counted from it. */
  vaddr: bigint;
  wordBytes: 4 | 8;
  bases: PointerBases;
  /** Read up to `length` bytes; undefined where there is nothing. */
  read(vaddr: bigint, length: number): Promise<Uint8Array | undefined>;
}

/** One description is some dozen bytes; the largest known ones have some KiB. */
const RECORD_BYTES_MAX = 64 * 1024;

/** One record of a section, without its length. */
export interface FrameRecord {
  reader: DwarfReader;
  /** Where the record lies, and what follows it. */
  at: bigint;
  next: bigint;
  /** Its common information entry; undefined when the record is one. */
  common: bigint | undefined;
}

/** Read the record at an address; undefined at the end of the section. @throws {UnwindDataError} when it is damaged */
export async function readRecord(section: FrameSection, at: bigint): Promise<FrameRecord | undefined> {
  const head = await section.read(at, 12);
  if (head === undefined || head.length < 4) return undefined;
  const first = new DwarfReader(head, at, section.wordBytes);
  const short = first.u32();
  if (short === 0) return undefined;
  const isWide = short === 0xffff_ffff;
  const length = isWide ? first.offset(true) : short;
  const bodyAt = at + (isWide ? 12n : 4n);
  if (length > RECORD_BYTES_MAX) throw new UnwindDataError(`a record of ${length} bytes`);
  const bytes = await section.read(bodyAt, length);
  if (bytes === undefined || bytes.length < length) throw new UnwindDataError("unwind data is not there");
  const reader = new DwarfReader(bytes, bodyAt, section.wordBytes);
  // Only the debugging section has wide identifiers.
  const isWideId = isWide && section.kind === "debug";
  const id = reader.offset(false) + (isWideId ? reader.u32() * 2 ** 32 : 0);
  const isCommon = section.kind === "eh" ? id === 0 : id >= (isWideId ? 2 ** 63 : 0xffff_ffff);
  const common = section.kind === "eh" ? bodyAt - BigInt(id) : section.vaddr + BigInt(id);
  return { reader, at, next: bodyAt + BigInt(length), common: isCommon ? undefined : common };
}

/** Read the description at an address. @throws {UnwindDataError} when it is none */
export async function readDescription(section: FrameSection, at: bigint): Promise<FrameDescription> {
  const record = await readRecord(section, at);
  if (record?.common === undefined) throw new UnwindDataError("a description without code");
  const entry = await readRecord(section, record.common);
  if (entry === undefined || entry.common !== undefined)
    throw new UnwindDataError("no common information entry where one should be");
  return parseDescription(record, parseCommon(entry, section), section);
}

/** Complete a description by its common information entry. */
export function parseDescription(
  { reader }: FrameRecord,
  { isAugmented, segmentBytes, ...rest }: CommonEntry,
  section: FrameSection,
): FrameDescription {
  reader.bytes(segmentBytes);
  const start = reader.pointer(rest.encoding, section.bases);
  const end = start + reader.pointer(rest.encoding & 0x0f);
  if (isAugmented) reader.bytes(reader.count());
  return { ...rest, start, end, instructions: reader.bytes(reader.left) };
}

/** What descriptions share. */
export type CommonEntry = Omit<FrameDescription, "start" | "end" | "instructions"> & {
  isAugmented: boolean;
  segmentBytes: number;
};

/** Parse a common information entry; the reader stands behind its identifier. @throws {UnwindDataError} */
export function parseCommon({ reader }: FrameRecord, section: FrameSection): CommonEntry {
  const version = reader.u8();
  if (version !== 1 && version !== 3 && version !== 4) throw new UnwindDataError(`version ${version}`);
  const augmentation = reader.text();
  let segmentBytes = 0;
  if (version === 4) {
    if (reader.u8() !== section.wordBytes) throw new UnwindDataError("addresses of another size");
    segmentBytes = reader.u8();
  }
  const codeAlign = reader.uleb();
  const dataAlign = reader.sleb();
  const returnRegister = version === 1 ? reader.u8() : reader.count();
  const common = {
    codeAlign,
    dataAlign,
    returnRegister,
    encoding: 0,
    wordBytes: section.wordBytes,
    isSignal: false,
    isAugmented: false,
    segmentBytes,
  };
  if (augmentation === "") return { ...common, initial: reader.bytes(reader.left) };
  if (!augmentation.startsWith("z")) throw new UnwindDataError(`augmentation ${JSON.stringify(augmentation)}`);
  common.isAugmented = true;
  const data = new DwarfReader(reader.bytes(reader.count()), 0n, section.wordBytes);
  for (const letter of augmentation.slice(1)) {
    if (letter === "R") common.encoding = data.u8();
    else if (letter === "L") data.u8();
    else if (letter === "S") common.isSignal = true;
    else if (letter === "P") skipPointer(data, data.u8());
    // B and G change how addresses are signed and tagged, not where they lie.
    else if (letter !== "B" && letter !== "G")
      throw new UnwindDataError(`augmentation ${JSON.stringify(augmentation)}`);
  }
  return { ...common, initial: reader.bytes(reader.left) };
}

/** The personality routine's pointer may be indirect; only its length matters. */
function skipPointer(data: DwarfReader, encoding: number): void {
  if (encoding !== 0xff) data.pointer(encoding & 0x0f);
}
