import type { FileHandle } from "node:fs/promises";
import type { FileDigest } from "../digest.ts";
import { FileBody } from "../file-body.ts";
import type { Attempt } from "../requests.ts";
import type { Semaphore } from "../semaphore.ts";
import type { Throttle } from "../throttle.ts";
import type { GcsBucket } from "./bucket.ts";
import { errorOf, GcsError, isSuccess, type GcsAnswer } from "./http.ts";

/** What every upload to a bucket shares. */
export interface UploadTools {
  bucket: GcsBucket;
  /** Bounds what is on its way over all uploads. */
  permits: Semaphore;
  throttle: Throttle;
  /** Uploads that were interrupted, by name and content: their URLs are secrets and live in memory only. */
  unfinished: Map<string, string>;
}

/** One object to send. */
export interface UploadJob {
  key: string;
  /** For messages: `store team-a/x.zip`. */
  what: string;
  source: FileHandle | Uint8Array;
  digest: FileDigest;
  /** The object's description as the JSON API takes it. */
  resource: Record<string, unknown>;
  /** Conditions and the like, as parameters of the request. */
  query: Record<string, string>;
  signal?: AbortSignal | undefined;
  onProgress?: ((sentBytes: number) => void) | undefined;
}

/** The service may think about a large object before it says that it is complete: so many ordinary timeouts. */
const END_TIMEOUTS = 5;

/**
 * Send an object: what is in memory in one request, a file by a resumable upload. The description holds the MD5, so the
 * service refuses what is damaged. A connection that breaks off is gone on with where the service stopped.
 */
export async function uploadObject(tools: UploadTools, job: UploadJob): Promise<void> {
  const { bucket } = tools;
  const { source, what, signal } = job;
  if (source instanceof Uint8Array) {
    await bucket.requests.send((attempt) => sendWhole(tools, job, source, attempt), { what, signal });
    job.onProgress?.(source.length);
    return;
  }
  const upload = new ResumableUpload(tools, job, source);
  const deadlineMs = END_TIMEOUTS * bucket.requests.timeoutMs;
  await tools.permits.run(() =>
    bucket.requests.send((attempt) => upload.attempt(attempt), { what, signal, deadlineMs, attempts: 6 }),
  );
}

async function sendWhole(
  { bucket }: UploadTools,
  job: UploadJob,
  body: Uint8Array,
  { abortSignal }: Attempt,
): Promise<void> {
  const boundary = `cdh-${job.digest.sha256.slice(0, 32)}`;
  const head = `--${boundary}\r\ncontent-type: application/json\r\n\r\n${JSON.stringify(job.resource)}\r\n--${boundary}\r\ncontent-type: application/octet-stream\r\n\r\n`;
  await bucket.http.json({
    method: "POST",
    url: uploadUrl(bucket, { ...job.query, uploadType: "multipart" }),
    headers: { "content-type": `multipart/related; boundary=${boundary}` },
    body: Buffer.concat([Buffer.from(head), body, Buffer.from(`\r\n--${boundary}--`)]),
    abortSignal,
  });
}

/** A resumable upload: begun once, asked after each interruption how far it came. */
class ResumableUpload {
  readonly #tools: UploadTools;
  readonly #job: UploadJob;
  readonly #file: FileHandle;
  readonly #id: string;

  constructor(tools: UploadTools, job: UploadJob, file: FileHandle) {
    this.#tools = tools;
    this.#job = job;
    this.#file = file;
    this.#id = `${job.digest.sha256} ${job.key}`;
  }

