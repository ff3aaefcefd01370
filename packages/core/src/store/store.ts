/** Describe an object in the store. Keys use `/` and never start with one. */
export interface ObjectInfo {
  key: string;
  sizeBytes: number;
  /** Epoch milliseconds. */
  modifiedAt: number;
  /** Lower-case user metadata (`cdh-sha256` …); listings do not carry it. */
  metadata?: Record<string, string>;
  etag?: string;
}

/** Name what proved that the stored object is what was sent, strongest first. */
export type VerifiedBy = "readBack" | "checksum" | "etag";

/** Tell what a put did. */
export interface PutResult extends ObjectInfo {
  /** The same content lay there before; nothing was sent. */
  alreadyThere: boolean;
  verifiedBy: VerifiedBy;
  /** SHA-256 of the content, lower-case hexadecimal; also the metadata `cdh-sha256`. */
  sha256: string;
}

/** Say what to store. The file is read in parts, never whole, and must not change meanwhile. */
export interface PutSource {
  path: string;
  sizeBytes: number;
}

/** Say how to store it. */
export interface PutOptions {
  contentType?: string;
  /** User metadata: lower-case keys; values may hold any text. `cdh-sha256` is added by the store. */
  metadata?: Record<string, string>;
  /** Replace what lies there; default false, which refuses other content with CDH_STORE_CONFLICT. */
  overwrite?: boolean;
  signal?: AbortSignal;
  /** Called with the bytes sent so far; may go back when a part is sent again. */
  onProgress?: (sentBytes: number) => void;
}

/** Ask for part of an object: `length` bytes from `offset`; a negative offset counts from the end. */
export interface ByteRange {
  offset: number;
  length?: number;
  /** Largest piece that a directory store hands out at once, in bytes; default 1 MiB. */
  chunkBytes?: number;
}

/** Say what a presigned link gives. */
export interface PresignOptions {
  lifetimeSeconds: number;
  /** File name that a browser saves it under. */
  fileName: string;
}

/** Say which part of a listing is wanted. */
export interface ListOptions {
  /** Only keys after this one, in key order. */
  startAfter?: string;
  signal?: AbortSignal;
}

/** How one right went that only interrupted uploads need. */
export interface CheckedRight {
  step: "list uploads" | "list parts" | "abort upload";
  /** As the store's policies name it. */
  right: string;
  /** What happens without it. */
  without: string;
  detail?: string;
  /** Why it failed; absent: it went well. */
  error?: unknown;
}

/** What a look at the settings of a bucket found about who else may read its objects. */
export interface CheckedAccess {
  /** `unknown`: the identity may not look, or the store does not say. */
  result: "ok" | "warning" | "unknown";
  /** The right that looking needs. */
  right: string;
  detail: string;
  hint?: string;
}

/**
 * Keep objects: an S3-compatible bucket or a directory. Both pass the same contract suite (`testing/store-contract.ts`).
 * Every failure is a CdhError of the CDH_STORE family; a missing object is `undefined`, never an error.
 */
export interface ObjectStore {
  /** `s3://bucket/prefix` or `file:///directory`, for messages. */
  readonly url: string;
  /**
   * Store a file under a key and verify there that every byte arrived; a reader never sees half of it.
   * @throws {CdhError} CDH_STORE_CONFLICT when other content lies there; CDH_STORE_MISMATCH when what arrived is not what was sent
   */
  putFile(key: string, source: PutSource, options?: PutOptions): Promise<PutResult>;
  /** Store a small body under a key, like {@link putFile}. */
  putBytes(key: string, body: Uint8Array, options?: PutOptions): Promise<PutResult>;
  head(key: string, signal?: AbortSignal): Promise<ObjectInfo | undefined>;
  /** Read an object or a range of it, chunk by chunk, and never more. A range past the end gives what there is. */
  get(key: string, range?: ByteRange, signal?: AbortSignal): Promise<AsyncIterable<Uint8Array> | undefined>;
  /** List everything whose key starts with the prefix, in key order (UTF-8 bytes). */
  list(prefix: string, options?: ListOptions): AsyncIterable<ObjectInfo>;
  /** Delete an object; deleting what is not there succeeds. */
  delete(key: string, signal?: AbortSignal): Promise<void>;
  /** Make a URL that reads an object without credentials for a while. A store that cannot has no such method. */
  presign?(key: string, options: PresignOptions): Promise<string>;
  /** What the store's policies call the rights, for messages; absent where it has no rights of its own. */
  readonly rights?: Readonly<Record<"write" | "read" | "list" | "delete", string>> | undefined;
  /** The cloud's own role that holds all of these rights, and where it is given; absent where there is none. */
  readonly role?: string | undefined;
  /** Whether the store itself refuses to replace an object; undefined while that is not known. Absent: it does. */
  readonly refusesToReplace?: boolean | undefined;
  /**
   * Try what only interrupted uploads need, with one that is begun under the key and aborted.
   * @throws {CdhError} when none can be begun
   */
  checkUploads?(key: string, signal?: AbortSignal): AsyncIterable<CheckedRight>;
  /** Look at who else may read the objects, where the store has settings for that. @throws the signal's reason only */
  checkAccess?(signal?: AbortSignal): Promise<CheckedAccess | undefined>;
  close(): Promise<void>;
}
