import { CdhError } from "@cdh/core/errors";
import { cutShort, type RandomAccessSource } from "@cdh/core/bundle/random-access";
import { cacheReads } from "@cdh/core/bundle/reader-cache";
import type { KubeClient } from "./client.ts";

/** As for a bucket: the small entries of a bundle lie behind its core. */
const TAIL_BYTES = 1024 * 1024;
const BLOCK_BYTES = 256 * 1024;

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
  return cacheReads(
    {
      label,
      sizeBytes,
      traffic,
      read: async (offset, length, signal) => {
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
        for await (const chunk of answer as AsyncIterable<Buffer>) {
          traffic.bytes += chunk.length;
          const wanted = chunk.subarray(skip, skip + length - filled);
          skip = Math.max(0, skip - chunk.length);
          bytes.set(wanted, filled);
          filled += wanted.length;
          if (filled === length) break;
        }
        if (filled < length) throw cutShort(label, offset + filled, length - filled);
        return bytes;
      },
      close: async () => {},
    },
    { tailBytes: TAIL_BYTES, blockBytes: BLOCK_BYTES },
  );
}
