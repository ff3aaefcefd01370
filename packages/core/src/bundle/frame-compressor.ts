import type { Transform } from "node:stream";
import { constants, crc32, createDeflateRaw, createZstdCompress } from "node:zlib";
import { CompressorLane, type CompressedFrame } from "./compressor-lane.ts";
import { storedBlocksBytes, writeStoredBlocks } from "./deflate-stored.ts";
import type { Compression } from "./manifest.ts";
import { FRAME_BYTES } from "./zstd-frames.ts";

/**
 * Compress chunks of a core independently of each other, so that several can be worked on at once and their results,
 * put together in order, are one valid entry.
 */
export interface FrameCompressor {
  readonly compression: Compression;
  /** Compress one chunk of at most {@link FRAME_BYTES}; the chunk must not change until the promise settles. */
  compress(chunk: Uint8Array): Promise<CompressedFrame>;
  /** What ends the entry after the last chunk. */
  readonly trailer: Uint8Array;
  /** The zip entry's CRC runs over the core (deflate, none) or over what is stored (zstd, a stored entry). */
  readonly crcOf: "core" | "stored";
  /** Free what is kept from frame to frame; to be called when no frame is under way. */
  close(): void;
}

/**
 * Fastest level of each method that still compresses well: a crashed pod is held while we compress.
 * Levels 1 of zstd and zlib, measured in docs/performance.md.
 */
export const DEFAULT_LEVEL = 1;

/** Holds any frame of zstd whole, which adds a few bytes to each block that does not compress. */
const ZSTD_OUTPUT_BYTES = FRAME_BYTES + 8 * 1024;

/** Some builds of zlib use fixed codes at level 1, which take up to nine bits a byte. @see RFC 1951, 3.2.6 */
const DEFLATE_OUTPUT_BYTES = FRAME_BYTES + FRAME_BYTES / 8 + 8 * 1024;

/** An empty final block with fixed Huffman codes: ends a deflate stream. @see RFC 1951, 3.2.3 */
const DEFLATE_END = Uint8Array.of(0x03, 0x00);

const NOTHING = new Uint8Array(0);

/**
 * Make the compressor for a method.
 * @param level 1–19 for zstd, 1–9 for deflate; out of range is brought into it
 */
export function makeFrameCompressor(compression: Compression, level: number = DEFAULT_LEVEL): FrameCompressor {
  if (compression === "none") {
    const compress = async (chunk: Uint8Array): Promise<CompressedFrame> => ({ bytes: chunk, release: () => {} });
    return { compression, trailer: NOTHING, crcOf: "core", compress, close: () => {} };
  }
  if (compression === "deflate") {
    const lanes = withoutGrowth(laneCompressor(() => makeFrameStream("deflate", level)));
    return { compression, trailer: DEFLATE_END, crcOf: "core", ...lanes };
  }
  return { compression, trailer: NOTHING, crcOf: "stored", ...laneCompressor(() => makeFrameStream("zstd", level)) };
}

/** Compress a chunk into a frame that may be kept and written many times. */
export async function compressToKeep(compressor: FrameCompressor, chunk: Uint8Array): Promise<CompressedFrame> {
  const frame = await compressor.compress(chunk);
  // Not Uint8Array.from: that goes through a list of a million numbers.
  const bytes = new Uint8Array(frame.bytes);
  frame.release();
  return { bytes, release: () => {} };
}

/** Make a stream that ends a frame with every write, and has room for any frame whole. */
export function makeFrameStream(compression: "zstd" | "deflate", level: number = DEFAULT_LEVEL): Transform {
  if (compression === "deflate") {
    // A full flush ends on a byte and forgets what came before: blocks of several lanes join into one stream.
    const options = { level: clamp(level, 1, 9), chunkSize: DEFLATE_OUTPUT_BYTES, flush: constants.Z_FULL_FLUSH };
    return createDeflateRaw(options);
  }
  const params = { [constants.ZSTD_c_compressionLevel]: clamp(level, 1, 19), [constants.ZSTD_c_checksumFlag]: 1 };
  return createZstdCompress({ chunkSize: ZSTD_OUTPUT_BYTES, flush: constants.ZSTD_e_end, params });
}

/** Compress in as many lanes as there are frames not yet released. */
function laneCompressor(createStream: () => Transform): Pick<FrameCompressor, "compress" | "close"> {
  const free: CompressorLane[] = [];
  return {
    compress: (chunk) => {
      const lane = free.pop() ?? new CompressorLane(createStream(), (done) => free.push(done));
      return lane.compress(chunk);
    },
    close: () => {
      for (const lane of free.splice(0)) lane.close();
    },
  };
}

/** Store a chunk that deflate only makes longer. */
function withoutGrowth(
  lanes: Pick<FrameCompressor, "compress" | "close">,
): Pick<FrameCompressor, "compress" | "close"> {
  const free: Buffer[] = [];
  return {
    close: () => lanes.close(),
    compress: async (chunk) => {
      const frame = await lanes.compress(chunk);
      if (frame.bytes.length <= storedBlocksBytes(chunk.length)) return frame;
      frame.release();
      const buffer = free.pop() ?? Buffer.allocUnsafeSlow(storedBlocksBytes(FRAME_BYTES));
      return { bytes: writeStoredBlocks(chunk, buffer), release: () => void free.push(buffer) };
    },
  };
}

/** Continue a CRC-32 as zip uses it. */
export function updateCrc32(crc: number, bytes: Uint8Array): number {
  return crc32(bytes, crc);
}

function clamp(value: number, min: number, max: number): number {
  return Math.min(max, Math.max(min, Math.round(value)));
}
