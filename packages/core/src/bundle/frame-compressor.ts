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
  const options = {
    chunkSize: OUTPUT_CHUNK_BYTES,
    params: { [constants.ZSTD_c_compressionLevel]: clamp(level, 1, 19), [constants.ZSTD_c_checksumFlag]: 1 },
  };
  return { compression, trailer: new Uint8Array(0), crcOf: "stored", compress: (chunk) => zstdAsync(chunk, options) };
}

/** Continue a CRC-32 as zip uses it. */
export function updateCrc32(crc: number, bytes: Uint8Array): number {
  return crc32(bytes, crc);
}

function clamp(value: number, min: number, max: number): number {
  return Math.min(max, Math.max(min, Math.round(value)));
}
