import { CdhError } from "../base/errors.ts";

/** Read a bundle's bytes at any offset, wherever they are: a file, an object in a store, memory. */
export interface RandomAccessSource {
  /** Path or URL, for messages. */
  readonly label: string;
  readonly sizeBytes: number;
  /** What reading has cost so far. */
  readonly traffic: { requests: number; bytes: number };
  /**
   * Read exactly `length` bytes from `offset`. They belong to the caller, who may change or free them.
   * @throws {CdhError} CDH_BUNDLE_CUT_SHORT when the source ends before
   */
  read(offset: number, length: number, signal?: AbortSignal): Promise<Buffer>;
  close(): Promise<void>;
}

/** Say that a source ended before the bytes that were promised. */
export function cutShort(label: string, offset: number, missingBytes: number): CdhError {
  return new CdhError(
    "CDH_BUNDLE_CUT_SHORT",
    `cannot read ${label}: it ends at byte ${offset}, ${missingBytes} more were promised`,
    {
      details: { offset, missingBytes },
    },
  );
}
