import { CdhError } from "../errors.ts";
import type { Manifest } from "./manifest.ts";
import { framedCore } from "./core-reader-frames.ts";
import { sequentialCore, storedCore } from "./core-reader-plain.ts";
import { isCoreName } from "./reader-directory.ts";
import type { Bundle, BundleEntry } from "./reader.ts";

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

/** Find the core's entry: the manifest names it, else its name tells. */
export function findCoreEntry(bundle: Bundle, manifest?: Manifest): BundleEntry | undefined {
  const named = manifest === undefined ? undefined : bundle.find(manifest.core.entry);
  return named ?? bundle.findRole("core") ?? bundle.entries.find((entry) => isCoreName(entry.name));
}

/**
 * Open the core of a bundle for random access.
 * @throws {CdhError} CDH_BUNDLE_NO_CORE, CDH_BUNDLE_SEEK_TABLE
 */
export async function openCore(bundle: Bundle, manifest?: Manifest): Promise<CoreReader> {
  const entry = findCoreEntry(bundle, manifest);
  if (entry === undefined)
    throw new CdhError("CDH_BUNDLE_NO_CORE", `cannot read ${bundle.source.label}: it holds no core`);
  if (entry.method === "deflate") {
    const expectsZstd = entry.name.endsWith(".zst");
    if (expectsZstd)
      throw new CdhError(
        "CDH_BUNDLE_METHOD",
        `cannot read ${JSON.stringify(entry.name)}: zstd frames must be stored, not deflated`,
      );
    return sequentialCore({
      layout: "deflate",
      name: entry.name,
      storedBytes: entry.storedBytes,
      sizeBytes: entry.sizeBytes,
      open: (signal) => bundle.stream(entry, signal === undefined ? {} : { signal }),
    });
  }
  const stored = {
    name: entry.name,
    label: bundle.source.label,
    sizeBytes: entry.storedBytes,
    read: (offset: number, length: number, signal?: AbortSignal) => bundle.readStored(entry, offset, length, signal),
  };
  return entry.name.endsWith(".zst") ? framedCore(stored) : storedCore(stored);
}
