import { CdhError } from "../../base/errors.ts";
import { checkKey } from "../keys.ts";
import { listByPages } from "../listing.ts";
import { nothing, readBody } from "../read-body.ts";
import { causeOf, type Requests } from "../requests.ts";
import type { ByteRange, ListOptions, ObjectInfo } from "../store.ts";
import { isBeyondEnd, isMissingObject } from "./errors.ts";
import { errorOf, isSuccess, type GcsHttp } from "./http.ts";
import type { GcsTarget } from "./target.ts";

/** What the service shows of an object. */
export interface ShownObject {
  sizeBytes: number;
  /** Epoch milliseconds. */
  modifiedAt: number;
  /** Changes with every replacement. */
  generation: string;
  /** Of the whole object, base64; the service computed it. Absent for composed objects. */
  md5: string | undefined;
  metadata: Record<string, string>;
}

/** What a listing shows; metadata of a thousand objects would be eight megabytes. */
const LISTED_FIELDS = "name,size,updated,generation";
const FIELDS = `${LISTED_FIELDS},md5Hash,metadata`;
/** Most objects in one page of a listing: a page is held in memory whole. */
const PAGE_OBJECTS = 1000;

/** Look at and read the objects of a bucket, below the target's prefix. */
export class GcsBucket {
  readonly requests: Requests;
  readonly http: GcsHttp;
  readonly target: GcsTarget;
  readonly url: string;
  readonly #base: string;

  constructor(http: GcsHttp, target: GcsTarget, options: { requests: Requests; url: string }) {
    this.http = http;
    this.target = target;
    this.requests = options.requests;
    this.url = options.url;
    this.#base = target.prefix === "" ? "" : `${target.prefix}/`;
  }

  /** The object's name in the bucket. @throws {CdhError} CDH_STORE_REFUSED */
  nameOf(key: string): string {
    return `${this.#base}${checkKey(key)}`;
  }

  /** The URL of an object, or of the bucket's objects, in the JSON API. */
  urlOf(key: string | undefined, query: Record<string, string>): string {
    const { bucket, serviceUrl } = this.target;
    const object = key === undefined ? "" : `/${encodeURIComponent(this.nameOf(key))}`;
    return `${serviceUrl}/storage/v1/b/${encodeURIComponent(bucket)}/o${object}?${new URLSearchParams(query).toString()}`;
  }

  /** Look at an object; undefined when there is none. */
  async head(key: string, signal?: AbortSignal): Promise<ShownObject | undefined> {
    const url = this.urlOf(key, { fields: FIELDS });
    try {
      const { value } = await this.requests.send(
        ({ abortSignal }) => this.http.json({ method: "GET", url, abortSignal }),
        {
          what: `look up ${key}`,
          signal,
        },
      );
      const shown = describe(value);
      if (shown !== undefined) return shown;
      throw new CdhError("CDH_STORE", `cannot look up ${key} in ${this.url}: the answer is not Google's`, {
        hint: "is there a proxy or a login page between this node and the store?",
      });
    } catch (error) {
      if (isMissingObject(causeOf(error))) return undefined;
      throw error;
    }
  }

  /** Read an object or a range of it; undefined when there is none. */
  async get(key: string, range?: ByteRange, signal?: AbortSignal): Promise<AsyncIterable<Uint8Array> | undefined> {
    if (range?.length === 0) return (await this.head(key, signal)) === undefined ? undefined : nothing();
    const stop = new AbortController();
    const url = this.urlOf(key, { alt: "media" });
    const headers = { "accept-encoding": "identity", ...(range === undefined ? {} : { range: rangeHeader(range) }) };
    try {
      const answer = await this.requests.send(
        async ({ abortSignal }) => {
          abortSignal.addEventListener("abort", () => stop.abort(abortSignal.reason), { once: true });
          const got = await this.http.send({ method: "GET", url, headers, abortSignal: stop.signal });
          if (!isSuccess(got)) throw await errorOf(got);
          return got;
        },
        { what: `read ${key}`, signal },
      );
      const { timeoutMs } = this.requests;
      const what = `${key} in ${this.url}`;
      return readBody(answer.body, { what, timeoutMs, stop, signal, maxBytes: range?.length });
    } catch (error) {
      const cause = causeOf(error);
      if (isMissingObject(cause)) return undefined;
      if (isBeyondEnd(cause)) return nothing();
      throw error;
    }
  }

