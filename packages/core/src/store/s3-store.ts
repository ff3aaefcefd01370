import {
  PutObjectCommand,
  type PutObjectCommandInput,
  type PutObjectCommandOutput,
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
  encodeSha256,
  expectedEtag,
  openRegularFile,
  partBytesFor,
  type FileDigest,
} from "./digest.ts";
import { FileBody } from "./file-body.ts";
import { bareEtag, causeOf, S3Bucket, type ShownObject } from "./s3-bucket.ts";
import { readServiceError } from "./s3-errors.ts";
import { decodeMetadata, encodeMetadata } from "./s3-metadata.ts";
import { abortStaleUploads, uploadMultipart } from "./s3-multipart.ts";
import { presignGet } from "./s3-presign.ts";
import { S3Requests } from "./s3-request.ts";
import type { S3Target } from "./s3-target.ts";
import { Semaphore } from "./semaphore.ts";
import type { StoreSettings } from "./settings.ts";
import type {
  ByteRange,
  ListOptions,
  ObjectInfo,
  ObjectStore,
  PresignOptions,
  PutOptions,
  PutResult,
  PutSource,
  VerifiedBy,
} from "./store.ts";
import { createThrottle, type Throttle } from "./throttle.ts";

type CreateInput = Partial<PutObjectCommandInput>;

/** Keep objects in a bucket of AWS S3 or of a service that speaks its language. */
export class S3Store implements ObjectStore {
  readonly url: string;
  readonly #bucket: S3Bucket;
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
  /** Whether the server was seen to keep a SHA-256 of an object; then nobody needs MD5 for a whole one. */
  #sha256Proven = false;

  constructor(client: S3Client, target: S3Target, settings: StoreSettings, options: { clock: Clock; log: Logger }) {
    const { clock, log } = options;
    this.url = `s3://${target.bucket}${target.prefix === "" ? "" : `/${target.prefix}`}`;
    const requests = new S3Requests(client, { clock, url: this.url, timeoutMs: settings.storeTimeoutMs });
    this.#crc32 = settings.s3Checksum === "crc32" || (settings.s3Checksum === "auto" && target.endpoint === undefined);
    this.#bucket = new S3Bucket(requests, target, { url: this.url, checksums: this.#crc32 });
    this.#settings = settings;
    this.#permits = new Semaphore(settings.partConcurrency);
    this.#throttle = createThrottle(settings.bandwidthLimit, clock);
    this.#clock = clock;
    this.#startedAt = clock.now();
    this.#log = log;
  }

