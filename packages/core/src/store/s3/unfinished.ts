import {
  AbortMultipartUploadCommand,
  ListMultipartUploadsCommand,
  ListPartsCommand,
  type MultipartUpload,
  type Part,
} from "@aws-sdk/client-s3";
import type { Clock } from "../../base/clock.ts";
import { CdhError, reasonOf } from "../../base/errors.ts";
import { append } from "../../base/lists.ts";
import type { Logger } from "../../service/log.ts";
import { MAX_PARTS, type FileDigest } from "../digest.ts";
import { bareEtag } from "../etag.ts";
import type { S3Requests } from "./request.ts";

/** How long aborting an upload may take, in milliseconds; at the end of the program somebody waits for it. */
const ABORT_MS = 10_000;
const LAST_ABORT_MS = 4000;

/** An upload that was begun and can be gone on with. */
export interface UnfinishedUpload {
  uploadId: string;
  /** ETags of the parts that the store has, as they were sent, by part number. */
  etags: Map<number, string>;
}

/** What lies unfinished under a key. */
export interface FoundUploads {
  upload: UnfinishedUpload | undefined;
  /** There are some that are of no use. */
  others: boolean;
}

/** Know the unfinished multipart uploads of a bucket: go on with them, or abort them so that their parts cost nothing. */
export class S3Unfinished {
  readonly #requests: S3Requests;
  readonly #bucket: string;
  readonly #log: Logger;
  readonly #startedAt: number;
  /** What this process left open, by key. */
  readonly #kept = new Map<string, { uploadId: string; sha256: string; partBytes: number }>();

  constructor(requests: S3Requests, bucket: string, options: { clock: Clock; log: Logger }) {
    this.#requests = requests;
    this.#bucket = bucket;
    this.#log = options.log;
    this.#startedAt = options.clock.now();
  }

  /**
   * Find an upload of this very content to go on with: the one that this process left open, else the newest that lists
   * only parts whose size and MD5 are this file's.
   */
  async find(key: string, digest: FileDigest, signal?: AbortSignal): Promise<FoundUploads> {
    const kept = this.#kept.get(key);
    if (kept !== undefined && kept.sha256 === digest.sha256 && kept.partBytes === digest.partBytes) {
      const parts = await this.#partsOf(key, kept.uploadId, signal);
      if (parts !== undefined)
        return { upload: { uploadId: kept.uploadId, etags: matching(parts, digest) }, others: false };
    }
    const uploads = await this.#list(key, signal);
    const newestFirst = uploads.toSorted((a, b) => begunAt(b) - begunAt(a));
    for (const [index, { UploadId: uploadId }] of newestFirst.entries()) {
      const parts = uploadId === undefined ? undefined : await this.#partsOf(key, uploadId, signal);
      if (uploadId === undefined || parts === undefined) continue;
      const etags = matching(parts, digest);
      if (etags.size === 0 || etags.size !== parts.length) continue;
      await this.#abortAll(key, newestFirst.slice(index + 1));
      return { upload: { uploadId, etags }, others: false };
    }
    return { upload: undefined, others: uploads.length > 0 };
  }

  /** Leave an upload open, to go on with it later. */
  keep(key: string, digest: FileDigest, uploadId: string): void {
    this.#kept.set(key, { uploadId, sha256: digest.sha256, partBytes: digest.partBytes });
  }

  /** Forget what was left open under a key: it was completed. */
  forget(key: string): void {
    this.#kept.delete(key);
  }

