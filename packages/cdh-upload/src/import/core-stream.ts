import type { FileHandle } from "node:fs/promises";
import {
  decodeCore,
  encodingOf,
  fileKindOf,
  isDecodeError,
  MAGIC_BYTES,
  type CoreEncoding,
} from "@cdh/core/foreign/core-encoding";

const READ_BYTES = 256 * 1024;

/** Tell by the first bytes how a file is compressed. */
export async function detectEncoding(handle: FileHandle): Promise<CoreEncoding> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(MAGIC_BYTES), 0, MAGIC_BYTES, 0);
  return encodingOf(fileKindOf(buffer.subarray(0, bytesRead)));
}

/** Stream a file as it is. */
export async function* readFile(handle: FileHandle): AsyncGenerator<Buffer> {
  for (let offset = 0; ;) {
    const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, offset);
    if (bytesRead === 0) return;
    offset += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

/** Read the first bytes of a core, decompressed; fewer when there are none or they cannot be read. */
export async function readStart(handle: FileHandle, encoding: CoreEncoding, bytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of decodeCore(encoding, readFile(handle), "a core")) {
      chunks.push(chunk);
      length += chunk.length;
      if (length >= bytes) break;
    }
  } catch (error) {
    if (!isDecodeError(error)) throw error;
  }
  return Buffer.concat(chunks).subarray(0, bytes);
}