  /** Begin or go on, and send to the end. */
  async attempt(attempt: Attempt): Promise<void> {
    const { unfinished } = this.#tools;
    try {
      const known = unfinished.get(this.#id);
      const state =
        known === undefined ? { url: await this.#begin(attempt), offset: 0 } : await this.#goOn(known, attempt);
      if (state !== undefined) await this.#sendFrom(state.offset, state.url, attempt);
      unfinished.delete(this.#id);
    } catch (error) {
      // Forgotten or refused: only a new one can help. Anything else can be gone on with.
      if (
        error instanceof GcsError &&
        error.httpStatus >= 400 &&
        error.httpStatus < 500 &&
        ![408, 429].includes(error.httpStatus)
      )
        unfinished.delete(this.#id);
      throw error;
    }
  }

  /** Go on with an upload; one that the service does not know any more is begun anew. */
  async #goOn(url: string, attempt: Attempt): Promise<{ url: string; offset: number } | undefined> {
    try {
      return await this.#ask(url, attempt);
    } catch (error) {
      if (!(error instanceof GcsError) || ![404, 410].includes(error.httpStatus)) throw error;
      return { url: await this.#begin(attempt), offset: 0 };
    }
  }

  async #begin({ abortSignal }: Attempt): Promise<string> {
    const { bucket, unfinished } = this.#tools;
    const { digest, query, resource } = this.#job;
    const { headers } = await bucket.http.json({
      method: "POST",
      url: uploadUrl(bucket, { ...query, uploadType: "resumable" }),
      headers: {
        "content-type": "application/json; charset=UTF-8",
        "x-upload-content-length": String(digest.sizeBytes),
      },
      body: Buffer.from(JSON.stringify(resource)),
      abortSignal,
    });
    const { location } = headers;
    if (location === undefined) throw new SyntaxError("the answer has no Location");
    unfinished.set(this.#id, location);
    return location;
  }

  /** Ask how far an upload came. @returns undefined when it is complete */
  async #ask(url: string, { abortSignal }: Attempt): Promise<{ url: string; offset: number } | undefined> {
    const { digest } = this.#job;
    const headers = { "content-range": `bytes */${digest.sizeBytes}` };
    const answer = await this.#tools.bucket.http.send({ method: "PUT", url, headers, isOpen: true, abortSignal });
    if (answer.status !== 308) return await this.#finish(answer);
    answer.body.resume();
    return { url, offset: receivedBytes(answer, digest.sizeBytes) };
  }

  async #sendFrom(offset: number, url: string, attempt: Attempt): Promise<void> {
    const { throttle, bucket } = this.#tools;
    const { digest, signal, onProgress } = this.#job;
    const length = digest.sizeBytes - offset;
    let sent = offset;
    onProgress?.(sent);
    const onChunk = (bytes: number): void => {
      attempt.kick();
      sent += bytes;
      onProgress?.(sent);
    };
    const body = length === 0 ? undefined : new FileBody(this.#file, { offset, length, throttle, signal, onChunk });
    const range =
      length === 0 ? `bytes */${digest.sizeBytes}` : `bytes ${offset}-${digest.sizeBytes - 1}/${digest.sizeBytes}`;
    try {
      const answer = await bucket.http.send({
        method: "PUT",
        url,
        headers: { "content-range": range },
        ...(body === undefined ? {} : { body, bodyBytes: length }),
        isOpen: true,
        abortSignal: attempt.abortSignal,
      });
      await this.#finish(answer);
    } finally {
      body?.destroy();
    }
  }

  async #finish(answer: GcsAnswer): Promise<undefined> {
    if (!isSuccess(answer)) throw await errorOf(answer);
    answer.body.resume();
    return undefined;
  }
}

/** How many bytes the service has: `Range: bytes=0-N` names the last one; without it there is none. */
function receivedBytes({ headers }: GcsAnswer, sizeBytes: number): number {
  const last = /^bytes=0-(\d{1,16})$/.exec(headers.range ?? "")?.[1];
  return last === undefined ? 0 : Math.min(sizeBytes, Number(last) + 1);
}

function uploadUrl({ target }: GcsBucket, query: Record<string, string>): string {
  const base = `${target.serviceUrl}/upload/storage/v1/b/${encodeURIComponent(target.bucket)}/o`;
  return `${base}?${new URLSearchParams(query).toString()}`;
}
