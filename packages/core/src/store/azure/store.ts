import { createHash } from "node:crypto";
import type { CpkInfo } from "@azure/storage-blob";
import type { Clock } from "../../base/clock.ts";
import { CdhError } from "../../base/errors.ts";
import { openRegularFile } from "../../files/regular-file.ts";
import type { Logger } from "../../service/log.ts";
import type { Agents } from "../agents.ts";
import { digestBytes, digestFile, partBytesFor, type FileDigest } from "../digest.ts";
import { bareEtag } from "../etag.ts";
import { putVerified, type PutSteps } from "../put.ts";
import { Requests } from "../requests.ts";
import { Semaphore } from "../semaphore.ts";
import type { StoreSettings } from "../settings.ts";
import type {
  ByteRange,
  ListOptions,
  ObjectInfo,
  ObjectStore,
  PresignOptions,
  PutOptions,
  PutResult,
  PutSource,
} from "../store.ts";
import type { Throttle } from "../throttle.ts";
import { createAzureClient } from "./client.ts";
import { AzureContainer, type ShownBlob } from "./container.ts";
import { isTransient, toStoreError } from "./errors.ts";
import { AzureLinks } from "./links.ts";
import { fromAzureMetadata, toAzureMetadata } from "./metadata.ts";
import type { AzureTarget } from "./target.ts";
import { uploadBlob, type CommitOptions, type UploadJob, type UploadTools } from "./upload.ts";
import { verifyBlob } from "./verify.ts";

/** What the store is given by the program that opens it. */
export interface AzureStoreOptions {
  clock: Clock;
  log: Logger;
  agents: Agents;
  env: Readonly<Record<string, string | undefined>>;
  throttle: Throttle;
}

/** Keep objects in a container of Azure Blob Storage. */
export class AzureStore implements ObjectStore {
  readonly url: string;
  readonly rights = { write: "blobs/write", read: "blobs/read", list: "blobs/read", delete: "blobs/delete" } as const;
  readonly role = '"Storage Blob Data Contributor" on the container';
  readonly presign?: (key: string, options: PresignOptions) => Promise<string>;
  readonly #container: AzureContainer;
  readonly #settings: StoreSettings;
  readonly #tools: UploadTools;
  readonly #encryption: { encryptionScope?: string; customerProvidedKey?: CpkInfo };
  readonly #agents: Agents;
  readonly #log: Logger;