  /** Abort an upload; one that is gone already, or cannot be reached, is left to the next run. Never throws. */
  async abort(key: string, uploadId: string, limits = { deadlineMs: ABORT_MS, attempts: 2 }): Promise<void> {
    this.#kept.delete(key);
    const upload = { Bucket: this.#bucket, Key: key, UploadId: uploadId };
    const options = { what: `abort an upload of ${key}`, ...limits };
    await this.#requests
      .send(({ client, abortSignal }) => client.send(new AbortMultipartUploadCommand(upload), { abortSignal }), options)
      .catch((error: unknown) => this.#log.debug("cannot abort an upload", { key, reason: reasonOf(error) }));
  }

  /** Abort everything that this process left open. */
  async abortKept(): Promise<void> {
    await Promise.all(
      [...this.#kept].map(([key, { uploadId }]) =>
        this.abort(key, uploadId, { deadlineMs: LAST_ABORT_MS, attempts: 1 }),
      ),
    );
  }

  /**
   * Abort the other uploads of exactly this key: a program that was killed left them. Begin times are the store's, so
   * they are compared by the store's clock, which our own upload tells.
   * @param own the upload that is under way; what was begun after this process may belong to another that is at it
   */
  async abortOlder(key: string, own: { uploadId: string; createdAt: number }, signal?: AbortSignal): Promise<void> {
    const uploads = await this.#list(key, signal);
    const mine = uploads.find(({ UploadId }) => UploadId === own.uploadId);
    const clockOffsetMs = mine === undefined ? 0 : begunAt(mine) - own.createdAt;
    await this.#abortAll(
      key,
      uploads.filter((upload) => upload !== mine && begunAt(upload) < this.#startedAt + clockOffsetMs),
    );
  }

  /** Abort all uploads of a key but one: a lost answer has left some of which nobody knows the id. */
  async abortOthers(key: string, uploadId: string | undefined): Promise<void> {
    await this.#abortAll(
      key,
      (await this.#list(key)).filter((upload) => upload.UploadId !== uploadId),
    );
  }

  async #abortAll(key: string, uploads: readonly MultipartUpload[]): Promise<void> {
    for (const { UploadId } of uploads) if (UploadId !== undefined) await this.abort(key, UploadId);
    if (uploads.length > 0) this.#log.info("aborted unfinished uploads", { key, count: uploads.length });
  }

  /** List the unfinished uploads of a key; none where the service or the role does not list them. */
  async #list(key: string, signal?: AbortSignal): Promise<MultipartUpload[]> {
    try {
      // Exactly the key as prefix, because MinIO lists nothing for a shorter one.
      const input = { Bucket: this.#bucket, Prefix: key };
      const output = await this.#requests.send(
        ({ client, abortSignal }) => client.send(new ListMultipartUploadsCommand(input), { abortSignal }),
        { what: `list unfinished uploads of ${key}`, signal, attempts: 2 },
      );
      return (output.Uploads ?? []).filter((upload) => upload.Key === key);
    } catch (error) {
      if (signal?.aborted === true) throw error;
      this.#log.debug("cannot list unfinished uploads", { key, reason: reasonOf(error) });
      return [];
    }
  }

  /** List the parts of an upload; undefined when it is gone, or the service or the role does not list them. */
  async #partsOf(key: string, uploadId: string, signal?: AbortSignal): Promise<Part[] | undefined> {
    const parts: Part[] = [];
    let marker: string | undefined;
    try {
      do {
        const from = marker === undefined ? {} : { PartNumberMarker: marker };
        const input = { Bucket: this.#bucket, Key: key, UploadId: uploadId, ...from };
        const output = await this.#requests.send(
          ({ client, abortSignal }) => client.send(new ListPartsCommand(input), { abortSignal }),
          { what: `list the parts of ${key}`, signal, attempts: 3 },
        );
        append(parts, output.Parts ?? []);
        const next = output.IsTruncated === true ? output.NextPartNumberMarker : undefined;
        // Parts are listed by number. A server that goes back would have them listed for ever.
        if (next !== undefined && Number(next) <= Number(marker ?? 0)) break;
        marker = next;
      } while (marker !== undefined && parts.length <= MAX_PARTS);
      return parts;
    } catch (error) {
      if (signal?.aborted === true) throw error;
      // While the store is away it is still there, and worth waiting for.
      if (error instanceof CdhError && error.code === "CDH_STORE_UNREACHABLE") throw error;
      this.#log.debug("cannot list the parts of an upload", { key, reason: reasonOf(error) });
      return undefined;
    }
  }
}

function begunAt(upload: MultipartUpload): number {
  return upload.Initiated?.getTime() ?? 0;
}

/** Take the parts that are the file's own, by size and MD5. */
function matching(parts: readonly Part[], digest: FileDigest): Map<number, string> {
  const etags = new Map<number, string>();
  for (const { PartNumber: number, Size: size, ETag: etag } of parts) {
    if (number === undefined || etag === undefined) continue;
    const offset = (number - 1) * digest.partBytes;
    const expected = digest.partMd5s[number - 1]?.toString("hex");
    if (expected === bareEtag(etag) && size === Math.min(digest.partBytes, digest.sizeBytes - offset))
      etags.set(number, etag);
  }
  return etags;
}