  /** List everything below a prefix, in key order. */
  async *list(prefix: string, options: ListOptions): AsyncIterable<ObjectInfo> {
    const { startAfter, signal } = options;
    const fields = `items(${LISTED_FIELDS}),nextPageToken`;
    const first = startAfter === undefined ? {} : { startOffset: `${this.#base}${startAfter}` };
    const asked = { prefix: `${this.#base}${prefix}`, maxResults: String(PAGE_OBJECTS), fields, ...first };
    yield* listByPages(`list ${prefix} in ${this.url}`, async (token) => {
      const url = this.urlOf(undefined, token === undefined ? asked : { ...asked, pageToken: token });
      const { value } = await this.requests.send(
        ({ abortSignal }) => this.http.json({ method: "GET", url, abortSignal }),
        {
          what: `list ${prefix}`,
          signal,
        },
      );
      const { items, nextPageToken: next } = value;
      const shown: unknown[] = Array.isArray(items) ? items : [];
      return {
        objects: shown.flatMap((item) => this.#infoOf(item, startAfter) ?? []),
        isEmpty: shown.length === 0,
        next: typeof next === "string" ? next : undefined,
      };
    });
  }

  /** Read an object of a listing; undefined when it is none that was asked for. */
  #infoOf(item: unknown, startAfter: string | undefined): ObjectInfo | undefined {
    if (typeof item !== "object" || item === null) return undefined;
    const { name } = item as { name?: unknown };
    const shown = describe(item as Record<string, unknown>);
    if (shown === undefined || typeof name !== "string" || !name.startsWith(this.#base)) return undefined;
    const key = name.slice(this.#base.length);
    // A name that ends with a slash is a folder that a console made. The first page begins with the key itself.
    if (key === "" || key.endsWith("/") || key === startAfter) return undefined;
    return { key, sizeBytes: shown.sizeBytes, modifiedAt: shown.modifiedAt, etag: shown.generation };
  }

  /** Delete an object; deleting what is not there succeeds. */
  async delete(key: string, signal?: AbortSignal): Promise<void> {
    const url = this.urlOf(key, {});
    try {
      await this.requests.send(({ abortSignal }) => this.http.done({ method: "DELETE", url, abortSignal }), {
        what: `delete ${key}`,
        signal,
      });
    } catch (error) {
      if (!isMissingObject(causeOf(error))) throw error;
    }
  }
}

/** Read an object's description; undefined when it is none. */
export function describe(value: Record<string, unknown>): ShownObject | undefined {
  const { size, updated, generation, md5Hash, metadata } = value;
  const sizeBytes = Number(size);
  const modifiedAt = typeof updated === "string" ? Date.parse(updated) : Number.NaN;
  if (!Number.isSafeInteger(sizeBytes) || Number.isNaN(modifiedAt) || generation === undefined) return undefined;
  const pairs = typeof metadata === "object" && metadata !== null ? Object.entries(metadata) : [];
  const texts = pairs.filter((pair): pair is [string, string] => typeof pair[1] === "string");
  return {
    sizeBytes,
    modifiedAt,
    generation: String(generation),
    md5: typeof md5Hash === "string" ? md5Hash : undefined,
    metadata: Object.fromEntries(texts.map(([name, text]) => [name.toLowerCase(), text])),
  };
}

function rangeHeader(range: ByteRange): string {
  if (range.offset < 0) return `bytes=${range.offset}`;
  return `bytes=${range.offset}-${range.length === undefined ? "" : range.offset + range.length - 1}`;
}
