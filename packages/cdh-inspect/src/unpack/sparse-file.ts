import type { FileHandle } from "node:fs/promises";

const BLOCK_BYTES = 4096;
const ZEROS = Buffer.alloc(BLOCK_BYTES);

/**
 * Write bytes at an offset and leave out blocks of zeros: the file system reads a hole as zeros. The caller sets the
 * file's length at the end, because holes there need it.
 * @returns bytes written, holes not counted
 */
export async function writeSparse(file: FileHandle, bytes: Buffer, offset: number): Promise<number> {
  let written = 0;
  let start = -1;
  // Blocks are those of the file, not of the buffer, so that a hole is one for the file system too.
  let at = 0;
  while (at < bytes.length) {
    const end = Math.min(bytes.length, at + BLOCK_BYTES - ((offset + at) % BLOCK_BYTES));
    const isZero = isAllZero(bytes, at, end);
    if (!isZero && start === -1) start = at;
    if (isZero && start !== -1) {
      written += await writeAll(file, bytes.subarray(start, at), offset + start);
      start = -1;
    }
    at = end;
  }
  if (start !== -1) written += await writeAll(file, bytes.subarray(start), offset + start);
  return written;
}

function isAllZero(bytes: Buffer, start: number, end: number): boolean {
  // Most blocks that are not zero show it in their first byte.
  return bytes[start] === 0 && bytes.compare(ZEROS, 0, end - start, start, end) === 0;
}

async function writeAll(file: FileHandle, bytes: Buffer, offset: number): Promise<number> {
  let done = 0;
  while (done < bytes.length) done += (await file.write(bytes, done, bytes.length - done, offset + done)).bytesWritten;
  return done;
}
