import { CdhError, reasonOf } from "../base/errors.ts";
import { openRegularFile } from "../files/regular-file.ts";
import type { ObjectStore } from "../store/store.ts";
import { cutShort, type RandomAccessSource } from "./random-access.ts";
import { cacheReads } from "./reader-cache.ts";

export type { RandomAccessSource } from "./random-access.ts";

/** A bundle's small entries lie behind its core, so one read of the end serves the directory and all of them. */
const STORE_TAIL_BYTES = 1024 * 1024;
const STORE_BLOCK_BYTES = 256 * 1024;
/** Holds the directory of a usual bundle and its manifest, or IBM's dump info at the start. */
const GLANCE_BYTES = 32 * 1024;
const FILE_BLOCK_BYTES = 64 * 1024;

/**
 * Open a file for random access.
 * @throws {CdhError} CDH_NOT_FOUND when there is no such file, CDH_DISK when it cannot be read
 */
export async function fileSource(path: string): Promise<RandomAccessSource> {
  const handle = await openRegularFile(path, { followLinks: true });
  const stat = await handle.stat().catch(async (error: unknown) => {
    await handle.close();
    throw new CdhError("CDH_DISK", `cannot read ${path}: ${reasonOf(error)}`, { cause: error });
  });
  const traffic = { requests: 0, bytes: 0 };
  return cacheReads(
    {
      label: path,
      sizeBytes: stat.size,
      traffic,
      read: async (offset, length) => {
        const bytes = Buffer.allocUnsafe(length);
        let filled = 0;
        while (filled < length) {
          const { bytesRead } = await handle
            .read(bytes, filled, length - filled, offset + filled)
            .catch((error: unknown) => {
              throw new CdhError("CDH_DISK", `cannot read ${path}: ${reasonOf(error)}`, { cause: error });
            });
          if (bytesRead === 0) throw cutShort(path, offset + filled, length - filled);
          filled += bytesRead;
        }
        traffic.requests += 1;
        traffic.bytes += length;
        return bytes;
      },
      close: () => handle.close(),
    },
    { tailBytes: FILE_BLOCK_BYTES, blockBytes: FILE_BLOCK_BYTES },
  );
}

/** Say what is known of an object, and how it will be read. */
export interface StoreSourceOptions {
  /** From a listing; spares a request. */
  sizeBytes?: number;
  /** Only the directory and one small entry are wanted: for listings of many bundles. */
  glance?: boolean;
  signal?: AbortSignal;
}

/**
 * Open an object for random access by ranges. The whole object is never fetched.
 * @throws {CdhError} CDH_NOT_FOUND when there is no such object; the CDH_STORE family
 */
export async function storeSource(
  store: ObjectStore,
  key: string,
  options: StoreSourceOptions = {},
): Promise<RandomAccessSource> {
  const label = `${store.url.replace(/\/$/, "")}/${key}`;
  const traffic = { requests: 0, bytes: 0 };
  let { sizeBytes } = options;
  if (sizeBytes === undefined) {
    traffic.requests += 1;
    sizeBytes = (await store.head(key, options.signal))?.sizeBytes;
  }
  if (sizeBytes === undefined) throw new CdhError("CDH_NOT_FOUND", `cannot open ${label}: no such object`);
  return cacheReads(
    {
      label,
      sizeBytes,
      traffic,
      read: async (offset, length, readSignal) => {
        if (length === 0) return Buffer.alloc(0);
        traffic.requests += 1;
        const body = await store.get(key, { offset, length }, readSignal);
        if (body === undefined) throw new CdhError("CDH_NOT_FOUND", `cannot read ${label}: it was deleted meanwhile`);
        const bytes = Buffer.allocUnsafe(length);
        let filled = 0;
        for await (const chunk of body) {
          bytes.set(chunk, filled);
          filled += chunk.length;
          traffic.bytes += chunk.length;
        }
        if (filled < length) throw cutShort(label, offset + filled, length - filled);
        return bytes;
      },
      close: async () => {},
    },
    options.glance === true
      ? { tailBytes: GLANCE_BYTES, blockBytes: GLANCE_BYTES }
      : { tailBytes: STORE_TAIL_BYTES, blockBytes: STORE_BLOCK_BYTES },
  );
}

/** Serve bytes that are already in memory. */
export function bytesSource(label: string, bytes: Uint8Array): RandomAccessSource {
  const traffic = { requests: 0, bytes: 0 };
  return {
    label,
    sizeBytes: bytes.length,
    traffic,
    read: async (offset, length) => {
      if (offset < 0 || offset + length > bytes.length)
        throw cutShort(label, bytes.length, offset + length - bytes.length);
      traffic.requests += 1;
      traffic.bytes += length;
      return Buffer.from(bytes.subarray(offset, offset + length));
    },
    close: async () => {},
  };
}
