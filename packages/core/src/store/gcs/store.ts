import type { Clock } from "../../base/clock.ts";
import { openRegularFile } from "../../files/regular-file.ts";
import type { Logger } from "../../service/log.ts";
import type { Agents } from "../agents.ts";
import { digestBytes, digestFile, type FileDigest } from "../digest.ts";
import { putVerified, type PutSteps } from "../put.ts";
import { hashBody } from "../read-back.ts";
import { Requests } from "../requests.ts";
import { Semaphore } from "../semaphore.ts";
import type { StoreSettings } from "../settings.ts";
import type {
  ByteRange,
  CheckedAccess,
  ListOptions,
  ObjectInfo,
  ObjectStore,
  PresignOptions,
  PutOptions,
  PutResult,
  PutSource,
  VerifiedBy,
} from "../store.ts";
import type { Throttle } from "../throttle.ts";
import { AclGuard, checkUniformAccess } from "./access.ts";
import { GcsBucket, type ShownObject } from "./bucket.ts";
import { isTransient, toStoreError } from "./errors.ts";
import { GcsHttp } from "./http.ts";
import { presignGet } from "./links.ts";
import type { GcsTarget } from "./target.ts";
import { GcsTokens } from "./tokens.ts";
import { uploadObject, type UploadJob, type UploadTools } from "./upload.ts";

/** What the store is given by the program that opens it. */
export interface GcsStoreOptions {
  clock: Clock;
  log: Logger;
  agents: Agents;
  /** The program's environment: where the service of metadata is. */
  env: Readonly<Record<string, string | undefined>>;
  throttle: Throttle;
  /** Where the identity is read from; absent: as Google's tools find one. */
  keyFile?: string | undefined;
}

/** Keep objects in a bucket of Google Cloud Storage, through its JSON API. */
export class GcsStore implements ObjectStore {
  readonly url: string;
  readonly rights = {
    write: "storage.objects.create",
    read: "storage.objects.get",
    list: "storage.objects.list",
    delete: "storage.objects.delete",
  } as const;
  readonly role = '"Storage Object User" (roles/storage.objectUser) on the bucket';
  readonly presign?: (key: string, options: PresignOptions) => Promise<string>;
  readonly #bucket: GcsBucket;
  readonly #settings: StoreSettings;
  readonly #tools: UploadTools;
  readonly #acls: AclGuard | undefined;
  readonly #agents: Agents;
  readonly #log: Logger;

