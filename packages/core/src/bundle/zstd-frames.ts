/**
 * The core's entry: independent zstd frames of {@link FRAME_BYTES} of core each, then a seek table in a skippable
 * frame. `zstd -d` reads it as one stream; a reader that wants a range decodes only the frames it falls in.
 * @see the zstd repository, contrib/seekable_format/zstd_seekable_compression_format.md
 */
export const FRAME_BYTES = 1024 * 1024;

const SKIPPABLE_MAGIC = 0x184d2a5e;
const SEEKABLE_MAGIC = 0x8f92eab1;
const FOOTER_BYTES = 9;
const SKIPPABLE_HEADER_BYTES = 8;
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

/**
 * Read the length of the seek table from the last nine bytes of the entry.
 * @returns bytes to read from the end of the entry for {@link tryDecodeSeekTable}, or undefined when there is no table
 */
export function tryReadSeekTableBytes(tail: Uint8Array): number | undefined {
  if (tail.length < FOOTER_BYTES) return undefined;
  const footer = Buffer.from(tail.buffer, tail.byteOffset + tail.length - FOOTER_BYTES, FOOTER_BYTES);
  if (footer.readUInt32LE(5) !== SEEKABLE_MAGIC) return undefined;
  const entryBytes = (footer.readUInt8(4) & 0x80) === 0 ? ENTRY_BYTES : ENTRY_BYTES + 4;
  return SKIPPABLE_HEADER_BYTES + footer.readUInt32LE(0) * entryBytes + FOOTER_BYTES;
}

/** Decode a whole seek table; undefined when it is not one or lies about its length. */
export function tryDecodeSeekTable(table: Uint8Array): FrameSize[] | undefined {
  const bytes = tryReadSeekTableBytes(table);
  if (bytes === undefined || bytes !== table.length) return undefined;
  const view = Buffer.from(table.buffer, table.byteOffset, table.length);
  if (view.readUInt32LE(0) !== SKIPPABLE_MAGIC || view.readUInt32LE(4) !== bytes - SKIPPABLE_HEADER_BYTES)
    return undefined;
  const entryBytes = (view.readUInt8(bytes - 5) & 0x80) === 0 ? ENTRY_BYTES : ENTRY_BYTES + 4;
  const frames: FrameSize[] = [];
  for (let offset = SKIPPABLE_HEADER_BYTES; offset < bytes - FOOTER_BYTES; offset += entryBytes) {
    frames.push({ storedBytes: view.readUInt32LE(offset), coreBytes: view.readUInt32LE(offset + 4) });
  }
  return frames;
}
