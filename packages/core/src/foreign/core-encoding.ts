import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { CdhError, reasonOf } from "../base/errors.ts";
import { decompressLz4 } from "./lz4.ts";

/** What a file is, by its first bytes. */
export type FileKind = "zip" | "elf" | "gzip" | "zstd" | "lz4" | "xz" | "unknown";

/** How a core's file is compressed. */
export type CoreEncoding = "plain" | "gzip" | "zstd" | "lz4" | "xz";

/** First bytes that {@link fileKindOf} needs. */
export const MAGIC_BYTES = 8;

const CHUNK_BYTES = 256 * 1024;

/** Tell what a file is by its first bytes; names lie. */
export function fileKindOf(head: Uint8Array): FileKind {
  const bytes = Buffer.from(head.buffer, head.byteOffset, head.length);
  if (bytes.length < 4) return "unknown";
  const magic = bytes.readUInt32BE(0);
  if (magic === 0x504b0304 || magic === 0x504b0506) return "zip";
  if (magic === 0x7f454c46) return "elf";
  if (magic >>> 16 === 0x1f8b) return "gzip";
  // A skippable frame may come first.
  if (magic === 0x28b52ffd || (magic & 0xf0ffffff) >>> 0 === 0x502a4d18) return "zstd";
  if (magic === 0x04224d18) return "lz4";
  return magic === 0xfd377a58 ? "xz" : "unknown";
}

/** Tell how a core's file is compressed; what is not known is taken for not compressed. */
export function encodingOf(kind: FileKind): CoreEncoding {
  return kind === "gzip" || kind === "zstd" || kind === "lz4" || kind === "xz" ? kind : "plain";
}

/**
 * Decompress a core from its start.
 * @param label names the file in errors
 * @throws {CdhError} CDH_BUNDLE_DATA or CDH_BUNDLE_CUT_SHORT when it is damaged or breaks off, CDH_BUNDLE_METHOD for xz;
 *   and whatever reading the input throws
 */
export function decodeCore(encoding: CoreEncoding, input: AsyncIterable<Buffer>, label: string): AsyncIterable<Buffer> {
  if (encoding === "plain") return input;
  if (encoding === "lz4") return decompressLz4(input, label);
  if (encoding === "xz") throw unreadable(label);
  return inflate(encoding, input, label);
}

/** Say that a core is compressed with xz, for which there is no reader here. */
export function unreadable(label: string): CdhError {
  return new CdhError("CDH_BUNDLE_METHOD", `cannot read ${label}: it is compressed with xz`, {
    hint: `xz -dk ${label}`,
  });
}

/** Tell whether a core broke off or was damaged within its compression; anything else is the disk's trouble. */
export function isDecodeError(error: unknown): boolean {
  return error instanceof CdhError && (error.code === "CDH_BUNDLE_DATA" || error.code === "CDH_BUNDLE_CUT_SHORT");
}

async function* inflate(
  encoding: "gzip" | "zstd",
  input: AsyncIterable<Buffer>,
  label: string,
): AsyncGenerator<Buffer> {
  const decoder =
    encoding === "gzip" ? createGunzip({ chunkSize: CHUNK_BYTES }) : createZstdDecompress({ chunkSize: CHUNK_BYTES });
  const feeding = pipeline(Readable.from(input, { objectMode: false }), decoder);
  feeding.catch(() => {});
  try {
    for await (const chunk of decoder) yield chunk as Buffer;
    await feeding;
  } catch (error) {
    if (!isZlibError(error)) throw error;
    throw new CdhError("CDH_BUNDLE_DATA", `cannot decompress ${label}: ${reasonOf(error)}`, { cause: error });
  } finally {
    decoder.destroy();
  }
}

function isZlibError(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" && /^(Z_|ZSTD_|ERR_ZSTD|ERR_ZLIB)/.test(code);
}
