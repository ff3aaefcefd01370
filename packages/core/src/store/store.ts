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

/** Say what to store. The file is read in parts, never whole, and must not change meanwhile. */
export interface PutSource {
  path: string;
  sizeBytes: number;
}

/** Say how to store it. */
export interface PutOptions {
  contentType?: string;
  metadata?: Record<string, string>;
  /** Lower-case hexadecimal; the store verifies what arrived against it as strongly as it can. */
  sha256?: string;
  signal?: AbortSignal;
  /** Called with the bytes sent so far. */
  onProgress?: (sentBytes: number) => void;
}

/** Ask for part of an object: `length` bytes from `offset`; a negative offset counts from the end. */
export interface ByteRange {
  offset: number;
  length?: number;
}

/**
 * Keep objects: an S3-compatible bucket or a directory. Both pass the same contract suite (`testing/store-contract.ts`).
 * Every failure is a CdhError of the CDH_STORE family; a missing object is `undefined`, never an error.
 */
export interface ObjectStore {
  /** `s3://bucket/prefix` or `file:///directory`, for messages. */
  readonly url: string;
  /** Store a file under a key and verify it there; a reader never sees half of it. */
  putFile(key: string, source: PutSource, options?: PutOptions): Promise<ObjectInfo>;
  /** Store a small body under a key. */
  putBytes(key: string, body: Uint8Array, options?: PutOptions): Promise<ObjectInfo>;
  head(key: string, signal?: AbortSignal): Promise<ObjectInfo | undefined>;
  /** Read an object or a range of it. */
  get(key: string, range?: ByteRange, signal?: AbortSignal): Promise<AsyncIterable<Uint8Array> | undefined>;
  /** List everything below a prefix, in key order. */
  list(prefix: string, signal?: AbortSignal): AsyncIterable<ObjectInfo>;
  delete(key: string, signal?: AbortSignal): Promise<void>;
  close(): Promise<void>;
}
