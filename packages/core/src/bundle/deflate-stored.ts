/** The longest stored block, and what its header takes. @see RFC 1951, 3.2.4 */
const BLOCK_BYTES = 65_535;
const HEADER_BYTES = 5;

/** Tell how long a chunk is as stored blocks, the empty one at the end included. */
export function storedBlocksBytes(length: number): number {
  return length + (Math.ceil(length / BLOCK_BYTES) + 1) * HEADER_BYTES;
}

/**
 * Write a chunk as stored blocks of a deflate stream, ended like a full flush by an empty one, so that what follows
 * starts on a byte and a salvage finds the end.
 * @param target holds {@link storedBlocksBytes} or more
 * @returns the part of the target that was written
 */
export function writeStoredBlocks(chunk: Uint8Array, target: Buffer): Buffer {
  let at = 0;
  for (let from = 0; from < chunk.length; from += BLOCK_BYTES) {
    const block = chunk.subarray(from, from + BLOCK_BYTES);
    at = writeHeader(target, at, block.length);
    target.set(block, at);
    at += block.length;
  }
  at = writeHeader(target, at, 0);
  return target.subarray(0, at);
}

function writeHeader(target: Buffer, at: number, length: number): number {
  target.writeUInt8(0, at);
  target.writeUInt16LE(length, at + 1);
  return target.writeUInt16LE(length ^ 0xffff, at + 3);
}
