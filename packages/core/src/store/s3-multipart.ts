import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  UploadPartCommand,
  type CompletedPart,
  type CreateMultipartUploadCommandInput,
} from "@aws-sdk/client-s3";
import type { FileHandle } from "node:fs/promises";
import { CdhError } from "../errors.ts";
import { encodeCrc32, type FileDigest } from "./digest.ts";
import { FileBody } from "./file-body.ts";
import type { S3Requests } from "./s3-request.ts";
import type { Semaphore } from "./semaphore.ts";
import type { Throttle } from "./throttle.ts";

/** S3 may think about a large object for minutes before it says that it is complete: so many ordinary timeouts. */
const COMPLETE_TIMEOUTS = 10;
/** Parts of one file that may wait for a permit at the same time. */
const MAX_WORKERS = 16;

/** What a multipart upload needs. */
export interface MultipartOptions {
  requests: S3Requests;
  bucket: string;
  /** With the store's prefix. */
  fullKey: string;
  what: string;
  handle: FileHandle;
  digest: FileDigest;
  /** Bounds the parts on their way over all uploads. */
  permits: Semaphore;
  throttle: Throttle;
  create: Partial<CreateMultipartUploadCommandInput>;
  /** Let the server keep a CRC-32 of the whole. */
  crc32: boolean;
  /** Refuse, at the server, to replace an object. */
  ifNoneMatch: boolean;
  signal?: AbortSignal | undefined;
  onProgress?: ((sentBytes: number) => void) | undefined;
  /** Called once the upload exists, before its first part. */
  onCreated: (uploadId: string) => Promise<void>;
}

/**
 * Send a file in parts, several at a time, each streamed from the file and checked by the server against its MD5.
 * An upload that fails is aborted, so that its parts cost nothing.
 */
export async function uploadMultipart(options: MultipartOptions): Promise<void> {
  const { requests, bucket, fullKey } = options;
  const creation = { attempts: 0 };
  try {
    const uploadId = await create(options, creation);
    try {
      await options.onCreated(uploadId);
      await complete(options, uploadId, await sendParts(options, uploadId));
    } catch (error) {
      await abortUpload(requests, bucket, fullKey, uploadId).catch(() => {});
      throw error;
    }
  } finally {
    // An answer that was lost has left an upload of which nobody knows the id.
    if (creation.attempts > 1)
      await abortStaleUploads({ requests, bucket, fullKey, before: Number.POSITIVE_INFINITY }).catch(() => {});
  }
}

async function create(options: MultipartOptions, creation: { attempts: number }): Promise<string> {
  const { requests, bucket, fullKey, what } = options;
  const checksum = options.crc32 ? ({ ChecksumAlgorithm: "CRC32", ChecksumType: "FULL_OBJECT" } as const) : {};
  const created = await requests.send(
    ({ client, abortSignal }) => {
      creation.attempts += 1;
      return client.send(
        new CreateMultipartUploadCommand({ ...options.create, ...checksum, Bucket: bucket, Key: fullKey }),
        { abortSignal },
      );
    },
    { what, signal: options.signal },
  );
  if (created.UploadId !== undefined && created.UploadId !== "") return created.UploadId;
  throw new CdhError("CDH_STORE", `cannot ${what}: the store gave no upload id`);
}

async function sendParts(options: MultipartOptions, uploadId: string): Promise<CompletedPart[]> {
  const { digest, permits } = options;
  const parts: CompletedPart[] = [];
  const sent = new Float64Array(digest.partMd5s.length);
  const progress = new Progress(options.onProgress);
  const stop = new AbortController();
  const signal = options.signal === undefined ? stop.signal : AbortSignal.any([options.signal, stop.signal]);
  let next = 0;
  // A few workers per file, not a promise per part: a bundle of 5 TiB has ten thousand parts.
  const worker = async (): Promise<void> => {
    while (next < digest.partMd5s.length && !signal.aborted) {
      const index = next++;
      const part = await permits.run(() =>
        sendPart(options, uploadId, index, signal, (bytes) => {
          progress.add(bytes - (sent[index] ?? 0));
          sent[index] = bytes;
        }),
      );
      parts[index] = part;
    }
  };
  const workers = Array.from({ length: Math.min(MAX_WORKERS, digest.partMd5s.length) }, () =>
    worker().catch((error: unknown) => {
      stop.abort(error);
      throw error;
    }),
  );
  // All of them must have let go of the file before the caller closes it.
  const ends = await Promise.allSettled(workers);
  if (stop.signal.aborted) throw stop.signal.reason;
  options.signal?.throwIfAborted();
  const failed = ends.find((end) => end.status === "rejected");
  if (failed !== undefined) throw failed.reason;
  return parts;
}

