import type { FileHandle } from "node:fs/promises";
import type { BlobHTTPHeaders, BlockBlobClient } from "@azure/storage-blob";
import type { FileDigest } from "../digest.ts";
import { FileBody } from "../file-body.ts";
import { causeOf, type Attempt, type Requests } from "../requests.ts";
import type { Semaphore } from "../semaphore.ts";
import type { Throttle } from "../throttle.ts";
import { isMissingBlob } from "./errors.ts";

/** Azure may think about a large list of blocks: so many ordinary timeouts. */
const COMMIT_TIMEOUTS = 10;
/** Blocks of one blob that may wait for a permit at the same time. */
const BLOCK_WORKERS = 16;

/** What every upload to a container shares. */
export interface UploadTools {
  requests: Requests;
  /** Bounds what is on its way over all uploads. */
  permits: Semaphore;
  throttle: Throttle;
}

/** The last step of an upload: what the blob is to be, and on which condition. */
export interface CommitOptions {
  blobHTTPHeaders: BlobHTTPHeaders;
  metadata: Record<string, string>;
  conditions?: { ifNoneMatch?: string; ifMatch?: string };
  tier?: string;
  tags?: Record<string, string>;
}

/** One blob to send. */
export interface UploadJob {
  blob: BlockBlobClient;
  /** For messages: `store team-a/x.zip`. */
  what: string;
  source: FileHandle | Uint8Array;
  digest: FileDigest;
  commit: CommitOptions;
  /** Encryption scope or customer-provided key; every request of the upload carries it. */
  encryption: object;
  signal?: AbortSignal | undefined;
  onProgress?: ((sentBytes: number) => void) | undefined;
}

/** Name a block after the content that it belongs to: whoever sends the same file again finds what is there already. */
export function blockId(digest: FileDigest, index: number): string {
  const size = digest.partBytes.toString(16).padStart(9, "0");
  return Buffer.from(`${digest.sha256.slice(0, 40)}${size}${String(index).padStart(6, "0")}`).toString("base64");
}

/** The blocks that make up the content, in order. */
export function blocksOf({ sizeBytes, partBytes }: FileDigest): { index: number; offset: number; length: number }[] {
  const count = Math.ceil(sizeBytes / partBytes);
  return Array.from({ length: count }, (_, index) => {
    const offset = index * partBytes;
    return { index, offset, length: Math.min(partBytes, sizeBytes - offset) };
  });
}

/**
 * Send a blob in blocks, several at a time, each with its MD5, so that the service refuses a damaged one; then commit
 * them in one step. Blocks of an upload that was interrupted are found again by their names and not sent twice; Azure
 * forgets those that nobody commits after a week.
 */
export async function uploadBlob(tools: UploadTools, job: UploadJob): Promise<void> {
  const { blob, what, digest, commit, encryption } = job;
  const stop = new AbortController();
  const signal = job.signal === undefined ? stop.signal : AbortSignal.any([job.signal, stop.signal]);
  const there =
    digest.sizeBytes > digest.partBytes ? await uncommittedBlocks(tools, job, signal) : new Map<string, number>();
  const blocks = blocksOf(digest);
  const sent = new Float64Array(blocks.length);
  let sentBytes = 0;
  const progress = (index: number, bytes: number): void => {
    sentBytes += bytes - (sent[index] ?? 0);
    sent[index] = bytes;
    job.onProgress?.(sentBytes);
  };
  const waiting = blocks.values();
  const work = async (): Promise<void> => {
    for (const block of waiting) {
      if (there.get(blockId(digest, block.index)) === block.length) progress(block.index, block.length);
      else await tools.permits.run(() => stageBlock(tools, { ...job, signal }, block, blocks.length, progress));
    }
  };
  try {
    await Promise.all(Array.from({ length: Math.min(BLOCK_WORKERS, blocks.length) }, work));
  } catch (error) {
    // The other blocks need not come to their end first.
    stop.abort(error);
    throw error;
  }
  const ids = blocks.map(({ index }) => blockId(digest, index));
  const { requests } = tools;
  await requests.send(({ abortSignal }) => blob.commitBlockList(ids, { ...commit, ...encryption, abortSignal }), {
    what,
    signal: job.signal,
    deadlineMs: COMMIT_TIMEOUTS * requests.timeoutMs,
    attempts: 3,
  });
}

/** The names and sizes of blocks that the service holds for this blob and that are no part of it yet. */
async function uncommittedBlocks(
  tools: UploadTools,
  job: UploadJob,
  signal: AbortSignal,
): Promise<Map<string, number>> {
  try {
    const list = await tools.requests.send(({ abortSignal }) => job.blob.getBlockList("uncommitted", { abortSignal }), {
      what: job.what,
      signal,
    });
    return new Map((list.uncommittedBlocks ?? []).map(({ name, size }) => [name, size]));
  } catch (error) {
    if (isMissingBlob(causeOf(error))) return new Map();
    throw error;
  }
}

async function stageBlock(
  tools: UploadTools,
  job: UploadJob,
  { index, offset, length }: { index: number; offset: number; length: number },
  count: number,
  progress: (index: number, bytes: number) => void,
): Promise<void> {
  const { blob, digest, encryption, source, signal } = job;
  const md5 = digest.partMd5s[index];
  if (md5 === undefined) throw new Error("the MD5 was not computed");
  const stage = (body: FileBody | Uint8Array, { abortSignal }: Attempt): Promise<unknown> =>
    blob.stageBlock(blockId(digest, index), body, length, { ...encryption, transactionalContentMD5: md5, abortSignal });
  const send = async (attempt: Attempt): Promise<unknown> => {
    progress(index, 0);
    if (source instanceof Uint8Array) return await stage(source.subarray(offset, offset + length), attempt);
    let sent = 0;
    const onChunk = (bytes: number): void => {
      attempt.kick();
      sent += bytes;
      progress(index, sent);
    };
    const body = new FileBody(source, { offset, length, throttle: tools.throttle, signal, onChunk });
    try {
      return await stage(body, attempt);
    } finally {
      body.destroy();
    }
  };
  const what = count === 1 ? job.what : `${job.what} (block ${index + 1} of ${count})`;
  await tools.requests.send(send, { what, signal, attempts: 5 });
  progress(index, length);
}