  constructor(target: GcsTarget, settings: StoreSettings, options: GcsStoreOptions) {
    const { clock, log, agents, env, throttle, keyFile } = options;
    const tokens = target.isAnonymous ? undefined : new GcsTokens(agents, env, keyFile);
    const url = `gs://${target.bucket}${target.prefix === "" ? "" : `/${target.prefix}`}`;
    const requests = new Requests({
      clock,
      url,
      timeoutMs: settings.storeTimeoutMs,
      toStoreError: (error, what) => toStoreError(error, what, url),
      isTransient,
    });
    const bucket = new GcsBucket(new GcsHttp(tokens, agents), target, { requests, url });
    this.url = url;
    this.#bucket = bucket;
    this.#acls = settings.gcsAcls === "refuse" ? new AclGuard(bucket, clock) : undefined;
    this.#settings = settings;
    this.#tools = {
      bucket,
      permits: new Semaphore(settings.partConcurrency),
      throttle,
      unfinished: new Map(),
    };
    this.#agents = agents;
    this.#log = log;
    if (tokens !== undefined) this.presign = (key, presigned) => presignGet(tokens, bucket, clock, key, presigned);
  }

  async putFile(key: string, source: PutSource, options: PutOptions = {}): Promise<PutResult> {
    this.#bucket.nameOf(key);
    await this.#acls?.mayPut(`store ${key}`, options.signal);
    const handle = await openRegularFile(source.path);
    try {
      // Looked up first, because hashing a large file for a store that is down would be for nothing.
      const before = await this.#bucket.head(key, options.signal);
      // One part: the service compares the MD5 of the whole.
      const partBytes = Math.max(1, source.sizeBytes);
      const digest = await digestFile(handle, source, { partBytes, signal: options.signal });
      return await this.#put(key, { source: handle, digest, before }, options);
    } finally {
      await handle.close();
    }
  }

  async putBytes(key: string, body: Uint8Array, options: PutOptions = {}): Promise<PutResult> {
    await this.#acls?.mayPut(`store ${key}`, options.signal);
    const before = await this.#bucket.head(key, options.signal);
    return await this.#put(key, { source: body, digest: digestBytes(body), before }, options);
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

  checkAccess(signal?: AbortSignal): Promise<CheckedAccess> {
    return checkUniformAccess(this.#bucket, signal);
  }

  async close(): Promise<void> {
    this.#agents.http.destroy();
    this.#agents.https.destroy();
  }

  async #put(
    key: string,
    { source, digest, before }: { source: UploadJob["source"]; digest: FileDigest; before: ShownObject | undefined },
    options: PutOptions,
  ): Promise<PutResult> {
    const { signal, onProgress } = options;
    const steps: PutSteps<ShownObject> = {
      url: this.url,
      log: this.#log,
      head: (stop) => this.#bucket.head(key, stop),
      describe: (shown) => describe(key, shown),
      verify: (shown) => this.#verify(key, shown, digest, signal),
      send: (there) => {
        const job = { key, what: `store ${key}`, source, digest, signal, onProgress };
        return uploadObject(this.#tools, { ...job, ...this.#create(key, digest, options, there) });
      },
      mayHaveArrived: isTransient,
      isProtected: (failure) => /retention|Hold/.test(String(failure.details["gcsReason"])),
    };
    return await putVerified(steps, { key, digest, before, options });
  }

  /** The service computes an MD5 of every object that was not composed of others; those are read back. */
  async #verify(
    key: string,
    shown: ShownObject,
    digest: FileDigest,
    signal: AbortSignal | undefined,
  ): Promise<VerifiedBy | undefined> {
    if (shown.sizeBytes !== digest.sizeBytes) return undefined;
    const md5 = digest.partMd5s[0]?.toString("base64");
    if (shown.md5 !== undefined && shown.md5 !== md5) return undefined;
    // MD5 finds an accident; whether it is the same content at all is for the hash to say.
    if (shown.md5 !== undefined && shown.metadata["cdh-sha256"] === digest.sha256) return "checksum";
    const body = await this.#bucket.get(key, undefined, signal);
    const sha256 = await hashBody(body, { key, url: this.url, sizeBytes: digest.sizeBytes });
    return sha256 === digest.sha256 ? "readBack" : undefined;
  }

  /** What the object is to be, and on which condition. */
  #create(
    key: string,
    digest: FileDigest,
    options: PutOptions,
    before: ShownObject | undefined,
  ): Pick<UploadJob, "resource" | "query"> {
    const { gcsKmsKey, gcsStorageClass } = this.#settings;
    const name = this.#bucket.nameOf(key);
    return {
      resource: {
        name,
        contentType: options.contentType ?? "application/octet-stream",
        md5Hash: digest.partMd5s[0]?.toString("base64"),
        metadata: { ...options.metadata, "cdh-sha256": digest.sha256 },
        ...(gcsStorageClass === undefined ? {} : { storageClass: gcsStorageClass }),
      },
      query: {
        name,
        ...(options.overwrite === true ? {} : { ifGenerationMatch: before?.generation ?? "0" }),
        ...(gcsKmsKey === undefined ? {} : { kmsKeyName: gcsKmsKey }),
      },
    };
  }
}

function describe(key: string, shown: ShownObject): ObjectInfo {
  const { sizeBytes, modifiedAt, metadata, generation } = shown;
  return { key, sizeBytes, modifiedAt, metadata, etag: generation };
}
