import type { PutObjectCommandInput, S3Client } from "@aws-sdk/client-s3";
import type { FileHandle } from "node:fs/promises";
import type { Clock } from "../clock.ts";
import { CdhError, reasonOf } from "../errors.ts";
import type { Logger } from "../log.ts";
import {
  digestBytes,
  digestFile,
  encodeSha256,
  expectedEtag,
  openRegularFile,
  partBytesFor,
  type FileDigest,
} from "./digest.ts";
import { bareEtag, S3Bucket, type ShownObject } from "./s3-bucket.ts";
import { S3Conditions } from "./s3-conditions.ts";
import { decodeMetadata, encodeMetadata } from "./s3-metadata.ts";
import { presignGet } from "./s3-presign.ts";
import { S3Requests } from "./s3-request.ts";
import type { S3Target } from "./s3-target.ts";
import { S3Unfinished } from "./s3-unfinished.ts";
import { uploadObject, type UploadAnswer, type UploadTools } from "./s3-upload.ts";
import { isOurs, verifyObject } from "./s3-verify.ts";
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
import { createThrottle } from "./throttle.ts";

type CreateInput = Partial<PutObjectCommandInput>;

/** Keep objects in a bucket of AWS S3 or of a service that speaks its language. */
export class S3Store implements ObjectStore {
  readonly url: string;
  readonly #bucket: S3Bucket;
  readonly #settings: StoreSettings;
  readonly #tools: UploadTools;
  readonly #log: Logger;
  readonly #crc32: boolean;
  /** Whether the server was seen to keep a SHA-256 of an object; then nobody needs MD5 for a whole one. */
  #sha256Proven = false;

  constructor(client: S3Client, target: S3Target, settings: StoreSettings, options: { clock: Clock; log: Logger }) {
    const { clock, log } = options;
    this.url = `s3://${target.bucket}${target.prefix === "" ? "" : `/${target.prefix}`}`;
    const requests = new S3Requests(client, { clock, url: this.url, timeoutMs: settings.storeTimeoutMs });
    this.#crc32 = settings.s3Checksum === "crc32" || (settings.s3Checksum === "auto" && target.endpoint === undefined);
    this.#bucket = new S3Bucket(requests, target, { url: this.url, checksums: this.#crc32 });
    this.#settings = settings;
    this.#tools = {
      requests,
      conditions: new S3Conditions(),
      unfinished: new S3Unfinished(requests, target.bucket, options),
      permits: new Semaphore(settings.partConcurrency),
      throttle: createThrottle(settings.bandwidthLimit, clock),
      clock,
    };
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
        await this.#send(key, handle, digest, create, options);
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
      const { etag } = await this.#send(key, body, digest, create, options);
      // A few kilobytes that can be made again: the server's own MD5 of what it has is proof enough.
      if (bareEtag(etag ?? "") !== expectedEtag(digest, false)) return undefined;
      const metadata = { ...options.metadata, "cdh-sha256": digest.sha256 };
      const { sizeBytes, sha256 } = digest;
      const modifiedAt = this.#tools.clock.now();
      return { key, sizeBytes, sha256, metadata, modifiedAt, alreadyThere: false, verifiedBy: "etag" };
    });
    if (this.#tools.conditions.refusalProven === undefined && !put.alreadyThere && options.overwrite !== true) {
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
    await this.#tools.unfinished.abortKept();
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
      const verifiedBy = await verifyObject(this.#bucket, key, before, digest, signal);
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
    const verifiedBy = await verifyObject(this.#bucket, key, after, digest, signal);
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
    if (options.overwrite === true || this.#tools.conditions.refusalProven === true) return undefined;
    return await this.#bucket.lookUp(key, options.signal);
  }

  /**
   * Find out what the server can, with a small object that is there already and its very same bytes. One that refuses
   * them by If-None-Match need not be asked before each put; one that keeps their SHA-256 spares us the MD5.
   */
  async #learn(key: string, digest: FileDigest, body: Uint8Array, options: PutOptions): Promise<void> {
    const { conditions } = this.#tools;
    conditions.refusalProven = false;
    if (conditions.areKnown) {
      const again = this.#send(key, body, digest, this.#createInput(digest, options, true), options);
      await again.catch((error: unknown) => {
        conditions.refusalProven = error instanceof CdhError && error.code === "CDH_STORE_CONFLICT";
      });
    }
    if (this.#settings.s3Checksum !== "auto" || this.#crc32) return;
    try {
      const withoutMd5 = { ...digest, partMd5s: [] };
      await this.#send(key, body, withoutMd5, this.#createInput(digest, options, false), options);
      this.#bucket.showChecksums = true;
      const shown = await this.#bucket.head(key, options.signal);
      this.#sha256Proven = shown?.ChecksumSHA256 === encodeSha256(digest.sha256);
    } catch (error) {
      this.#log.debug("the store keeps no SHA-256", { reason: reasonOf(error) });
    }
    this.#bucket.showChecksums = this.#sha256Proven;
  }

  /** Send an object, whole or in parts. @returns what the server says that it has */
  async #send(
    key: string,
    source: FileHandle | Uint8Array,
    digest: FileDigest,
    create: CreateInput,
    options: PutOptions,
  ): Promise<UploadAnswer> {
    return await uploadObject(this.#tools, {
      object: this.#bucket.object(key),
      what: `store ${key}`,
      source,
      digest,
      create,
      crc32: this.#crc32,
      signal: options.signal,
      onProgress: options.onProgress,
    });
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
