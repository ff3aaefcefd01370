import type { FileHandle } from "node:fs/promises";
import { Readable } from "node:stream";
import { createGunzip, createZstdDecompress } from "node:zlib";

/** How a core file is compressed. */
export type CoreEncoding = "plain" | "gzip" | "zstd" | "lz4" | "xz";

const READ_BYTES = 256 * 1024;

/** Tell by the first bytes how a file is compressed; its name may lie. */
export async function detectEncoding(handle: FileHandle): Promise<CoreEncoding> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(6), 0, 6, 0);
  const magic = buffer.subarray(0, bytesRead).toString("hex");
  if (magic.startsWith("1f8b")) return "gzip";
  if (magic.startsWith("28b52ffd")) return "zstd";
  if (magic.startsWith("04224d18")) return "lz4";
  if (magic.startsWith("fd377a585a00")) return "xz";
  return "plain";
}

/** Stream a core, decompressed; undefined for encodings that Node cannot read. */
export function coreStream(handle: FileHandle, encoding: CoreEncoding): AsyncIterable<Buffer> | undefined {
  const raw = readFile(handle);
  if (encoding === "plain") return raw;
  if (encoding === "lz4" || encoding === "xz") return undefined;
  const decoder = encoding === "gzip" ? createGunzip() : createZstdDecompress();
  const source = Readable.from(raw, { objectMode: false });
  source.on("error", (error) => decoder.destroy(error));
  source.pipe(decoder);
  return decoder;
}

/** Stream a file as it is. */
export async function* readFile(handle: FileHandle): AsyncIterable<Buffer> {
  for (let offset = 0; ;) {
    const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, offset);
    if (bytesRead === 0) return;
    offset += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

/** What the decoders of Node say when what they read is damaged or breaks off; anything else is the disk's trouble. */
export function isDecodeError(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" && /^(Z_|ZSTD_|ERR_ZSTD|ERR_ZLIB)/.test(code);
}

/** Read the first bytes of a core, decompressed; fewer when there are none or they cannot be read. */
export async function readStart(handle: FileHandle, encoding: CoreEncoding, bytes: number): Promise<Buffer> {
  const stream = coreStream(handle, encoding);
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of stream ?? []) {
      chunks.push(chunk);
      length += chunk.length;
      if (length >= bytes) break;
    }
  } catch (error) {
    if (!isDecodeError(error)) throw error;
  }
  return Buffer.concat(chunks).subarray(0, bytes);
}
