import type { FileHandle } from "node:fs/promises";
import {
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  PutObjectCommand,
  UploadPartCommand,
  type CompletedPart,
  type PutObjectCommandInput,
  type S3Client,
} from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import type { Clock } from "../../base/clock.ts";
import { CdhError } from "../../base/errors.ts";
import { encodeCrc32, encodeSha256, type FileDigest } from "../digest.ts";
import { FileBody } from "../file-body.ts";
import { FileBytes } from "../file-bytes.ts";
import type { Semaphore } from "../semaphore.ts";
import type { Throttle } from "../throttle.ts";
import type { S3Conditions } from "./conditions.ts";
import { isTransient } from "./errors.ts";
import type { S3Attempt, S3Requests } from "./request.ts";
import type { S3Unfinished } from "./unfinished.ts";

/** S3 may think about a large object for minutes before it says that it is complete: so many ordinary timeouts. */
const COMPLETE_TIMEOUTS = 10;
/** Parts of one object that may wait for a permit at the same time. */
const PART_WORKERS = 16;

/** What every upload to a bucket shares. */
export interface UploadTools {
  requests: S3Requests;
  conditions: S3Conditions;
  unfinished: S3Unfinished;
  /** Bounds what is on its way over all uploads. */
  permits: Semaphore;
  throttle: Throttle;
  clock: Clock;
}

/** One object to send. */
export interface UploadJob {
  object: { Bucket: string; Key: string };
  /** For messages: `store team-a/x.zip`. */
  what: string;
  source: FileHandle | Uint8Array;
  digest: FileDigest;
  /** Type, metadata and the like; with IfNoneMatch it is not to replace anything. */
  create: Partial<PutObjectCommandInput>;
  /** Let the server keep a CRC-32 of the whole. */
  crc32: boolean;
  signal?: AbortSignal | undefined;
  onProgress?: ((sentBytes: number) => void) | undefined;
}

/** What the store said about the object. */
export interface UploadAnswer {
  etag: string | undefined;
}

/**
 * Send an object: whole when it fits into one part, else in parts, several at a time. The library divides, keeps the
 * order and completes; each of its requests is sent by an {@link UploadClient}. An upload that a store in trouble
 * interrupts stays open, to be gone on with; any other failure aborts it, so that its parts cost nothing.
 */
export async function uploadObject(tools: UploadTools, job: UploadJob): Promise<UploadAnswer> {
  const { digest, source } = job;
  const client = new UploadClient(tools, job);
  const Body = source instanceof Uint8Array ? source : new FileBytes(digest.sizeBytes);
  const upload = new Upload({
    // It needs no more of a client than that: s3-upload.test.ts holds what the library asks for.
    client: client as unknown as S3Client,
    params: { ...job.object, Body, ContentLength: digest.sizeBytes },
    partSize: digest.partBytes,
    queueSize: Math.max(1, Math.min(PART_WORKERS, digest.partMd5s.length)),
    leavePartsOnError: true,
  });
  try {
    const { ETag: etag } = await upload.done();
    tools.unfinished.forget(job.object.Key);
    return { etag };
  } catch (error) {
    await client.giveUp(error);
    throw error;
  } finally {
    await client.end();
  }
}

/**
 * Send the library's requests in our way: the bytes streamed from the file in constant memory, each part with its MD5,
 * so that the server refuses a damaged one; with deadlines, and again after a transient failure; and not at all what the
 * server has already.
 */
class UploadClient {
  /** The library reads it. */
  readonly config: S3Client["config"];
  readonly #tools: UploadTools;
  readonly #job: UploadJob;
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  #uploadId: string | undefined;
  #creations = 0;
  #there = new Map<number, string>();
  /** Bytes sent of each part. */
  readonly #sent: Float64Array;
  #sentBytes = 0;

