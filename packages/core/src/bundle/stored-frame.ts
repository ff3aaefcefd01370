import { FRAME_BYTES } from "./zstd-frames.ts";

/**
 * A zstd frame whose blocks are not compressed: every reader of zstd reads it, and making it costs a copy. A core is
 * taken in such frames while its process is held, and packed afterwards. @see RFC 8878, 3.1.1
 */
const MAGIC = 0xfd2fb528;

/** The content's size in four bytes, one segment, a checksum or none. */
const DESCRIPTOR = 0xa0;
const HAS_CHECKSUM = 0x04;
const HEADER_BYTES = 9;
const CHECKSUM_BYTES = 4;

/** The most that a block holds. */
const BLOCK_BYTES = 128 * 1024;
const BLOCK_HEADER_BYTES = 3;
const BLOCK_RAW = 0;
const BLOCK_RLE = 1;

const ZEROS = Buffer.alloc(BLOCK_BYTES);

/** The most that a stored frame takes, in bytes. */
export const STORED_FRAME_MAX_BYTES =
  HEADER_BYTES + FRAME_BYTES + (FRAME_BYTES / BLOCK_BYTES) * BLOCK_HEADER_BYTES + CHECKSUM_BYTES;

/** XXH64 with the seed 0, as zstd's checksums are made of. */
export type Checksum = (bytes: Uint8Array) => bigint;

/**
 * Write a chunk of 1 to {@link FRAME_BYTES} bytes as one frame. A block of zeros takes a byte.
 * @param into room for {@link STORED_FRAME_MAX_BYTES}
 * @param checksum without one the frame carries none
 * @returns the frame, within `into`
 */
export function writeStoredFrame(chunk: Buffer, into: Buffer, checksum: Checksum | undefined): Buffer {
  into.writeUInt32LE(MAGIC, 0);
  into.writeUInt8(checksum === undefined ? DESCRIPTOR : DESCRIPTOR | HAS_CHECKSUM, 4);
  into.writeUInt32LE(chunk.length, 5);
  let at = HEADER_BYTES;
  for (let from = 0; from < chunk.length; from += BLOCK_BYTES) {
    const block = chunk.subarray(from, from + BLOCK_BYTES);
    const isLast = from + BLOCK_BYTES >= chunk.length ? 1 : 0;
    const isZero = block.length === BLOCK_BYTES && block.equals(ZEROS);
    at = into.writeUIntLE(
      isLast | ((isZero ? BLOCK_RLE : BLOCK_RAW) << 1) | (block.length << 3),
      at,
      BLOCK_HEADER_BYTES,
    );
    if (isZero) at = into.writeUInt8(0, at);
    else at += block.copy(into, at);
  }
  if (checksum !== undefined) at = into.writeUInt32LE(Number(checksum(chunk) & 0xff_ff_ff_ffn), at);
  return into.subarray(0, at);
}

/**
 * Read a frame that {@link writeStoredFrame} made.
 * @param into room for its content
 * @returns the content, within `into`; undefined when the frame is another or its content is not what was written
 */
export function tryReadStoredFrame(frame: Buffer, into: Buffer, checksum: Checksum | undefined): Buffer | undefined {
  if (frame.length < HEADER_BYTES || frame.readUInt32LE(0) !== MAGIC) return undefined;
  const hasChecksum = frame.readUInt8(4) === (DESCRIPTOR | HAS_CHECKSUM);
  const length = frame.readUInt32LE(5);
  if ((!hasChecksum && frame.readUInt8(4) !== DESCRIPTOR) || length > into.length) return undefined;
  let [at, filled, isLast] = [HEADER_BYTES, 0, false];
  while (!isLast) {
    if (at + BLOCK_HEADER_BYTES > frame.length) return undefined;
    const header = frame.readUIntLE(at, BLOCK_HEADER_BYTES);
    at += BLOCK_HEADER_BYTES;
    isLast = (header & 1) === 1;
    const [type, size] = [(header >> 1) & 3, header >> 3];
    const end = filled + size;
    if (size > BLOCK_BYTES || end > length || at + (type === BLOCK_RLE ? 1 : size) > frame.length) return undefined;
    if (type === BLOCK_RLE) into.fill(frame.readUInt8(at), filled, end);
    else if (type === BLOCK_RAW) frame.copy(into, filled, at, at + size);
    else return undefined;
    at += type === BLOCK_RLE ? 1 : size;
    filled = end;
  }
  if (filled !== length || at + (hasChecksum ? CHECKSUM_BYTES : 0) !== frame.length) return undefined;
  const content = into.subarray(0, length);
  const isWhole =
    !hasChecksum || checksum === undefined || frame.readUInt32LE(at) === Number(checksum(content) & 0xff_ff_ff_ffn);
  return isWhole ? content : undefined;
}
