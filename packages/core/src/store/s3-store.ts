import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type HeadObjectCommandOutput,
  type PutObjectCommandInput,
  type S3Client,
} from "@aws-sdk/client-s3";
import { createHash } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import type { Clock } from "../clock.ts";
import { CdhError, reasonOf } from "../errors.ts";
import type { Logger } from "../log.ts";
import {
  digestBytes,
  digestFile,
  encodeCrc32,
  expectedEtag,
  openRegularFile,
  partBytesFor,
  type FileDigest,
} from "./digest.ts";
import { FileBody } from "./file-body.ts";
import { checkKey } from "./keys.ts";
import { decodeMetadata, encodeMetadata } from "./s3-metadata.ts";
import { isMissingObject, readServiceError } from "./s3-errors.ts";
import { abortStaleUploads, uploadMultipart } from "./s3-multipart.ts";
import { S3Requests } from "./s3-request.ts";
import type { S3Target } from "./s3-target.ts";
import { Semaphore } from "./semaphore.ts";
import type { StoreSettings } from "./settings.ts";
import { createThrottle, type Throttle } from "./throttle.ts";
import type {
  ByteRange,
  ListOptions,
  ObjectInfo,
  ObjectStore,
  PutOptions,
  PutResult,
  PutSource,
  VerifiedBy,
} from "./store.ts";

/** Keep objects in a bucket of AWS S3 or of a service that speaks its language. */
export class S3Store implements ObjectStore {
  readonly url: string;
  readonly #requests: S3Requests;
  readonly #target: S3Target;
  readonly #settings: StoreSettings;
  readonly #permits: Semaphore;
  readonly #throttle: Throttle;
  readonly #clock: Clock;
  readonly #startedAt: number;
  readonly #log: Logger;
  readonly #crc32: boolean;
  /** Servers that do not know If-None-Match say so once. */
  #ifNoneMatch = true;
  /** Whether the server was seen to refuse, by If-None-Match, what lies there already; others ignore the header. */
  #refusesProven: boolean | undefined;

