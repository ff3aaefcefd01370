import type { FileHandle } from "node:fs/promises";
import { createGunzip } from "node:zlib";

/** More than the kubelet rotates at by far (10 MiB); what unpacks to more than this is no log worth its time. */
const MAX_UNPACKED_BYTES = 64 * 1024 * 1024;

/** A turn of the event loop for every so many unpacked bytes. */
const CHUNK_BYTES = 256 * 1024;

/** The end of an unpacked file. */
export interface UnpackedTail {
  bytes: Buffer;
  /** True when that is all of it. */
  whole: boolean;
}

/**
 * Unpack a gzip file and keep the last bytes of it. Costs `keepBytes` of memory, whatever it unpacks to.
 * @returns undefined when it is damaged, cut off, unpacks to more than 64 MiB, or the signal came
 */
export async function unpackTail(
  handle: FileHandle,
  keepBytes: number,
  signal?: AbortSignal,
): Promise<UnpackedTail | undefined> {
  const source = handle.createReadStream({ autoClose: false, start: 0 });
  const gunzip = createGunzip({ chunkSize: CHUNK_BYTES });
  source.on("error", (error) => gunzip.destroy(error));
  const parts: Buffer[] = [];
  let [kept, total] = [0, 0];
  try {
    for await (const chunk of source.pipe(gunzip) as AsyncIterable<Buffer>) {
      parts.push(chunk);
      kept += chunk.length;
      total += chunk.length;
      if (total > MAX_UNPACKED_BYTES || signal?.aborted === true) return undefined;
      while (kept - (parts[0]?.length ?? 0) >= keepBytes) kept -= parts.shift()?.length ?? 0;
    }
  } catch {
    return undefined;
  } finally {
    source.destroy();
    gunzip.destroy();
  }
  const bytes = Buffer.concat(parts);
  return { bytes: bytes.subarray(Math.max(0, bytes.length - keepBytes)), whole: total <= keepBytes };
}