  constructor(tools: UploadTools, job: UploadJob) {
    this.config = tools.requests.client.config;
    this.#tools = tools;
    this.#job = job;
    this.#signal = job.signal === undefined ? this.#stop.signal : AbortSignal.any([job.signal, this.#stop.signal]);
    this.#sent = new Float64Array(Math.max(1, job.digest.partMd5s.length));
  }

  /** Send one of the library's commands. */
  async send(command: object): Promise<object> {
    if (command instanceof PutObjectCommand) return await this.#putWhole();
    if (command instanceof CreateMultipartUploadCommand) return { UploadId: await this.#begin() };
    if (command instanceof CompleteMultipartUploadCommand)
      return await this.#complete(command.input.MultipartUpload?.Parts ?? []);
    if (command instanceof UploadPartCommand) {
      try {
        return await this.#part(command.input.PartNumber ?? 0);
      } catch (error) {
        // The other parts need not come to their end first.
        this.#stop.abort(error);
        throw error;
      }
    }
    throw new Error(`not expected of the upload library: ${command.constructor.name}`);
  }

  /** Decide what becomes of the parts of an upload that failed. */
  async giveUp(error: unknown): Promise<void> {
    const { unfinished } = this.#tools;
    if (this.#uploadId === undefined) return;
    const denied = error instanceof CdhError && error.code === "CDH_STORE_DENIED";
    const waits = this.#job.signal?.aborted !== true && (denied || isTransient(error)) && !isMismatch(error);
    if (waits) unfinished.keep(this.#job.object.Key, this.#job.digest, this.#uploadId);
    else {
      await unfinished.abort(this.#job.object.Key, this.#uploadId);
      this.#uploadId = undefined;
    }
  }

  /** Clear up once everything else has ended. */
  async end(): Promise<void> {
    if (this.#creations > 1) await this.#tools.unfinished.abortOthers(this.#job.object.Key, this.#uploadId);
  }

  async #putWhole(): Promise<object> {
    const { object, digest, crc32 } = this.#job;
    const { requests, conditions, permits } = this.#tools;
    const [md5] = digest.partMd5s;
    const fixed = {
      ...object,
      ContentLength: digest.sizeBytes,
      ...(md5 === undefined ? { ChecksumSHA256: encodeSha256(digest.sha256) } : { ContentMD5: md5.toString("base64") }),
      ...(crc32 ? { ChecksumCRC32: encodeCrc32(digest.crc32?.whole) } : {}),
    };
    const send = () =>
      conditions.send(this.#job.create, (input) =>
        requests.send(
          (attempt) =>
            this.#withBody(attempt, 0, (Body) =>
              attempt.client.send(new PutObjectCommand({ ...input, ...fixed, Body }), {
                abortSignal: attempt.abortSignal,
              }),
            ),
          { what: this.#job.what, signal: this.#signal },
        ),
      );
    return this.#job.source instanceof Uint8Array ? await send() : await permits.run(send);
  }

  async #begin(): Promise<string> {
    const { object, digest, create, crc32, what } = this.#job;
    const { requests, unfinished, clock } = this.#tools;
    const { upload, others } = await unfinished.find(object.Key, digest, this.#signal);
    if (upload !== undefined) {
      this.#there = upload.etags;
      this.#uploadId = upload.uploadId;
      return upload.uploadId;
    }
    const { IfNoneMatch: _condition, ...input } = create;
    const checksum = crc32 ? ({ ChecksumAlgorithm: "CRC32", ChecksumType: "FULL_OBJECT" } as const) : {};
    const created = await requests.send(
      ({ client, abortSignal }) => {
        this.#creations += 1;
        return client.send(new CreateMultipartUploadCommand({ ...input, ...checksum, ...object }), { abortSignal });
      },
      { what, signal: this.#signal },
    );
    const uploadId = created.UploadId ?? "";
    if (uploadId === "") throw new CdhError("CDH_STORE", `cannot ${what}: the store gave no upload id`);
    this.#uploadId = uploadId;
    if (others) await unfinished.abortOlder(object.Key, { uploadId, createdAt: clock.now() }, this.#signal);
    return uploadId;
  }

  async #part(number: number): Promise<object> {
    const { object, digest, crc32 } = this.#job;
    const index = number - 1;
    const there = this.#there.get(number);
    if (there !== undefined) {
      this.#progress(index, this.#rangeOf(index).length);
      return { ETag: there };
    }
    const checksum = crc32 ? { ChecksumCRC32: encodeCrc32(digest.crc32?.parts[index]) } : {};
    const fixed = {
      ...object,
      ...checksum,
      UploadId: this.#uploadId,
      PartNumber: number,
      ContentLength: this.#rangeOf(index).length,
      ContentMD5: (digest.partMd5s[index] ?? Buffer.alloc(0)).toString("base64"),
    };
    const what = `${this.#job.what} (part ${number} of ${digest.partMd5s.length})`;
    const { ETag } = await this.#tools.permits.run(() =>
      this.#tools.requests.send(
        (attempt) =>
          this.#withBody(attempt, index, (Body) =>
            attempt.client.send(new UploadPartCommand({ ...fixed, Body }), { abortSignal: attempt.abortSignal }),
          ),
        { what, signal: this.#signal, attempts: 5 },
      ),
    );
    if (ETag === undefined || ETag === "")
      throw new CdhError("CDH_STORE_MISMATCH", `cannot ${what}: the store gave no ETag`);
    return { ETag };
  }

  async #complete(sent: CompletedPart[]): Promise<object> {
    const { object, digest, crc32, what } = this.#job;
    const { requests, conditions } = this.#tools;
    const Parts = sent.map(({ PartNumber = 0, ETag }) => ({
      PartNumber,
      ETag,
      ...(crc32 ? { ChecksumCRC32: encodeCrc32(digest.crc32?.parts[PartNumber - 1]) } : {}),
    }));
    const checksum = crc32
      ? ({ ChecksumCRC32: encodeCrc32(digest.crc32?.whole), ChecksumType: "FULL_OBJECT" } as const)
      : {};
    const fixed = { ...object, ...checksum, UploadId: this.#uploadId, MultipartUpload: { Parts } };
    return await conditions.send({ IfNoneMatch: this.#job.create.IfNoneMatch }, (input) =>
      requests.send(
        ({ client, abortSignal }) =>
          client.send(new CompleteMultipartUploadCommand({ ...input, ...fixed }), { abortSignal }),
        { what, signal: this.#signal, deadlineMs: COMPLETE_TIMEOUTS * requests.timeoutMs, attempts: 3 },
      ),
    );
  }

  /** Give a request the bytes of one part, read anew for each attempt. */
  async #withBody<T>(attempt: S3Attempt, index: number, send: (body: FileBody | Uint8Array) => Promise<T>): Promise<T> {
    const { source } = this.#job;
    if (source instanceof Uint8Array) return await send(source);
    const { throttle } = this.#tools;
    let sent = 0;
    this.#progress(index, 0);
    const onChunk = (bytes: number): void => {
      attempt.kick();
      sent += bytes;
      this.#progress(index, sent);
    };
    const body = new FileBody(source, { ...this.#rangeOf(index), throttle, signal: this.#signal, onChunk });
    try {
      return await send(body);
    } finally {
      body.destroy();
    }
  }

  #rangeOf(index: number): { offset: number; length: number } {
    const { partBytes, sizeBytes } = this.#job.digest;
    const offset = index * partBytes;
    return { offset, length: Math.min(partBytes, sizeBytes - offset) };
  }

  #progress(index: number, bytes: number): void {
    this.#sentBytes += bytes - (this.#sent[index] ?? 0);
    this.#sent[index] = bytes;
    this.#job.onProgress?.(this.#sentBytes);
  }
}

/** The store has other bytes than it should, or forgot the upload: only a new one can help. */
function isMismatch(error: unknown): boolean {
  return error instanceof CdhError && error.code === "CDH_STORE_MISMATCH";
}