  constructor(target: AzureTarget, settings: StoreSettings, { clock, log, agents, env, throttle }: AzureStoreOptions) {
    const client = createAzureClient(target, settings, { agents, env });
    const url = `azblob://${target.container}${target.prefix === "" ? "" : `/${target.prefix}`}`;
    const requests = new Requests({
      clock,
      url,
      timeoutMs: settings.storeTimeoutMs,
      toStoreError: (error, what) => toStoreError(error, what, url),
      isTransient,
    });
    const key = customerProvidedKey(settings);
    this.url = url;
    this.#container = new AzureContainer(client.service.getContainerClient(target.container), target, {
      requests,
      url,
      key,
    });
    this.#settings = settings;
    this.#tools = {
      requests,
      permits: new Semaphore(settings.partConcurrency),
      throttle,
    };
    this.#encryption = {
      ...(settings.azureEncryptionScope === undefined ? {} : { encryptionScope: settings.azureEncryptionScope }),
      ...this.#container.encryption,
    };
    this.#agents = agents;
    this.#log = log;
    if (AzureLinks.canSign(client)) {
      const links = new AzureLinks(client, this.#container, target, clock);
      this.presign = (name, options) => links.presign(name, options);
    }
  }

  async putFile(key: string, source: PutSource, options: PutOptions = {}): Promise<PutResult> {
    this.#container.blob(key);
    const handle = await openRegularFile(source.path);
    try {
      // Looked up first, because hashing a large file for a store that is down would be for nothing.
      const before = await this.#container.head(key, options.signal);
      const partBytes = partBytesFor(source.sizeBytes, this.#settings.partBytes);
      const digest = await digestFile(handle, source, { partBytes, signal: options.signal });
      return await this.#put(key, { source: handle, digest, before }, options);
    } finally {
      await handle.close();
    }
  }

  async putBytes(key: string, body: Uint8Array, options: PutOptions = {}): Promise<PutResult> {
    const before = await this.#container.head(key, options.signal);
    return await this.#put(key, { source: body, digest: digestBytes(body), before }, options);
  }

  async head(key: string, signal?: AbortSignal): Promise<ObjectInfo | undefined> {
    const shown = await this.#container.head(key, signal);
    return shown === undefined ? undefined : describe(key, shown);
  }

  get(key: string, range?: ByteRange, signal?: AbortSignal): Promise<AsyncIterable<Uint8Array> | undefined> {
    return this.#container.get(key, range, signal);
  }

  list(prefix: string, options: ListOptions = {}): AsyncIterable<ObjectInfo> {
    return this.#container.list(prefix, options);
  }

  delete(key: string, signal?: AbortSignal): Promise<void> {
    return this.#container.delete(key, signal);
  }

  async close(): Promise<void> {
    this.#agents.http.destroy();
    this.#agents.https.destroy();
  }

  async #put(
    key: string,
    { source, digest, before }: { source: UploadJob["source"]; digest: FileDigest; before: ShownBlob | undefined },
    options: PutOptions,
  ): Promise<PutResult> {
    const { signal, onProgress } = options;
    const steps: PutSteps<ShownBlob> = {
      url: this.url,
      log: this.#log,
      head: (stop) => this.#container.head(key, stop),
      describe: (shown) => describe(key, shown),
      verify: (shown) => verifyBlob(this.#container, key, shown, digest, signal),
      send: (there) => {
        const job = { blob: this.#container.blob(key), what: `store ${key}`, source, digest, signal, onProgress };
        const commit = this.#commit(digest, options, there);
        return uploadBlob(this.#tools, { ...job, commit, encryption: this.#encryption });
      },
      mayHaveArrived: (failure) => isTransient(failure) || failure.code === "CDH_STORE_MISMATCH",
      isProtected: (failure) => /Immutable|Lease|Snapshots/.test(String(failure.details["azureCode"])),
    };
    return await putVerified(steps, { key, digest, before, options });
  }

  #commit(digest: FileDigest, options: PutOptions, before: ShownBlob | undefined): CommitOptions {
    const { azureAccessTier, azureBlobTags } = this.#settings;
    const ifMatch = before?.etag;
    const onlyIfMissing = before === undefined && options.overwrite !== true;
    const [md5] = digest.partMd5s;
    return {
      blobHTTPHeaders: {
        blobContentType: options.contentType ?? "application/octet-stream",
        ...(digest.partMd5s.length === 1 && md5 !== undefined ? { blobContentMD5: md5 } : {}),
      },
      metadata: toAzureMetadata({ ...options.metadata, "cdh-sha256": digest.sha256 }),
      ...(onlyIfMissing ? { conditions: { ifNoneMatch: "*" } } : {}),
      ...(before !== undefined && ifMatch !== undefined && options.overwrite !== true
        ? { conditions: { ifMatch } }
        : {}),
      ...(azureAccessTier === undefined ? {} : { tier: azureAccessTier }),
      ...(azureBlobTags === undefined ? {} : { tags: azureBlobTags }),
    };
  }
}

/** The key of AZURE_CUSTOMER_PROVIDED_KEY as requests carry it. @throws {CdhError} CDH_CONFIG_INVALID */
function customerProvidedKey({
  azureCustomerProvidedKey: text,
  azureEncryptionScope,
}: StoreSettings): CpkInfo | undefined {
  if (text === undefined) return undefined;
  const bytes = Buffer.from(text, "base64");
  if (bytes.length !== 32)
    throw new CdhError("CDH_CONFIG_INVALID", "AZURE_CUSTOMER_PROVIDED_KEY is not the base64 of 32 bytes");
  if (azureEncryptionScope !== undefined) {
    throw new CdhError("CDH_CONFIG_INVALID", "AZURE_CUSTOMER_PROVIDED_KEY and AZURE_ENCRYPTION_SCOPE are set", {
      hint: "a blob has one or the other",
    });
  }
  return {
    encryptionKey: text,
    encryptionKeySha256: createHash("sha256").update(bytes).digest("base64"),
    encryptionAlgorithm: "AES256",
  };
}

function describe(key: string, shown: ShownBlob): ObjectInfo {
  return {
    key,
    sizeBytes: shown.contentLength ?? 0,
    modifiedAt: shown.lastModified?.getTime() ?? 0,
    metadata: fromAzureMetadata(shown.metadata),
    ...(shown.etag === undefined ? {} : { etag: bareEtag(shown.etag) }),
  };
}
