/**
 * The core's entry: independent zstd frames of {@link FRAME_BYTES} of core each, then a seek table in a skippable
 * frame. `zstd -d` reads it as one stream; a reader that wants a range decodes only the frames it falls in.
 * @see the zstd repository, contrib/seekable_format/zstd_seekable_compression_format.md
 */
export const FRAME_BYTES = 1024 * 1024;

const SKIPPABLE_MAGIC = 0x184d2a5e;
const SEEKABLE_MAGIC = 0x8f92eab1;
/** Bytes of a table behind its frames. */
export const FOOTER_BYTES = 9;
/** Bytes of a table before its frames. */
export const SKIPPABLE_HEADER_BYTES = 8;
const ENTRY_BYTES = 8;

/** Size of one frame: what it takes in the entry and what it decodes to, in bytes. */
export interface FrameSize {
  storedBytes: number;
  coreBytes: number;
}

/** Encode the seek table, header and footer included. */
export function encodeSeekTable(frames: readonly FrameSize[]): Buffer {
  const table = Buffer.alloc(seekTableBytes(frames.length));
  let offset = table.writeUInt32LE(SKIPPABLE_MAGIC, 0);
  offset = table.writeUInt32LE(table.length - SKIPPABLE_HEADER_BYTES, offset);
  for (const frame of frames) {
    offset = table.writeUInt32LE(frame.storedBytes, offset);
    offset = table.writeUInt32LE(frame.coreBytes, offset);
  }
  offset = table.writeUInt32LE(frames.length, offset);
  // The descriptor byte: no checksums in the table, because each frame carries its own.
  offset = table.writeUInt8(0, offset);
  table.writeUInt32LE(SEEKABLE_MAGIC, offset);
  return table;
}

/** Tell how long the seek table of so many frames is. */
export function seekTableBytes(frameCount: number): number {
  return SKIPPABLE_HEADER_BYTES + frameCount * ENTRY_BYTES + FOOTER_BYTES;
}

/** Where a seek table lies, and how it is written. */
export interface SeekTableShape {
  frameCount: number;
  /** Of the whole table, header and footer included. */
  tableBytes: number;
  /** Of one frame's sizes: some writers add a checksum. */
  entryBytes: number;
}

/**
 * Read the shape of the seek table from the last nine bytes of the entry.
 * @returns undefined when there is no table
 */
export function trySeekTableShape(tail: Uint8Array): SeekTableShape | undefined {
  if (tail.length < FOOTER_BYTES) return undefined;
  const footer = Buffer.from(tail.buffer, tail.byteOffset + tail.length - FOOTER_BYTES, FOOTER_BYTES);
  if (footer.readUInt32LE(5) !== SEEKABLE_MAGIC) return undefined;
  const entryBytes = (footer.readUInt8(4) & 0x80) === 0 ? ENTRY_BYTES : ENTRY_BYTES + 4;
  const frameCount = footer.readUInt32LE(0);
  return { frameCount, entryBytes, tableBytes: SKIPPABLE_HEADER_BYTES + frameCount * entryBytes + FOOTER_BYTES };
}

/** Tell whether a table begins as one of so many bytes does. */
export function isSeekTableHeader(header: Buffer, tableBytes: number): boolean {
  return header.readUInt32LE(0) === SKIPPABLE_MAGIC && header.readUInt32LE(4) === tableBytes - SKIPPABLE_HEADER_BYTES;
}
