import { basename } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { framedCore } from "@cdh/core/bundle/core-reader-frames";
import { sequentialCore, storedCore, type StoredBytes } from "@cdh/core/bundle/core-reader-plain";
import type { CoreReader } from "@cdh/core/bundle/core-reader";
import type { RandomAccessSource } from "@cdh/core/bundle/reader-source";
import { CdhError, reasonOf } from "@cdh/core/errors";
import { decompressLz4 } from "./lz4.ts";

/** What a file is, by its first bytes. */
export type FileKind = "zip" | "elf" | "gzip" | "zstd" | "lz4" | "xz" | "unknown";

const CHUNK_BYTES = 1024 * 1024;

/** Tell what a file is by its first bytes; names lie. */
export function kindOf(head: Uint8Array): FileKind {
  const bytes = Buffer.from(head.buffer, head.byteOffset, head.length);
  if (bytes.length < 4) return "unknown";
  const magic = bytes.readUInt32BE(0);
  if (magic === 0x504b0304 || magic === 0x504b0506) return "zip";
  if (magic === 0x7f454c46) return "elf";
  if (magic >>> 16 === 0x1f8b) return "gzip";
  if (magic === 0x28b52ffd || (magic & 0xf0ffffff) >>> 0 === 0x502a4d18) return "zstd";
  if (magic === 0x04224d18) return "lz4";
  return magic === 0xfd377a58 ? "xz" : "unknown";
}

/**
 * Open a core that is a file by itself: plain, or compressed by gzip, zstd or lz4.
 * @throws {CdhError} CDH_BUNDLE_METHOD for xz; CDH_BUNDLE_SEEK_TABLE
 */
export async function openPlainCore(source: RandomAccessSource, kind: FileKind): Promise<CoreReader> {
  const stored: StoredBytes = {
    name: basename(source.label),
    label: source.label,
    sizeBytes: source.sizeBytes,
    read: (offset, length, signal) => source.read(offset, length, signal),
  };
  if (kind === "zstd") return framedCore(stored);
  if (kind === "gzip" || kind === "lz4") {
    const open = (signal?: AbortSignal, onStoredBytes?: (bytes: Uint8Array) => void): AsyncIterable<Buffer> => {
      const input = readAll(stored, signal, onStoredBytes);
      return kind === "gzip" ? gunzip(input, stored.label) : decompressLz4(input, stored.label);
    };
    return sequentialCore({ layout: kind, name: stored.name, storedBytes: stored.sizeBytes, open });
  }
  if (kind === "xz")
    throw new CdhError("CDH_BUNDLE_METHOD", `cannot read ${stored.label}: it is compressed with xz`, {
      hint: `xz -dk ${stored.label}`,
    });
  return storedCore(stored);
}

async function* readAll(
  stored: StoredBytes,
  signal?: AbortSignal,
  onStoredBytes?: (bytes: Uint8Array) => void,
): AsyncGenerator<Buffer> {
  for (let offset = 0; offset < stored.sizeBytes; offset += CHUNK_BYTES) {
    signal?.throwIfAborted();
    const bytes = await stored.read(offset, Math.min(CHUNK_BYTES, stored.sizeBytes - offset), signal);
    onStoredBytes?.(bytes);
    yield bytes;
  }
}

async function* gunzip(input: AsyncIterable<Buffer>, label: string): AsyncGenerator<Buffer> {
  const decoder = createGunzip({ chunkSize: 256 * 1024 });
  const feeding = pipeline(Readable.from(input), decoder);
  feeding.catch(() => {});
  try {
    for await (const chunk of decoder) yield chunk as Buffer;
    await feeding;
  } catch (error) {
    if (error instanceof CdhError || (error instanceof Error && error.name === "AbortError")) throw error;
    throw new CdhError("CDH_BUNDLE_DATA", `cannot decompress ${label}: ${reasonOf(error)}`, { cause: error });
  } finally {
    decoder.destroy();
  }
}