  constructor(client: S3Client, target: S3Target, settings: StoreSettings, options: { clock: Clock; log: Logger }) {
    this.#target = target;
    this.#settings = settings;
    this.url = `s3://${target.bucket}${target.prefix === "" ? "" : `/${target.prefix}`}`;
    this.#requests = new S3Requests(client, {
      clock: options.clock,
      url: this.url,
      timeoutMs: settings.storeTimeoutMs,
    });
    this.#permits = new Semaphore(settings.partConcurrency);
    this.#throttle = createThrottle(settings.bandwidthLimit, options.clock);
    this.#clock = options.clock;
    this.#startedAt = options.clock.now();
    this.#log = options.log;
    this.#crc32 = settings.s3Checksum === "crc32" || (settings.s3Checksum === "auto" && target.endpoint === undefined);
  }

  async putFile(key: string, source: PutSource, options: PutOptions = {}): Promise<PutResult> {
    const fullKey = this.#fullKey(key);
    const handle = await openRegularFile(source.path);
    try {
      const partBytes = partBytesFor(source.sizeBytes, this.#settings.partBytes);
      // Looked up first, because hashing a large file for a store that is down would be for nothing.
      const before =
        source.sizeBytes <= partBytes ? await this.#before(key, options) : await this.#lookUp(key, options.signal);
      const digest = await digestFile(handle, source, { partBytes, crc32: this.#crc32, signal: options.signal });
      return await this.#put(key, digest, before, options, async (create) => {
        if (digest.partMd5s.length === 1) await this.#putWhole(key, digest, create, options, () => handle);
        else await this.#putParts(key, fullKey, handle, digest, create, options);
      });
    } finally {
      await handle.close();
    }
  }

  async putBytes(key: string, body: Uint8Array, options: PutOptions = {}): Promise<PutResult> {
    this.#fullKey(key);
    const digest = digestBytes(body);
    const before = await this.#before(key, options);
    const put = await this.#put(key, digest, before, options, (create) =>
      this.#putWhole(key, digest, create, options, () => body),
    );
    if (this.#refusesProven === undefined && !put.alreadyThere && options.overwrite !== true)
      await this.#proveCondition(key, digest, body, options);
    return put;
  }

  async head(key: string, signal?: AbortSignal): Promise<ObjectInfo | undefined> {
    const output = await this.#head(key, signal);
    return output === undefined ? undefined : describe(key, output);
  }

  async get(key: string, range?: ByteRange, signal?: AbortSignal): Promise<AsyncIterable<Uint8Array> | undefined> {
    if (range?.length === 0) return (await this.#head(key, signal)) === undefined ? undefined : nothing();
    const stop = new AbortController();
    try {
      const output = await this.#requests.send(
        ({ client, abortSignal }) => {
          abortSignal.addEventListener("abort", () => stop.abort(abortSignal.reason), { once: true });
          const command = new GetObjectCommand({
            ...this.#object(key),
            ...(range === undefined ? {} : { Range: rangeHeader(range) }),
          });
          return client.send(command, { abortSignal: stop.signal });
        },
        { what: `read ${key}`, signal },
      );
      if (output.Body === undefined) return nothing();
      return this.#readBody(output.Body as AsyncIterable<Uint8Array>, key, stop, signal);
    } catch (error) {
      const cause = error instanceof CdhError ? error.cause : error;
      if (isMissingObject(cause)) return undefined;
      // The range begins past the end.
      if (readServiceError(cause).httpStatus === 416) return nothing();
      throw error;
    }
  }

  async *list(prefix: string, options: ListOptions = {}): AsyncIterable<ObjectInfo> {
    const base = this.#target.prefix === "" ? "" : `${this.#target.prefix}/`;
    let token: string | undefined;
    do {
      const output = await this.#requests.send(
        ({ client, abortSignal }) =>
          client.send(
            new ListObjectsV2Command({
              Bucket: this.#target.bucket,
              Prefix: `${base}${prefix}`,
              ...(token === undefined ? {} : { ContinuationToken: token }),
              ...(token !== undefined || options.startAfter === undefined
                ? {}
                : { StartAfter: `${base}${options.startAfter}` }),
            }),
            { abortSignal },
          ),
        { what: `list ${prefix}`, signal: options.signal },
      );
      for (const object of output.Contents ?? []) {
        // A key that ends with a slash is a folder that a console made.
        if (object.Key === undefined || object.Key.endsWith("/") || !object.Key.startsWith(base)) continue;
        yield {
          key: object.Key.slice(base.length),
          sizeBytes: object.Size ?? 0,
          modifiedAt: object.LastModified?.getTime() ?? 0,
          ...(object.ETag === undefined ? {} : { etag: bareEtag(object.ETag) }),
        };
      }
      token = output.IsTruncated === true ? output.NextContinuationToken : undefined;
    } while (token !== undefined);
  }

  async delete(key: string, signal?: AbortSignal): Promise<void> {
    const object = this.#object(key);
    await this.#requests.send(
      ({ client, abortSignal }) => client.send(new DeleteObjectCommand(object), { abortSignal }),
      { what: `delete ${key}`, signal },
    );
  }

  async close(): Promise<void> {
    this.#requests.client.destroy();
  }

  /**
   * Send what is not there yet and look: the object counts as stored only when the store shows the very same bytes.
   * @param before what the store shows under the key now
   */
  async #put(
    key: string,
    digest: FileDigest,
    before: HeadObjectCommandOutput | undefined,
    options: PutOptions,
    send: (create: Partial<PutObjectCommandInput>) => Promise<void>,
  ): Promise<PutResult> {
    if (before !== undefined) {
      const verifiedBy = await this.#verify(key, before, digest, options.signal);
      if (verifiedBy !== undefined) return this.#result(key, before, digest, true, verifiedBy);
      // Our own hash on other bytes: an upload of this very content that went wrong. It is replaced.
      const ours = decodeMetadata(before.Metadata)["cdh-sha256"] === digest.sha256;
      if (!ours && options.overwrite !== true) throw this.#conflict(key, digest, before);
      if (ours) this.#log.warn("replacing a damaged object", { key, sizeBytes: before.ContentLength });
    }
    const replaces = before !== undefined;
    let failure: unknown;
    try {
      await send(this.#createInput(digest, options, !replaces && options.overwrite !== true));
    } catch (error) {
      if (options.signal?.aborted === true) throw error;
      // The answer may have been lost after the work was done, or another process was first: the object itself says it.
      failure = error;
    }
    const after = await this.#head(key, options.signal).catch((error: unknown) => {
      throw failure ?? error;
    });
    if (after === undefined) {
      throw failure ?? this.#mismatch(key, "the store accepted it, but shows no such object");
    }
    const verifiedBy = await this.#verify(key, after, digest, options.signal);
    const refused = failure instanceof CdhError && failure.code === "CDH_STORE_CONFLICT";
    if (verifiedBy !== undefined) return this.#result(key, after, digest, refused, verifiedBy);
    const ours = decodeMetadata(after.Metadata)["cdh-sha256"] === digest.sha256;
    if (!ours) throw failure ?? this.#conflict(key, digest, after);
    // What lies there is damaged and has our name on it. Without it the next attempt begins clean.
    await this.delete(key, options.signal).catch(() => {});
    throw this.#mismatch(
      key,
      `the store shows ${after.ContentLength} bytes with ETag ${after.ETag}, which are not what was sent`,
    );
  }

  /** Look what lies under a key, unless the put itself is known to find out. */
  async #before(key: string, options: PutOptions): Promise<HeadObjectCommandOutput | undefined> {
    if (options.overwrite === true || this.#refusesProven === true) return undefined;
    return await this.#lookUp(key, options.signal);
  }

  /**
   * Look what lies under a key. A role that may not list is told "denied" for what is missing; then the put decides.
   */
  async #lookUp(key: string, signal: AbortSignal | undefined): Promise<HeadObjectCommandOutput | undefined> {
    try {
      return await this.#head(key, signal);
    } catch (error) {
      if (!(error instanceof CdhError) || error.details["httpStatus"] !== 403) throw error;
      const wrong = await this.#whyDenied(signal);
      if (wrong !== undefined) throw wrong;
      return undefined;
    }
  }

  /** An answer to HEAD has no body, so it cannot say why; a listing can. Undefined when it is only the right to list. */
  async #whyDenied(signal: AbortSignal | undefined): Promise<unknown> {
    try {
      const Prefix = this.#target.prefix;
      await this.#requests.send(
        ({ client, abortSignal }) =>
          client.send(new ListObjectsV2Command({ Bucket: this.#target.bucket, Prefix, MaxKeys: 1 }), { abortSignal }),
        { what: "use the bucket", signal },
      );
      return undefined;
    } catch (error) {
      return error instanceof CdhError && error.details["s3Code"] === "AccessDenied" ? undefined : error;
    }
  }

  /** Send the very same object again: a server that refuses it will refuse every overwriting, and need not be asked before. */
  async #proveCondition(key: string, digest: FileDigest, body: Uint8Array, options: PutOptions): Promise<void> {
    if (!this.#ifNoneMatch) return;
    try {
      await this.#putWhole(key, digest, this.#createInput(digest, options, true), options, () => body);
      this.#refusesProven = false;
    } catch (error) {
      if (error instanceof CdhError && error.code === "CDH_STORE_CONFLICT") this.#refusesProven = true;
    }
  }

  /** Compare what the store shows with what was hashed here; undefined when it is something else. */
  async #verify(
    key: string,
    shown: HeadObjectCommandOutput,
    digest: FileDigest,
    signal: AbortSignal | undefined,
  ): Promise<VerifiedBy | undefined> {
    if (shown.ContentLength !== digest.sizeBytes) return undefined;
    if (digest.crc32 !== undefined && shown.ChecksumCRC32 !== undefined && shown.ChecksumType === "FULL_OBJECT") {
      if (shown.ChecksumCRC32 !== encodeCrc32(digest.crc32?.whole)) return undefined;
      // 32 bits find an accident; whether it is the same content at all is for the hash to say.
      if (decodeMetadata(shown.Metadata)["cdh-sha256"] === digest.sha256) return "checksum";
    }
    const etag = bareEtag(shown.ETag ?? "");
    if (etag === expectedEtag(digest, false) && digest.partMd5s.length === 1) return "etag";
    if (etag === expectedEtag(digest, true)) return "etag";
    const sha256 = await this.#hashObject(key, digest.sizeBytes, signal);
    return sha256 === digest.sha256 ? "readBack" : undefined;
  }

  async #hashObject(key: string, sizeBytes: number, signal: AbortSignal | undefined): Promise<string | undefined> {
    const hash = createHash("sha256");
    let bytes = 0;
    for await (const chunk of (await this.get(key, undefined, signal)) ?? nothing()) {
      hash.update(chunk);
      bytes += chunk.length;
      if (bytes > sizeBytes) return undefined;
    }
    return hash.digest("hex");
  }

  async #putWhole(
    key: string,
    digest: FileDigest,
    create: Partial<PutObjectCommandInput>,
    options: PutOptions,
    from: () => FileHandle | Uint8Array,
  ): Promise<void> {
    const source = from();
    await this.#withCondition(create, (input) =>
      this.#permits.run(() =>
        this.#requests.send(
          async ({ client, abortSignal, kick }) => {
            let sent = 0;
            const onChunk = (bytes: number): void => {
              kick();
              sent += bytes;
              options.onProgress?.(sent);
            };
            const { signal } = options;
            const body =
              source instanceof Uint8Array
                ? source
                : new FileBody(source, {
                    offset: 0,
                    length: digest.sizeBytes,
                    throttle: this.#throttle,
                    signal,
                    onChunk,
                  });
            const command = new PutObjectCommand({
              ...input,
              ...this.#object(key),
              Body: body,
              ContentLength: digest.sizeBytes,
              ContentMD5: digest.partMd5s[0]?.toString("base64"),
              ...(this.#crc32 ? { ChecksumCRC32: encodeCrc32(digest.crc32?.whole) } : {}),
            });
            try {
              return await client.send(command, { abortSignal });
            } finally {
              if (!(body instanceof Uint8Array)) body.destroy();
            }
          },
          { what: `store ${key}`, signal: options.signal },
        ),
      ),
    );
  }

  async #putParts(
    key: string,
    fullKey: string,
    handle: FileHandle,
    digest: FileDigest,
    create: Partial<PutObjectCommandInput>,
    options: PutOptions,
  ): Promise<void> {
    const { bucket } = this.#target;
    await this.#withCondition(create, ({ IfNoneMatch, ...input }) =>
      uploadMultipart({
        requests: this.#requests,
        bucket,
        fullKey,
        what: `store ${key}`,
        handle,
        digest,
        permits: this.#permits,
        throttle: this.#throttle,
        create: input,
        crc32: this.#crc32,
        ifNoneMatch: IfNoneMatch !== undefined,
        signal: options.signal,
        onProgress: options.onProgress,
        onCreated: (uploadId) => this.#abortLeftovers(key, fullKey, uploadId, options.signal),
      }),
    );
  }

  async #abortLeftovers(
    key: string,
    fullKey: string,
    uploadId: string,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const own = { uploadId, createdAt: this.#clock.now() };
    const { bucket } = this.#target;
    try {
      const count = await abortStaleUploads({
        requests: this.#requests,
        bucket,
        fullKey,
        own,
        before: this.#startedAt,
        signal,
      });
      if (count > 0) this.#log.info("aborted unfinished uploads", { key, count });
    } catch (error) {
      if (signal?.aborted === true) throw error;
      // Not every service lists them, and not every role may.
      this.#log.debug("cannot list unfinished uploads", { key, reason: reasonOf(error) });
    }
  }

  /** Send with If-None-Match, and without it from then on when the service does not know it. */
  async #withCondition<T>(
    create: Partial<PutObjectCommandInput>,
    send: (create: Partial<PutObjectCommandInput>) => Promise<T>,
  ): Promise<T> {
    const { IfNoneMatch, ...plain } = create;
    if (IfNoneMatch === undefined || !this.#ifNoneMatch) return await send(plain);
    try {
      return await send(create);
    } catch (error) {
      const { s3Code, httpStatus } = readServiceError(error instanceof CdhError ? error.cause : error);
      if (httpStatus !== 501 && s3Code !== "NotImplemented") throw error;
      this.#ifNoneMatch = false;
      return await send(plain);
    }
  }

  #createInput(digest: FileDigest, options: PutOptions, onlyIfMissing: boolean): Partial<PutObjectCommandInput> {
    const { s3StorageClass, s3Sse, s3SseKmsKeyId } = this.#settings;
    return {
      ContentType: options.contentType ?? "application/octet-stream",
      Metadata: encodeMetadata({ ...options.metadata, "cdh-sha256": digest.sha256 }),
      ...(onlyIfMissing ? { IfNoneMatch: "*" } : {}),
      ...(s3StorageClass === undefined
        ? {}
        : { StorageClass: s3StorageClass as PutObjectCommandInput["StorageClass"] }),
      ...(s3Sse === undefined ? {} : { ServerSideEncryption: s3Sse as PutObjectCommandInput["ServerSideEncryption"] }),
      ...(s3SseKmsKeyId === undefined ? {} : { SSEKMSKeyId: s3SseKmsKeyId }),
    };
  }

  async #head(key: string, signal: AbortSignal | undefined): Promise<HeadObjectCommandOutput | undefined> {
    const object = this.#object(key);
    try {
      const output = await this.#requests.send(
        ({ client, abortSignal }) =>
          client.send(new HeadObjectCommand({ ...object, ...(this.#crc32 ? { ChecksumMode: "ENABLED" } : {}) }), {
            abortSignal,
          }),
        { what: `look up ${key}`, signal },
      );
      if (output.ETag !== undefined && output.LastModified !== undefined) return output;
      throw new CdhError("CDH_STORE", `cannot look up ${key} in ${this.url}: the answer is not S3's`, {
        hint: "is there a proxy or a login page between this node and the store?",
      });
    } catch (error) {
      if (isMissingObject(error instanceof CdhError ? error.cause : error)) return undefined;
      throw error;
    }
  }

  async *#readBody(
    body: AsyncIterable<Uint8Array>,
    key: string,
    stop: AbortController,
    signal: AbortSignal | undefined,
  ): AsyncIterable<Uint8Array> {
    const stalled = new CdhError(
      "CDH_STORE_UNREACHABLE",
      `cannot read ${key} in ${this.url}: nothing came for ${this.#settings.storeTimeoutMs / 1000} s`,
    );
    const timer = setTimeout(() => stop.abort(stalled), this.#settings.storeTimeoutMs);
    const onStop = (): void => stop.abort(signal?.reason);
    signal?.addEventListener("abort", onStop, { once: true });
    try {
      for await (const chunk of body) {
        timer.refresh();
        yield chunk;
      }
    } catch (error) {
      if (stop.signal.aborted) throw stop.signal.reason;
      throw new CdhError("CDH_STORE_UNREACHABLE", `cannot read ${key} in ${this.url}: connection lost`, {
        cause: error,
      });
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onStop);
      // A reader that stops early must not leave the connection half-read.
      (body as { destroy?: () => void }).destroy?.();
    }
  }

  #fullKey(key: string): string {
    checkKey(key);
    return this.#target.prefix === "" ? key : `${this.#target.prefix}/${key}`;
  }

  #object(key: string): { Bucket: string; Key: string } {
    return { Bucket: this.#target.bucket, Key: this.#fullKey(key) };
  }

  #result(
    key: string,
    shown: HeadObjectCommandOutput,
    digest: FileDigest,
    alreadyThere: boolean,
    verifiedBy: VerifiedBy,
  ): PutResult {
    return { ...describe(key, shown), sizeBytes: digest.sizeBytes, sha256: digest.sha256, alreadyThere, verifiedBy };
  }

  #conflict(key: string, digest: FileDigest, shown: HeadObjectCommandOutput): CdhError {
    return new CdhError("CDH_STORE_CONFLICT", `cannot store ${key} in ${this.url}: other content lies there`, {
      hint: "nothing was replaced; compare the two and delete one",
      details: { key, sizeBytes: digest.sizeBytes, thereBytes: shown.ContentLength },
    });
  }

  #mismatch(key: string, reason: string): CdhError {
    return new CdhError("CDH_STORE_MISMATCH", `cannot store ${key} in ${this.url}: ${reason}`, {
      hint: "it will be sent again; when it stays so, the store or something before it changes what is sent",
    });
  }
}

function describe(key: string, output: HeadObjectCommandOutput): ObjectInfo {
  return {
    key,
    sizeBytes: output.ContentLength ?? 0,
    modifiedAt: output.LastModified?.getTime() ?? 0,
    metadata: decodeMetadata(output.Metadata),
    ...(output.ETag === undefined ? {} : { etag: bareEtag(output.ETag) }),
  };
}

function bareEtag(etag: string): string {
  return etag.replaceAll('"', "").toLowerCase();
}

function rangeHeader(range: ByteRange): string {
  if (range.offset < 0) return `bytes=${range.offset}`;
  return `bytes=${range.offset}-${range.length === undefined ? "" : range.offset + range.length - 1}`;
}

async function* nothing(): AsyncIterable<Uint8Array> {}