  async putFile(key: string, source: PutSource, options: PutOptions = {}): Promise<PutResult> {
    this.#bucket.fullKey(key);
    const handle = await openRegularFile(source.path);
    try {
      const partBytes = partBytesFor(source.sizeBytes, this.#settings.partBytes);
      const isWhole = source.sizeBytes <= partBytes;
      // Looked up first, because hashing a large file for a store that is down would be for nothing.
      const before = isWhole ? await this.#before(key, options) : await this.#bucket.lookUp(key, options.signal);
      const md5 = !isWhole || !this.#sha256Proven;
      const digest = await digestFile(handle, source, { partBytes, md5, crc32: this.#crc32, signal: options.signal });
      return await this.#put(key, digest, before, options, async (create) => {
        if (isWhole) await this.#putWhole(key, digest, create, options, handle);
        else await this.#putParts(key, handle, digest, create, options);
        return undefined;
      });
    } finally {
      await handle.close();
    }
  }

  async putBytes(key: string, body: Uint8Array, options: PutOptions = {}): Promise<PutResult> {
    this.#bucket.fullKey(key);
    const digest = digestBytes(body);
    const before = await this.#before(key, options);
    const put = await this.#put(key, digest, before, options, async (create) => {
      const answer = await this.#putWhole(key, digest, create, options, body);
      // A few kilobytes that can be made again: the server's own MD5 of what it has is proof enough.
      if (bareEtag(answer.ETag ?? "") !== expectedEtag(digest, false)) return undefined;
      const metadata = { ...options.metadata, "cdh-sha256": digest.sha256 };
      const { sizeBytes, sha256 } = digest;
      const modifiedAt = this.#clock.now();
      return { key, sizeBytes, sha256, metadata, modifiedAt, alreadyThere: false, verifiedBy: "etag" };
    });
    if (this.#refusesProven === undefined && !put.alreadyThere && options.overwrite !== true) {
      await this.#learn(key, digest, body, options);
    }
    return put;
  }

  async head(key: string, signal?: AbortSignal): Promise<ObjectInfo | undefined> {
    const shown = await this.#bucket.head(key, signal);
    return shown === undefined ? undefined : describe(key, shown);
  }

  get(key: string, range?: ByteRange, signal?: AbortSignal): Promise<AsyncIterable<Uint8Array> | undefined> {
    return this.#bucket.get(key, range, signal);
  }

  list(prefix: string, options: ListOptions = {}): AsyncIterable<ObjectInfo> {
    return this.#bucket.list(prefix, options);
  }

  delete(key: string, signal?: AbortSignal): Promise<void> {
    return this.#bucket.delete(key, signal);
  }

  presign(key: string, options: PresignOptions): Promise<string> {
    return presignGet(this.#bucket, key, options);
  }

  async close(): Promise<void> {
    this.#bucket.requests.client.destroy();
  }

  /**
   * Send what is not there yet and look: the object counts as stored only when the store shows the very same bytes.
   * @param before what the store shows under the key now
   * @param send gives a result when the answer to the put is proof enough
   */
  async #put(
    key: string,
    digest: FileDigest,
    before: ShownObject | undefined,
    options: PutOptions,
    send: (create: CreateInput) => Promise<PutResult | undefined>,
  ): Promise<PutResult> {
    const { signal } = options;
    if (before !== undefined) {
      const verifiedBy = await this.#verify(key, before, digest, signal);
      if (verifiedBy !== undefined) return result(key, before, digest, true, verifiedBy);
      // Our own hash on other bytes: an upload of this very content that went wrong. It is replaced.
      const ours = isOurs(before, digest);
      if (!ours && options.overwrite !== true) throw this.#conflict(key, digest, before);
      if (ours) this.#log.warn("replacing a damaged object", { key, sizeBytes: before.ContentLength });
    }
    let failure: unknown;
    try {
      const known = await send(this.#createInput(digest, options, before === undefined && options.overwrite !== true));
      if (known !== undefined) return known;
    } catch (error) {
      if (signal?.aborted === true) throw error;
      // The answer may have been lost after the work was done, or another process was first: the object itself says it.
      failure = error;
    }
    const after = await this.#bucket.head(key, signal).catch((error: unknown) => {
      throw failure ?? error;
    });
    if (after === undefined) throw failure ?? this.#mismatch(key, "the store accepted it, but shows no such object");
    const verifiedBy = await this.#verify(key, after, digest, signal);
    const refused = failure instanceof CdhError && failure.code === "CDH_STORE_CONFLICT";
    if (verifiedBy !== undefined) return result(key, after, digest, refused, verifiedBy);
    if (!isOurs(after, digest)) throw failure ?? this.#conflict(key, digest, after);
    // What lies there is damaged and has our name on it. Without it the next attempt begins clean.
    await this.#bucket.delete(key, signal).catch(() => {});
    const shown = `${after.ContentLength} bytes with ETag ${after.ETag}`;
    throw this.#mismatch(key, `the store shows ${shown}, which are not what was sent`);
  }

  /** Look what lies under a key, unless the put itself is known to find out. */
  async #before(key: string, options: PutOptions): Promise<ShownObject | undefined> {
    if (options.overwrite === true || this.#refusesProven === true) return undefined;
    return await this.#bucket.lookUp(key, options.signal);
  }

  /**
   * Find out what the server can, with a small object that is there already and its very same bytes. One that refuses
   * them by If-None-Match need not be asked before each put; one that keeps their SHA-256 spares us the MD5.
   */
  async #learn(key: string, digest: FileDigest, body: Uint8Array, options: PutOptions): Promise<void> {
    this.#refusesProven = false;
    if (this.#ifNoneMatch) {
      const again = this.#putWhole(key, digest, this.#createInput(digest, options, true), options, body);
      await again.catch((error: unknown) => {
        this.#refusesProven = error instanceof CdhError && error.code === "CDH_STORE_CONFLICT";
      });
    }
    if (this.#settings.s3Checksum !== "auto" || this.#crc32) return;
    try {
      const withoutMd5 = { ...digest, partMd5s: [] };
      await this.#putWhole(key, withoutMd5, this.#createInput(digest, options, false), options, body);
      this.#bucket.showChecksums = true;
      const shown = await this.#bucket.head(key, options.signal);
      this.#sha256Proven = shown?.ChecksumSHA256 === encodeSha256(digest.sha256);
    } catch (error) {
      this.#log.debug("the store keeps no SHA-256", { reason: reasonOf(error) });
    }
    this.#bucket.showChecksums = this.#sha256Proven;
  }

  /** Compare what the store shows with what was hashed here; undefined when it is something else. */
  async #verify(
    key: string,
    shown: ShownObject,
    digest: FileDigest,
    signal: AbortSignal | undefined,
  ): Promise<VerifiedBy | undefined> {
    if (shown.ContentLength !== digest.sizeBytes) return undefined;
    if (digest.crc32 !== undefined && shown.ChecksumCRC32 !== undefined && shown.ChecksumType === "FULL_OBJECT") {
      if (shown.ChecksumCRC32 !== encodeCrc32(digest.crc32.whole)) return undefined;
      // 32 bits find an accident; whether it is the same content at all is for the hash to say.
      if (isOurs(shown, digest)) return "checksum";
    }
    // Only of an object that was sent whole: parts have a checksum of checksums.
    if (shown.ChecksumSHA256 === encodeSha256(digest.sha256)) return "checksum";
    const etag = bareEtag(shown.ETag ?? "");
    if (digest.partMd5s.length === 1 && etag === expectedEtag(digest, false)) return "etag";
    if (digest.partMd5s.length > 0 && etag === expectedEtag(digest, true)) return "etag";
    return (await this.#hashObject(key, digest.sizeBytes, signal)) === digest.sha256 ? "readBack" : undefined;
  }

  async #hashObject(key: string, sizeBytes: number, signal: AbortSignal | undefined): Promise<string | undefined> {
    const hash = createHash("sha256");
    let bytes = 0;
    for await (const chunk of (await this.#bucket.get(key, undefined, signal)) ?? []) {
      hash.update(chunk);
      bytes += chunk.length;
      if (bytes > sizeBytes) return undefined;
    }
    return hash.digest("hex");
  }

  /** Send a whole object in one request. @returns what the server says that it has */
  async #putWhole(
    key: string,
    digest: FileDigest,
    create: CreateInput,
    options: PutOptions,
    source: FileHandle | Uint8Array,
  ): Promise<PutObjectCommandOutput> {
    const { signal } = options;
    const [md5] = digest.partMd5s;
    const fixed = {
      ...this.#bucket.object(key),
      ContentLength: digest.sizeBytes,
      ...(md5 === undefined ? { ChecksumSHA256: encodeSha256(digest.sha256) } : { ContentMD5: md5.toString("base64") }),
      ...(this.#crc32 ? { ChecksumCRC32: encodeCrc32(digest.crc32?.whole) } : {}),
    };
    const sendOptions = { what: `store ${key}`, signal };
    const send = (input: CreateInput): Promise<PutObjectCommandOutput> =>
      this.#bucket.requests.send(async ({ client, abortSignal, kick }) => {
        if (source instanceof Uint8Array) {
          return await client.send(new PutObjectCommand({ ...input, ...fixed, Body: source }), { abortSignal });
        }
        let sent = 0;
        const onChunk = (bytes: number): void => {
          kick();
          sent += bytes;
          options.onProgress?.(sent);
        };
        const throttle = this.#throttle;
        const body = new FileBody(source, { offset: 0, length: digest.sizeBytes, throttle, signal, onChunk });
        try {
          return await client.send(new PutObjectCommand({ ...input, ...fixed, Body: body }), { abortSignal });
        } finally {
          body.destroy();
        }
      }, sendOptions);
    return await this.#withCondition(create, (input) =>
      source instanceof Uint8Array ? send(input) : this.#permits.run(() => send(input)),
    );
  }

  async #putParts(
    key: string,
    handle: FileHandle,
    digest: FileDigest,
    create: CreateInput,
    options: PutOptions,
  ): Promise<void> {
    await this.#withCondition(create, ({ IfNoneMatch, ...input }) =>
      uploadMultipart({
        requests: this.#bucket.requests,
        bucket: this.#bucket.target.bucket,
        fullKey: this.#bucket.fullKey(key),
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
        onCreated: (uploadId) => this.#abortLeftovers(key, uploadId, options.signal),
      }),
    );
  }

  async #abortLeftovers(key: string, uploadId: string, signal: AbortSignal | undefined): Promise<void> {
    const { requests, target } = this.#bucket;
    try {
      const count = await abortStaleUploads({
        requests,
        bucket: target.bucket,
        fullKey: this.#bucket.fullKey(key),
        own: { uploadId, createdAt: this.#clock.now() },
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
  async #withCondition<T>(create: CreateInput, send: (create: CreateInput) => Promise<T>): Promise<T> {
    const { IfNoneMatch, ...plain } = create;
    if (IfNoneMatch === undefined || !this.#ifNoneMatch) return await send(plain);
    try {
      return await send(create);
    } catch (error) {
      const { s3Code, httpStatus } = readServiceError(causeOf(error));
      if (httpStatus !== 501 && s3Code !== "NotImplemented") throw error;
      this.#ifNoneMatch = false;
      return await send(plain);
    }
  }

  #createInput(digest: FileDigest, options: PutOptions, onlyIfMissing: boolean): CreateInput {
    const { s3StorageClass, s3Sse, s3SseKmsKeyId } = this.#settings;
    return {
      ContentType: options.contentType ?? "application/octet-stream",
      Metadata: encodeMetadata({ ...options.metadata, "cdh-sha256": digest.sha256 }),
      ...(onlyIfMissing ? { IfNoneMatch: "*" } : {}),
      ...(s3StorageClass === undefined
        ? {}
        : { StorageClass: s3StorageClass as NonNullable<CreateInput["StorageClass"]> }),
      ...(s3Sse === undefined
        ? {}
        : { ServerSideEncryption: s3Sse as NonNullable<CreateInput["ServerSideEncryption"]> }),
      ...(s3SseKmsKeyId === undefined ? {} : { SSEKMSKeyId: s3SseKmsKeyId }),
    };
  }

  #conflict(key: string, digest: FileDigest, shown: ShownObject): CdhError {
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

/** Tell whether an object says of itself that it is this content. */
function isOurs(shown: ShownObject, digest: FileDigest): boolean {
  return decodeMetadata(shown.Metadata)["cdh-sha256"] === digest.sha256;
}

function result(
  key: string,
  shown: ShownObject,
  digest: FileDigest,
  alreadyThere: boolean,
  verifiedBy: VerifiedBy,
): PutResult {
  return { ...describe(key, shown), sizeBytes: digest.sizeBytes, sha256: digest.sha256, alreadyThere, verifiedBy };
}

function describe(key: string, shown: ShownObject): ObjectInfo {
  return {
    key,
    sizeBytes: shown.ContentLength ?? 0,
    modifiedAt: shown.LastModified?.getTime() ?? 0,
    metadata: decodeMetadata(shown.Metadata),
    ...(shown.ETag === undefined ? {} : { etag: bareEtag(shown.ETag) }),
  };
}
