import { cutShort, type RandomAccessSource } from "@cdh/core/bundle/random-access";
import { cacheReads } from "@cdh/core/bundle/reader-cache";
import { CdhError, reasonOf } from "@cdh/core/errors";
import type { KubeClient } from "./client.ts";

/** As for a bucket: the small entries of a bundle lie behind its core. */
const TAIL_BYTES = 1024 * 1024;
const BLOCK_BYTES = 256 * 1024;
/** How often one range is asked for while connections break. */
const TRIES = 4;

/**
 * Read a bundle through the API server by ranges: the whole of it is never fetched.
 * @param about.path of the subresource
 * @param about.label what messages call it
 */
export function clusterSource(
  client: KubeClient,
  about: { path: string; label: string; sizeBytes: number },
): RandomAccessSource {
  const { path, label, sizeBytes } = about;
  const traffic = { requests: 0, bytes: 0 };
  let etag: string | undefined;
  const readRange = async (offset: number, length: number, signal?: AbortSignal): Promise<Buffer> => {
    if (length === 0) return Buffer.alloc(0);
    traffic.requests += 1;
    const answer = await client.ask(path, {
      headers: {
        accept: "*/*",
        range: `bytes=${offset}-${offset + length - 1}`,
        ...(etag === undefined ? {} : { "if-match": etag }),
      },
      accept: [412],
      ...(signal === undefined ? {} : { signal }),
    });
    if (answer.statusCode === 412) {
      answer.destroy();
      throw new CdhError("CDH_STORE_MISMATCH", `cannot read ${label}: it was replaced meanwhile`);
    }
    etag ??= answer.headers.etag;
    // A server that ignores ranges sends it from the start.
    let skip = answer.statusCode === 206 ? 0 : offset;
    const bytes = Buffer.allocUnsafe(length);
    let filled = 0;
    try {
      for await (const chunk of answer as AsyncIterable<Buffer>) {
        traffic.bytes += chunk.length;
        const wanted = chunk.subarray(skip, skip + length - filled);
        skip = Math.max(0, skip - chunk.length);
        bytes.set(wanted, filled);
        filled += wanted.length;
        if (filled === length) break;
      }
    } catch (error) {
      signal?.throwIfAborted();
      throw new CdhError("CDH_STORE_UNREACHABLE", `cannot read ${label}: the connection broke: ${reasonOf(error)}`, {
        cause: error,
      });
    }
    if (filled < length) throw cutShort(label, offset + filled, length - filled);
    return bytes;
  };
  return cacheReads(
    {
      label,
      sizeBytes,
      traffic,
      read: async (offset, length, signal) => {
        for (let tries = 1; ; tries += 1) {
          try {
            return await readRange(offset, length, signal);
          } catch (error) {
            signal?.throwIfAborted();
            const isBroken = error instanceof CdhError && error.code === "CDH_STORE_UNREACHABLE";
            if (!isBroken || tries === TRIES) throw error;
          }
        }
      },
      close: async () => {},
    },
    { tailBytes: TAIL_BYTES, blockBytes: BLOCK_BYTES },
  );
}
