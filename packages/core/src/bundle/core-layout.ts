/** How a core lies in its bundle: `frames` and `stored` give any range at once, the others only from their start. */
export type CoreLayout = "frames" | "zstd" | "deflate" | "stored" | "gzip" | "lz4";

/** A piece of the core, by its offset in the core. */
export interface CoreChunk {
  offset: number;
  bytes: Buffer;
}

/** Read a core, uncompressed, whatever way it is kept. */
export interface CoreReader {
  readonly layout: CoreLayout;
  /** Name of the entry or the file. */
  readonly name: string;
  /** Uncompressed bytes; undefined until a stream without a table was read to its end. */
  readonly sizeBytes: number | undefined;
  readonly storedBytes: number;
  /**
   * Read at most `length` bytes from `offset`; fewer only at the core's end.
   * @throws {CdhError} CDH_BUNDLE_DATA, CDH_BUNDLE_SIZE when the data does not decode as promised
   */
  read(offset: number, length: number, signal?: AbortSignal): Promise<Buffer>;
  /**
   * Read everything from `from` on, in order, decompressing several pieces at a time. `onStoredBytes` sees what was read
   * for it, in order, seek table included. The bytes of a piece, and what `onStoredBytes` is given, are valid only until
   * the next piece is asked for: their memory is freed then, because waiting for the garbage collector costs a hundred
   * megabytes.
   */
  chunks(options?: {
    from?: number;
    signal?: AbortSignal;
    onStoredBytes?: (bytes: Uint8Array) => void;
  }): AsyncIterable<CoreChunk>;
}