async function sendPart(
  options: MultipartOptions,
  uploadId: string,
  index: number,
  signal: AbortSignal,
  onSent: (bytes: number) => void,
): Promise<CompletedPart> {
  const { requests, bucket, fullKey, digest } = options;
  const offset = index * digest.partBytes;
  const length = Math.min(digest.partBytes, digest.sizeBytes - offset);
  const md5 = digest.partMd5s[index] ?? Buffer.alloc(0);
  const crc32 = options.crc32 ? { ChecksumCRC32: encodeCrc32(digest.crc32?.parts[index]) } : {};
  const what = `${options.what} (part ${index + 1} of ${digest.partMd5s.length})`;
  const output = await requests.send(
    async ({ client, abortSignal, kick }) => {
      let sent = 0;
      onSent(0);
      const body = new FileBody(options.handle, {
        offset,
        length,
        signal,
        throttle: options.throttle,
        onChunk: (bytes) => {
          kick();
          sent += bytes;
          onSent(sent);
        },
      });
      const part = { Bucket: bucket, Key: fullKey, UploadId: uploadId, PartNumber: index + 1 };
      const ContentMD5 = md5.toString("base64");
      const command = new UploadPartCommand({ ...part, ...crc32, Body: body, ContentLength: length, ContentMD5 });
      try {
        return await client.send(command, { abortSignal });
      } finally {
        body.destroy();
      }
    },
    { what, signal, attempts: 5 },
  );
  const etag = output.ETag;
  if (etag === undefined || etag === "")
    throw new CdhError("CDH_STORE_MISMATCH", `cannot ${what}: the store gave no ETag`);
  return { PartNumber: index + 1, ETag: etag, ...crc32 };
}

async function complete(options: MultipartOptions, uploadId: string, parts: CompletedPart[]): Promise<void> {
  const { requests, bucket, fullKey, what, digest } = options;
  await requests.send(
    ({ client, abortSignal }) =>
      client.send(
        new CompleteMultipartUploadCommand({
          Bucket: bucket,
          Key: fullKey,
          UploadId: uploadId,
          MultipartUpload: { Parts: parts },
          ...(options.crc32 ? { ChecksumCRC32: encodeCrc32(digest.crc32?.whole), ChecksumType: "FULL_OBJECT" } : {}),
          ...(options.ifNoneMatch ? { IfNoneMatch: "*" } : {}),
        }),
        { abortSignal },
      ),
    { what, signal: options.signal, deadlineMs: COMPLETE_TIMEOUTS * requests.timeoutMs, attempts: 3 },
  );
}

/** Abort an upload; one that is gone already counts as aborted. */
export async function abortUpload(
  requests: S3Requests,
  bucket: string,
  fullKey: string,
  uploadId: string,
): Promise<void> {
  await requests.send(
    ({ client, abortSignal }) =>
      client.send(new AbortMultipartUploadCommand({ Bucket: bucket, Key: fullKey, UploadId: uploadId }), {
        abortSignal,
      }),
    { what: `abort an upload of ${fullKey}`, deadlineMs: 10_000, attempts: 2 },
  );
}

/** Say which unfinished uploads may go. */
export interface StaleUploads {
  requests: S3Requests;
  bucket: string;
  fullKey: string;
  /** The upload that is under way now, and stays. */
  own?: { uploadId: string; createdAt: number };
  /** Epoch milliseconds by this machine's clock: what was begun later may belong to another process that is at it. */
  before: number;
  signal?: AbortSignal | undefined;
}

/**
 * Abort unfinished uploads of exactly this key: a program that was killed left them. Begin times are the store's, so they
 * are compared by the store's clock, which our own upload tells.
 * @returns how many were aborted
 */
export async function abortStaleUploads(stale: StaleUploads): Promise<number> {
  const { requests, bucket, fullKey, own } = stale;
  // Exactly the key as prefix, because MinIO lists nothing for a shorter one.
  const output = await requests.send(
    ({ client, abortSignal }) =>
      client.send(new ListMultipartUploadsCommand({ Bucket: bucket, Prefix: fullKey }), { abortSignal }),
    { what: `list unfinished uploads of ${fullKey}`, signal: stale.signal, attempts: 2 },
  );
  const uploads = (output.Uploads ?? []).filter((upload) => upload.Key === fullKey);
  const begun = uploads.find((upload) => upload.UploadId === own?.uploadId)?.Initiated?.getTime();
  const clockOffsetMs = begun === undefined || own === undefined ? 0 : begun - own.createdAt;
  let aborted = 0;
  for (const { UploadId, Initiated } of uploads) {
    if (UploadId === undefined || UploadId === own?.uploadId) continue;
    if ((Initiated?.getTime() ?? 0) >= stale.before + clockOffsetMs) continue;
    await abortUpload(requests, bucket, fullKey, UploadId);
    aborted += 1;
  }
  return aborted;
}

/** Add up what the parts sent. */
class Progress {
  #bytes = 0;
  readonly #report: ((sentBytes: number) => void) | undefined;

  constructor(report: ((sentBytes: number) => void) | undefined) {
    this.#report = report;
  }

  add(bytes: number): void {
    this.#bytes += bytes;
    this.#report?.(this.#bytes);
  }
}
