import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  type _Object as ListedObject,
  type HeadObjectCommandOutput,
} from "@aws-sdk/client-s3";
import { CdhError } from "../../base/errors.ts";
import { bareEtag } from "../etag.ts";
import { checkKey } from "../keys.ts";
import { listByPages } from "../listing.ts";
import { nothing, readBody } from "../read-body.ts";
import { causeOf } from "../requests.ts";
import type { ByteRange, ListOptions, ObjectInfo } from "../store.ts";
import { isMissingObject, readServiceError } from "./errors.ts";
import type { S3Requests } from "./request.ts";
import type { S3Target } from "./target.ts";

/** What HEAD shows of an object. */
export type ShownObject = HeadObjectCommandOutput;

/** Look at and read the objects of a bucket, below the target's prefix. */
export class S3Bucket {
  readonly requests: S3Requests;
  readonly target: S3Target;
  readonly url: string;
  /** Ask for the checksums that the server keeps. */
  showChecksums: boolean;

  constructor(requests: S3Requests, target: S3Target, options: { url: string; checksums: boolean }) {
    this.requests = requests;
    this.target = target;
    this.url = options.url;
    this.showChecksums = options.checksums;
  }

  /** The key with the prefix. @throws {CdhError} CDH_STORE_REFUSED */
  fullKey(key: string): string {
    checkKey(key);
    return this.target.prefix === "" ? key : `${this.target.prefix}/${key}`;
  }

  /** What every command about an object needs. */
  object(key: string): { Bucket: string; Key: string } {
    return { Bucket: this.target.bucket, Key: this.fullKey(key) };
  }

  /** Look at an object; undefined when there is none. */
  async head(key: string, signal?: AbortSignal): Promise<ShownObject | undefined> {
    try {
      return await this.#head(key, signal);
    } catch (error) {
      // An answer to HEAD has no body that could say what was wrong with the request; a listing's may name the region.
      if (!(error instanceof CdhError) || error.details["httpStatus"] !== 400) throw error;
      const wrong = await this.#whyDenied(signal);
      if (wrong !== undefined) throw wrong;
      return await this.#head(key, signal);
    }
  }

  async #head(key: string, signal?: AbortSignal): Promise<ShownObject | undefined> {
    const object = this.object(key);
    const checksum = this.showChecksums ? ({ ChecksumMode: "ENABLED" } as const) : {};
    try {
      const output = await this.requests.send(
        ({ client, abortSignal }) => client.send(new HeadObjectCommand({ ...object, ...checksum }), { abortSignal }),
        { what: `look up ${key}`, signal },
      );
      const { ETag, LastModified, ContentLength } = output;
      if (ETag !== undefined && LastModified !== undefined && ContentLength !== undefined) return output;
      throw new CdhError("CDH_STORE", `cannot look up ${key} in ${this.url}: the answer is not S3's`, {
        hint: "is there a proxy or a login page between this node and the store?",
      });
    } catch (error) {
      if (isMissingObject(causeOf(error))) return undefined;
      throw error;
    }
  }

  /** Look what lies under a key. A role that may not list is told "denied" for what is missing; then the put decides. */
  async lookUp(key: string, signal?: AbortSignal): Promise<ShownObject | undefined> {
    try {
      return await this.head(key, signal);
    } catch (error) {
      if (!(error instanceof CdhError) || error.details["httpStatus"] !== 403) throw error;
      const wrong = await this.#whyDenied(signal);
      if (wrong !== undefined) throw wrong;
      return undefined;
    }
  }

  /** Read an object or a range of it; undefined when there is none. */
  async get(key: string, range?: ByteRange, signal?: AbortSignal): Promise<AsyncIterable<Uint8Array> | undefined> {
    if (range?.length === 0) return (await this.head(key, signal)) === undefined ? undefined : nothing();
    const stop = new AbortController();
    const input = { ...this.object(key), ...(range === undefined ? {} : { Range: rangeHeader(range) }) };
    try {
      const output = await this.requests.send(
        ({ client, abortSignal }) => {
          abortSignal.addEventListener("abort", () => stop.abort(abortSignal.reason), { once: true });
          return client.send(new GetObjectCommand(input), { abortSignal: stop.signal });
        },
        { what: `read ${key}`, signal },
      );
      if (output.Body === undefined) return nothing();
      const { timeoutMs } = this.requests;
      return readBody(output.Body as AsyncIterable<Uint8Array>, {
        what: `${key} in ${this.url}`,
        timeoutMs,
        stop,
        signal,
        maxBytes: range?.length,
      });
    } catch (error) {
      const cause = causeOf(error);
      if (isMissingObject(cause)) return undefined;
      // The range begins past the end.
      if (readServiceError(cause).httpStatus === 416) return nothing();
      throw error;
    }
  }

  /** List everything below a prefix, in key order. */
  async *list(prefix: string, options: ListOptions): AsyncIterable<ObjectInfo> {
    const base = this.target.prefix === "" ? "" : `${this.target.prefix}/`;
    const first = options.startAfter === undefined ? {} : { StartAfter: `${base}${options.startAfter}` };
    yield* listByPages(`list ${prefix} in ${this.url}`, async (token) => {
      const from = token === undefined ? first : { ContinuationToken: token };
      const input = { Bucket: this.target.bucket, Prefix: `${base}${prefix}`, ...from };
      const output = await this.requests.send(
        ({ client, abortSignal }) => client.send(new ListObjectsV2Command(input), { abortSignal }),
        { what: `list ${prefix}`, signal: options.signal },
      );
      const shown = output.Contents ?? [];
      return {
        objects: shown.flatMap((object) => infoOf(object, base) ?? []),
        isEmpty: shown.length === 0,
        next: output.IsTruncated === true ? output.NextContinuationToken : undefined,
      };
    });
  }

  /** Delete an object; deleting what is not there succeeds. */
  async delete(key: string, signal?: AbortSignal): Promise<void> {
    const object = this.object(key);
    await this.requests.send(
      ({ client, abortSignal }) => client.send(new DeleteObjectCommand(object), { abortSignal }),
      { what: `delete ${key}`, signal },
    );
  }

  /** An answer to HEAD has no body, so it cannot say why; a listing can. Undefined when it is only the right to list. */
  async #whyDenied(signal: AbortSignal | undefined): Promise<unknown> {
    try {
      const input = { Bucket: this.target.bucket, Prefix: this.target.prefix, MaxKeys: 1 };
      await this.requests.send(
        ({ client, abortSignal }) => client.send(new ListObjectsV2Command(input), { abortSignal }),
        { what: "use the bucket", signal },
      );
      return undefined;
    } catch (error) {
      return error instanceof CdhError && error.details["s3Code"] === "AccessDenied" ? undefined : error;
    }
  }
}

function rangeHeader(range: ByteRange): string {
  if (range.offset < 0) return `bytes=${range.offset}`;
  return `bytes=${range.offset}-${range.length === undefined ? "" : range.offset + range.length - 1}`;
}

/** Read an object of a listing; undefined when it is none of ours: a key that ends with a slash is a folder that a console made. */
function infoOf({ Key, Size, LastModified, ETag }: ListedObject, base: string): ObjectInfo | undefined {
  if (Key === undefined || Key.endsWith("/") || !Key.startsWith(base)) return undefined;
  return {
    key: Key.slice(base.length),
    sizeBytes: Size ?? 0,
    modifiedAt: LastModified?.getTime() ?? 0,
    ...(ETag === undefined ? {} : { etag: bareEtag(ETag) }),
  };
}
