import { createHash } from "node:crypto";
import { closeSync, existsSync, openSync, readSync } from "node:fs";

const CHUNK_BYTES = 1024 * 1024;

/** Bytes that stand in place of a file's own. */
interface ReplacedBytes {
  offset: number;
  bytes: Uint8Array;
}

/** Hash a file as it is; undefined when it does not exist. */
export function hashFile(path: string): string | undefined {
  if (!existsSync(path)) return undefined;
  const file = openSync(path, "r");
  try {
    return hashPatched(file, []);
  } finally {
    closeSync(file);
  }
}

/** Hash an open file as it would be with some bytes replaced. */
export function hashPatched(file: number, patches: readonly ReplacedBytes[]): string {
  const hash = createHash("sha256");
  const chunk = Buffer.alloc(CHUNK_BYTES);
  for (let offset = 0; ;) {
    const length = readSync(file, chunk, 0, CHUNK_BYTES, offset);
    if (length === 0) return hash.digest("hex");
    for (const patch of patches) overlay(chunk, offset, length, patch);
    hash.update(chunk.subarray(0, length));
    offset += length;
  }
}

/** Put the part of a patch that falls into this chunk over it. */
function overlay(chunk: Buffer, chunkOffset: number, length: number, patch: ReplacedBytes): void {
  const from = Math.max(patch.offset, chunkOffset);
  const to = Math.min(patch.offset + patch.bytes.length, chunkOffset + length);
  if (from < to) chunk.set(patch.bytes.subarray(from - patch.offset, to - patch.offset), from - chunkOffset);
}
