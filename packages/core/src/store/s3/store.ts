import type { FileHandle } from "node:fs/promises";
import type { PutObjectCommandInput, S3Client } from "@aws-sdk/client-s3";
import type { Clock } from "../../base/clock.ts";
import { CdhError, reasonOf } from "../../base/errors.ts";
import { openRegularFile } from "../../files/regular-file.ts";
import type { Logger } from "../../service/log.ts";
import { digestBytes, digestFile, encodeSha256, expectedEtag, partBytesFor, type FileDigest } from "../digest.ts";
import { bareEtag } from "../etag.ts";
import { decodeMetadata, encodeMetadata } from "../metadata-text.ts";
import { putVerified, type PutSteps } from "../put.ts";
import { Semaphore } from "../semaphore.ts";
import type { StoreSettings } from "../settings.ts";
import type {
  ByteRange,
  CheckedRight,
  ListOptions,
  ObjectInfo,
  ObjectStore,
  PresignOptions,
  PutOptions,
  PutResult,
  PutSource,
} from "../store.ts";
import type { Throttle } from "../throttle.ts";
import { S3Bucket, type ShownObject } from "./bucket.ts";
import { S3Conditions } from "./conditions.ts";
import { presignGet } from "./presign.ts";
import { S3Requests } from "./request.ts";
import { checkUploadRights, S3_RIGHTS } from "./rights.ts";
import type { S3Target } from "./target.ts";
import { S3Unfinished } from "./unfinished.ts";
import { uploadObject, type UploadAnswer, type UploadTools } from "./upload.ts";
import { verifyObject } from "./verify.ts";

type CreateInput = Partial<PutObjectCommandInput>;

/** Keep objects in a bucket of AWS S3 or of a service that speaks its language. */
export class S3Store implements ObjectStore {
  readonly url: string;
  readonly rights = S3_RIGHTS;
  readonly #bucket: S3Bucket;
  readonly #settings: StoreSettings;
  readonly #tools: UploadTools;
  readonly #log: Logger;
  readonly #crc32: boolean;
  /** Whether the server was seen to keep a SHA-256 of an object; then nobody needs MD5 for a whole one. */
  #sha256Proven = false;

  /** @param makeClient makes the SDK's client for a region */
  constructor(
    makeClient: (region: string) => S3Client,
    target: S3Target,
    settings: StoreSettings,
    options: { clock: Clock; log: Logger; throttle: Throttle },
  ) {
    const { clock, log, throttle } = options;
    this.url = `s3://${target.bucket}${target.prefix === "" ? "" : `/${target.prefix}`}`;
    const { url } = this;
    const { region } = target;
    const requests = new S3Requests({ clock, log, url, timeoutMs: settings.storeTimeoutMs, region, makeClient });
    this.#crc32 = settings.s3Checksum === "crc32" || (settings.s3Checksum === "auto" && target.endpoint === undefined);
    this.#bucket = new S3Bucket(requests, target, { url: this.url, checksums: this.#crc32 });
    this.#settings = settings;
    this.#tools = {
      requests,
      conditions: new S3Conditions(),
      unfinished: new S3Unfinished(requests, target.bucket, options),
      permits: new Semaphore(settings.partConcurrency),
      throttle,
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

  get refusesToReplace(): boolean | undefined {
    return this.#tools.conditions.refusalProven;
  }

  checkUploads(key: string, signal?: AbortSignal): AsyncIterable<CheckedRight> {
    const {
      IfNoneMatch: _condition,
      Metadata: _metadata,
      ...create
    } = this.#createInput(digestBytes(new Uint8Array()), {}, false);
    return checkUploadRights(this.#bucket.requests, this.#bucket.object(key), create, signal);
  }

  presign(key: string, options: PresignOptions): Promise<string> {
    return presignGet(this.#bucket, key, options);
  }

  async close(): Promise<void> {
    await this.#tools.unfinished.abortKept();
    this.#bucket.requests.close();
  }

  /** @param send gives a result when the answer to the put is proof enough */
  async #put(
    key: string,
    digest: FileDigest,
    before: ShownObject | undefined,
    options: PutOptions,
    send: (create: CreateInput) => Promise<PutResult | undefined>,
  ): Promise<PutResult> {
    const steps: PutSteps<ShownObject> = {
      url: this.url,
      log: this.#log,
      head: (stop) => this.#bucket.head(key, stop),
      describe: (shown) => describe(key, shown),
      verify: (shown) => verifyObject(this.#bucket, key, shown, digest, options.signal),
      send: (there) => send(this.#createInput(digest, options, there === undefined && options.overwrite !== true)),
      mayHaveArrived: () => true,
      isProtected: () => false,
      removeDamaged: (stop) => this.#bucket.delete(key, stop),
    };
    return await putVerified(steps, { key, digest, before, options });
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
