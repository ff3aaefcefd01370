import {
  StorageResponseFormat,
  type BlobGetPropertiesResponse,
  type BlobItem,
  type BlockBlobClient,
  type ContainerClient,
  type CpkInfo,
} from "@azure/storage-blob";
import { CdhError } from "../../base/errors.ts";
import { bareEtag } from "../etag.ts";
import { checkKey, compareKeys } from "../keys.ts";
import { listByPages } from "../listing.ts";
import { nothing, readBody } from "../read-body.ts";
import { causeOf, type Requests } from "../requests.ts";
import type { ByteRange, ListOptions, ObjectInfo } from "../store.ts";
import { isBeyondEnd, isMissingBlob } from "./errors.ts";
import type { AzureTarget } from "./target.ts";

/** What the service shows of a blob. */
export type ShownBlob = BlobGetPropertiesResponse;

/** Most blobs in one page of a listing: a page is held in memory whole. */
const PAGE_BLOBS = 1000;

/** Look at and read the blobs of a container, below the target's prefix. */
export class AzureContainer {
  readonly requests: Requests;
  readonly url: string;
  readonly #client: ContainerClient;
  readonly #base: string;
  readonly #key: CpkInfo | undefined;

  constructor(
    client: ContainerClient,
    target: AzureTarget,
    options: { requests: Requests; url: string; key: CpkInfo | undefined },
  ) {
    this.#client = client;
    this.#base = target.prefix === "" ? "" : `${target.prefix}/`;
    this.requests = options.requests;
    this.url = options.url;
    this.#key = options.key;
  }

  /**
   * The library's client for one blob.
   * @throws {CdhError} CDH_STORE_REFUSED for a key that Azure keeps under another name: it drops dots at a part's end
   */
  blob(key: string): BlockBlobClient {
    checkKey(key);
    const name = `${this.#base}${key}`;
    const parts = name.split("/");
    if (name.includes("\\") || parts.length > 254 || name.length > 1024 || parts.some((part) => part.endsWith("."))) {
      throw new CdhError("CDH_STORE_REFUSED", `cannot store ${JSON.stringify(key)}: not a usable blob name`, {
        hint: "Azure takes no backslash and no dot at the end of a part; S3_KEY_TEMPLATE and STORE_URL say what a name is made of",
      });
    }
    return this.#client.getBlockBlobClient(name);
  }

  /** What requests for a blob that is encrypted with a key of its own carry. */
  get encryption(): { customerProvidedKey?: CpkInfo } {
    return this.#key === undefined ? {} : { customerProvidedKey: this.#key };
  }

  /** Look at a blob; undefined when there is none. */
  async head(key: string, signal?: AbortSignal): Promise<ShownBlob | undefined> {
    const blob = this.blob(key);
    try {
      const shown = await this.requests.send(
        ({ abortSignal }) => blob.getProperties({ abortSignal, ...this.encryption }),
        { what: `look up ${key}`, signal },
      );
      if (shown.etag !== undefined && shown.contentLength !== undefined) return shown;
      throw new CdhError("CDH_STORE", `cannot look up ${key} in ${this.url}: the answer is not Azure's`, {
        hint: "is there a proxy or a login page between this node and the store?",
      });
    } catch (error) {
      if (isMissingBlob(causeOf(error))) return undefined;
      throw error;
    }
  }

  /** Read a blob or a range of it; undefined when there is none. */
  async get(key: string, range?: ByteRange, signal?: AbortSignal): Promise<AsyncIterable<Uint8Array> | undefined> {
    const blob = this.blob(key);
    const length = range?.length;
    let offset = range?.offset ?? 0;
    let etag: string | undefined;
    // Azure knows no range that counts from the end.
    if (offset < 0 || length === 0) {
      const shown = await this.head(key, signal);
      if (shown === undefined) return undefined;
      if (length === 0) return nothing();
      etag = shown.etag;
      offset = Math.max(0, (shown.contentLength ?? 0) + offset);
    }
    const stop = new AbortController();
    try {
      const answer = await this.requests.send(
        ({ abortSignal }) => {
          abortSignal.addEventListener("abort", () => stop.abort(abortSignal.reason), { once: true });
          return blob.download(offset, length, {
            abortSignal: stop.signal,
            maxRetryRequests: 0,
            ...this.encryption,
            ...(etag === undefined ? {} : { conditions: { ifMatch: etag } }),
          });
        },
        { what: `read ${key}`, signal },
      );
      if (answer.readableStreamBody === undefined) return nothing();
      const { timeoutMs } = this.requests;
      return readBody(answer.readableStreamBody, {
        what: `${key} in ${this.url}`,
        timeoutMs,
        stop,
        signal,
        maxBytes: length,
      });
    } catch (error) {
      const cause = causeOf(error);
      if (isMissingBlob(cause)) return undefined;
      if (isBeyondEnd(cause)) return nothing();
      throw error;
    }
  }

  /** List everything below a prefix, in key order. */
  async *list(prefix: string, options: ListOptions): AsyncIterable<ObjectInfo> {
    yield* listByPages(`list ${prefix} in ${this.url}`, async (token) => {
      const pages = this.#client
        .listBlobsFlat({ prefix: `${this.#base}${prefix}`, responseFormat: StorageResponseFormat.Xml })
        .byPage({ maxPageSize: PAGE_BLOBS, ...(token === undefined ? {} : { continuationToken: token }) });
      const page = await this.requests.send(async () => (await pages.next()).value, {
        what: `list ${prefix}`,
        signal: options.signal,
      });
      const shown = page?.segment.blobItems ?? [];
      return {
        objects: shown.flatMap((item: BlobItem) => this.#infoOf(item, options.startAfter) ?? []),
        isEmpty: shown.length === 0,
        next: page?.continuationToken,
      };
    });
  }

  /** Read a blob of a listing; undefined when it is none that was asked for. */
  #infoOf({ name, properties }: BlobItem, startAfter: string | undefined): ObjectInfo | undefined {
    const key = name.slice(this.#base.length);
    if (!name.startsWith(this.#base) || key === "" || key.endsWith("/")) return undefined;
    // The service begins every listing at its start.
    if (startAfter !== undefined && compareKeys(key, startAfter) <= 0) return undefined;
    return {
      key,
      sizeBytes: properties.contentLength ?? 0,
      modifiedAt: properties.lastModified.getTime(),
      ...(properties.etag === undefined ? {} : { etag: bareEtag(properties.etag) }),
    };
  }

  /** Delete a blob; deleting what is not there succeeds. */
  async delete(key: string, signal?: AbortSignal): Promise<void> {
    const blob = this.blob(key);
    try {
      await this.requests.send(({ abortSignal }) => blob.delete({ abortSignal, deleteSnapshots: "include" }), {
        what: `delete ${key}`,
        signal,
      });
    } catch (error) {
      if (!isMissingBlob(causeOf(error))) throw error;
    }
  }
}
