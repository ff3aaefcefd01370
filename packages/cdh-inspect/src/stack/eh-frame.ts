import { DwarfReader, UnwindDataError } from "./dwarf-reader.ts";

/** What unwind tables are read from: a module's file, or its pages in the core. Addresses are those of the file. */
export interface UnwindImage {
  /** Where .eh_frame_hdr lies. */
  header: { vaddr: bigint; sizeBytes: number };
  /** Read up to `length` bytes; undefined where there is nothing. */
  read(vaddr: bigint, length: number): Promise<Uint8Array | undefined>;
}

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
  /** The kernel built this frame when it delivered a signal: what it returns to was not called. */
  isSignal: boolean;
  initial: Uint8Array;
  instructions: Uint8Array;
}

/** Both fields of a row of the search table are offsets from the header, 4 bytes each: what every linker writes. */
const TABLE_ENCODING = 0x3b;
const ROW_BYTES = 8;
const HEADER_BYTES_MAX = 64;
/** One description is some dozen bytes; the largest known ones have some KiB. */
const RECORD_BYTES_MAX = 64 * 1024;
const ROWS_MAX = 1 << 26;

/**
 * Find the description of the code at an address by the binary search table of .eh_frame_hdr. Reads some dozen bytes,
 * however large the tables are.
 * @returns undefined when nothing describes it
 * @throws {UnwindDataError} when the tables are damaged, or of a kind that compilers do not write
 * @see Linux Standard Base, 10.6: Exception Frames
 */
export async function findFrameDescription(image: UnwindImage, vaddr: bigint): Promise<FrameDescription | undefined> {
  const base = image.header.vaddr;
  const head = await readSome(image, base, Math.min(HEADER_BYTES_MAX, image.header.sizeBytes));
  const header = new DwarfReader(head, base);
  const [version, frameEncoding, countEncoding, tableEncoding] = [header.u8(), header.u8(), header.u8(), header.u8()];
  if (version !== 1 || tableEncoding !== TABLE_ENCODING || countEncoding === 0xff) return undefined;
  header.pointer(frameEncoding, base);
  const rows = Number(header.pointer(countEncoding, base));
  if (rows > ROWS_MAX || rows * ROW_BYTES > image.header.sizeBytes) throw new UnwindDataError(`${rows} descriptions`);
  const table = base + BigInt(header.at);
  let low = 0;
  let high = rows - 1;
  let found: bigint | undefined;
  while (low <= high) {
    const middle = Math.floor((low + high) / 2);
    const row = new DwarfReader(await readSome(image, table + BigInt(middle * ROW_BYTES), ROW_BYTES));
    const [start, description] = [base + row.signed(4), base + row.signed(4)];
    if (start <= vaddr) {
      found = description;
      low = middle + 1;
    } else high = middle - 1;
  }
  if (found === undefined) return undefined;
  const description = await readDescription(image, found);
  return vaddr >= description.start && vaddr < description.end ? description : undefined;
}

async function readDescription(image: UnwindImage, vaddr: bigint): Promise<FrameDescription> {
  const record = await readRecord(image, vaddr);
  const pointerAt = vaddr + 4n;
  const distance = record.u32();
  if (distance === 0) throw new UnwindDataError("a description without code");
  const common = parseCommon(await readRecord(image, pointerAt - BigInt(distance)));
  const start = record.pointer(common.encoding);
  const end = start + record.pointer(common.encoding & 0x0f);
  if (common.isAugmented) record.bytes(record.count());
  const { isAugmented: _isAugmented, ...rest } = common;
  return { ...rest, start, end, instructions: record.bytes(record.left) };
}

type Common = Omit<FrameDescription, "start" | "end" | "instructions"> & { isAugmented: boolean };

/** Parse a common information entry; the reader stands behind its length. */
function parseCommon(record: DwarfReader): Common {
  if (record.u32() !== 0) throw new UnwindDataError("no common information entry where one should be");
  const version = record.u8();
  if (version !== 1 && version !== 3) throw new UnwindDataError(`version ${version}`);
  const augmentation = record.text();
  const codeAlign = record.uleb();
  const dataAlign = record.sleb();
  const returnRegister = version === 1 ? record.u8() : record.count();
  const common = { codeAlign, dataAlign, returnRegister, encoding: 0, isSignal: false, isAugmented: false };
  if (augmentation === "") return { ...common, initial: record.bytes(record.left) };
  if (!augmentation.startsWith("z")) throw new UnwindDataError(`augmentation ${JSON.stringify(augmentation)}`);
  common.isAugmented = true;
  const data = new DwarfReader(record.bytes(record.count()));
  for (const letter of augmentation.slice(1)) {
    if (letter === "R") common.encoding = data.u8();
    else if (letter === "L") data.u8();
    else if (letter === "S") common.isSignal = true;
    else if (letter === "P") skipPointer(data, data.u8());
    // B and G change how addresses are signed and tagged, not where they lie.
    else if (letter !== "B" && letter !== "G")
      throw new UnwindDataError(`augmentation ${JSON.stringify(augmentation)}`);
  }
  return { ...common, initial: record.bytes(record.left) };
}

/** The personality routine's pointer may be indirect; only its length matters. */
function skipPointer(data: DwarfReader, encoding: number): void {
  if (encoding !== 0xff) data.pointer(encoding & 0x0f);
}

/** Read one record, without its length; the reader knows the addresses. */
async function readRecord(image: UnwindImage, vaddr: bigint): Promise<DwarfReader> {
  const length = new DwarfReader(await readSome(image, vaddr, 4)).u32();
  if (length === 0 || length > RECORD_BYTES_MAX) throw new UnwindDataError(`a record of ${length} bytes`);
  return new DwarfReader(await readSome(image, vaddr + 4n, length), vaddr + 4n);
}

async function readSome(image: UnwindImage, vaddr: bigint, length: number): Promise<Uint8Array> {
  const bytes = await image.read(vaddr, length);
  if (bytes === undefined || bytes.length < length) throw new UnwindDataError("unwind data is not there");
  return bytes;
}
