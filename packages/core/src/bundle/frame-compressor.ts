import { promisify } from "node:util";
import { constants, crc32, deflateRaw, zstdCompress, type ZlibOptions, type ZstdOptions } from "node:zlib";
import type { Compression } from "./manifest.ts";

/**
 * Compress chunks of a core independently of each other, so that several can be worked on at once and their results,
 * put together in order, are one valid entry.
 */
export interface FrameCompressor {
  readonly compression: Compression;
  /** Compress one chunk; the chunk must not change until the promise settles. */
  compress(chunk: Uint8Array): Promise<Uint8Array>;
  /** What ends the entry after the last chunk. */
  readonly trailer: Uint8Array;
  /** The zip entry's CRC runs over the core (deflate, none) or over what is stored (zstd, a stored entry). */
  readonly crcOf: "core" | "stored";
}

/**
 * Fastest level of each method that still compresses well: a crashed pod is held while we compress.
 * Levels 1 of zstd and zlib, measured in docs/performance.md.
 */
export const DEFAULT_LEVEL = 1;

/** First guess of the output's size; zlib's own 16 KiB would cost a growth step per 16 KiB. */
const OUTPUT_CHUNK_BYTES = 512 * 1024;

/** An empty final block with fixed Huffman codes: ends a deflate stream. @see RFC 1951, 3.2.3 */
const DEFLATE_END = Uint8Array.of(0x03, 0x00);

const zstdAsync: (chunk: Uint8Array, options: ZstdOptions) => Promise<Buffer> = promisify(zstdCompress);
const deflateAsync: (chunk: Uint8Array, options: ZlibOptions) => Promise<Buffer> = promisify(deflateRaw);

/**
 * Make the compressor for a method.
 * @param level 1–19 for zstd, 1–9 for deflate; out of range is brought into it
 */
export function makeFrameCompressor(compression: Compression, level: number = DEFAULT_LEVEL): FrameCompressor {
  if (compression === "none") {
    return { compression, trailer: new Uint8Array(0), crcOf: "core", compress: async (chunk) => chunk };
  }
  if (compression === "deflate") {
    const options = { level: clamp(level, 1, 9), chunkSize: OUTPUT_CHUNK_BYTES, finishFlush: constants.Z_SYNC_FLUSH };
    return { compression, trailer: DEFLATE_END, crcOf: "core", compress: (chunk) => deflateAsync(chunk, options) };
  }
  const bun = (globalThis as { Bun?: BunZstd }).Bun;
  if (bun !== undefined) {
    return {
      compression,
      trailer: new Uint8Array(0),
      crcOf: "stored",
      compress: (chunk) => compressInBun(bun, chunk, clamp(level, 1, 19)),
    };
  }
  const options = {
    chunkSize: OUTPUT_CHUNK_BYTES,
    params: { [constants.ZSTD_c_compressionLevel]: clamp(level, 1, 19), [constants.ZSTD_c_checksumFlag]: 1 },
  };
  return { compression, trailer: new Uint8Array(0), crcOf: "stored", compress: (chunk) => zstdAsync(chunk, options) };
}

interface BunZstd {
  zstdCompress(chunk: Uint8Array, options: { level: number }): Promise<Buffer>;
  hash: { xxHash64(bytes: Uint8Array): bigint };
}

/** Content_Checksum_flag of the frame header's descriptor, the byte after the magic number. @see RFC 8878, 3.1.1.1.1 */
const CHECKSUM_FLAG = 0x04;

/**
 * Compress with Bun's one-shot call, a fifth faster than its node:zlib, which builds a stream for every call. It can't
 * be told to add the frame's checksum, so that is done here: a flag, and the low 32 bits of XXH64 at the end.
 * @see RFC 8878, 3.1.1 (Content_Checksum)
 */
async function compressInBun(bun: BunZstd, chunk: Uint8Array, level: number): Promise<Buffer> {
  const frame = await bun.zstdCompress(chunk, { level });
  const checked = Buffer.allocUnsafe(frame.length + 4);
  checked.set(frame);
  checked[4] = (frame[4] ?? 0) | CHECKSUM_FLAG;
  checked.writeUInt32LE(Number(bun.hash.xxHash64(chunk) & 0xffff_ffffn), frame.length);
  return checked;
}

/** Continue a CRC-32 as zip uses it. */
export function updateCrc32(crc: number, bytes: Uint8Array): number {
  return crc32(bytes, crc);
}

function clamp(value: number, min: number, max: number): number {
  return Math.min(max, Math.max(min, Math.round(value)));
}
