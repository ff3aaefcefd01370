import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { crc32, createInflateRaw } from "node:zlib";
import { CdhError } from "../base/errors.ts";
import type { BundleEntry } from "./reader-directory.ts";
import type { RandomAccessSource } from "./reader-source.ts";

/** Where an entry's data starts, once its local header is read. */
export interface Located {
  dataOffset: number;
}

const CHUNK_BYTES = 1024 * 1024;
const READ_MAX_BYTES = 4 * 1024 * 1024;

/** Read a small entry whole. @throws {CdhError} CDH_BUNDLE_ENTRY_TOO_LARGE; those of {@link streamEntry} */
export async function readEntry(
  source: RandomAccessSource,
  entry: BundleEntry,
  located: Located,
  options: { maxBytes?: number; signal?: AbortSignal } = {},
): Promise<Buffer> {
  const maxBytes = options.maxBytes ?? READ_MAX_BYTES;
  if (entry.sizeBytes > maxBytes) {
    throw new CdhError(
      "CDH_BUNDLE_ENTRY_TOO_LARGE",
      `cannot read ${JSON.stringify(entry.name)} in ${source.label}: ${entry.sizeBytes} bytes, at most ${maxBytes} are sensible`,
    );
  }
  const chunks: Buffer[] = [];
  for await (const chunk of streamEntry(source, entry, located, options.signal)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/**
 * Decompress an entry piece by piece.
 * @throws {CdhError} CDH_BUNDLE_SIZE when it decodes to more or less than promised, CDH_BUNDLE_CRC, CDH_BUNDLE_DATA
 */
export async function* streamEntry(
  source: RandomAccessSource,
  entry: BundleEntry,
  located: Located,
  signal?: AbortSignal,
): AsyncGenerator<Buffer> {
  const stored = storedChunks(source, entry, located, signal);
  let sizeBytes = 0;
  let crc = 0;
  for await (const chunk of entry.method === "stored" ? stored : inflate(stored, source.label, entry)) {
    sizeBytes += chunk.length;
    if (sizeBytes > entry.sizeBytes) throw sizeError(source.label, entry, `more than ${entry.sizeBytes}`);
    crc = crc32(chunk, crc);
    yield chunk;
  }
  if (sizeBytes !== entry.sizeBytes) throw sizeError(source.label, entry, `${sizeBytes}`);
  if (crc !== entry.crc32) {
    throw new CdhError(
      "CDH_BUNDLE_CRC",
      `cannot trust ${JSON.stringify(entry.name)} in ${source.label}: its checksum is wrong, the data was changed`,
    );
  }
}

/** Read raw bytes of an entry. @throws {CdhError} CDH_BUNDLE_CUT_SHORT past the entry's end */
export async function readEntryStored(
  source: RandomAccessSource,
  entry: BundleEntry,
  located: Located,
  offset: number,
  length: number,
  signal?: AbortSignal,
): Promise<Buffer> {
  if (offset < 0 || offset + length > entry.storedBytes) {
    throw new CdhError(
      "CDH_BUNDLE_CUT_SHORT",
      `cannot read ${JSON.stringify(entry.name)} in ${source.label}: it ends at byte ${entry.storedBytes}`,
    );
  }
  return source.read(located.dataOffset + offset, length, signal);
}

async function* storedChunks(
  source: RandomAccessSource,
  entry: BundleEntry,
  located: Located,
  signal?: AbortSignal,
): AsyncGenerator<Buffer> {
  for (let offset = 0; offset < entry.storedBytes; offset += CHUNK_BYTES) {
    signal?.throwIfAborted();
    yield await source.read(located.dataOffset + offset, Math.min(CHUNK_BYTES, entry.storedBytes - offset), signal);
  }
}

async function* inflate(stored: AsyncIterable<Buffer>, label: string, entry: BundleEntry): AsyncGenerator<Buffer> {
  const inflater = createInflateRaw({ chunkSize: 256 * 1024 });
  const feeding = pipeline(Readable.from(stored), inflater);
  feeding.catch(() => {});
  try {
    for await (const chunk of inflater) yield chunk as Buffer;
    await feeding;
  } catch (error) {
    if (error instanceof CdhError || (error instanceof Error && error.name === "AbortError")) throw error;
    throw new CdhError(
      "CDH_BUNDLE_DATA",
      `cannot decompress ${JSON.stringify(entry.name)} in ${label}: ${error instanceof Error ? error.message : String(error)}`,
      {
        cause: error,
      },
    );
  } finally {
    inflater.destroy();
  }
}

function sizeError(label: string, entry: BundleEntry, found: string): CdhError {
  return new CdhError(
    "CDH_BUNDLE_SIZE",
    `cannot trust ${JSON.stringify(entry.name)} in ${label}: it promises ${entry.sizeBytes} bytes and holds ${found}`,
  );
}
