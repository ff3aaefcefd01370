import type { FileHandle } from "node:fs/promises";
import type { CoreEntrySums, CoreSink } from "./core-entry.ts";
import { layOutBundle, type CoreLayout, type SmallEntry } from "./writer.ts";

/** Where a bundle is written; offsets and sizes are bytes of the file. Calls reject with the errno error of the file system. */
export interface BundlePlace {
  /** Write all of the bytes. */
  write(bytes: Uint8Array, offset: number): Promise<void>;
  /** Give the file this size. */
  truncate(sizeBytes: number): Promise<void>;
}

/** What stands before the core's bytes, and does not depend on them. */
export interface BundleStart {
  /** Time of all entries. */
  mtime: Date;
  dumpInfo: SmallEntry;
  /** Name and zip method of the core's entry. */
  core: Pick<CoreLayout, "name" | "method">;
}

/** A core whose last byte is known. */
export interface EndedCore {
  /** Bytes of the core's entry that are written. */
  bodyBytes: number;
  /** What ends the entry: a seek table, an end mark, or nothing. */
  trailer: Uint8Array;
  /** Of the entry with its trailer. */
  sums: CoreEntrySums;
}

/** What ends a bundle, ready to be written. */
export interface BundleEnd {
  /** Where it begins, within the core's entry. */
  bodyBytes: number;
  parts: readonly Uint8Array[];
  sizeBytes: number;
}

/**
 * A bundle in a file: a head, the core, a tail. The head is written first, so that the core can follow while it arrives; the
 * tail is laid out once the core's sizes are known, and may be written again with a shorter core or fewer entries.
 */
export class BundleFile implements CoreSink {
  readonly start: BundleStart;
  readonly #place: BundlePlace;
  readonly #head: Buffer;

  private constructor(place: BundlePlace, start: BundleStart, head: Buffer) {
    this.#place = place;
    this.start = start;
    this.#head = head;
  }

  /** Begin a bundle: write its head. */
  static async begin(place: BundlePlace, start: BundleStart): Promise<BundleFile> {
    const file = await BundleFile.resume(place, start);
    await file.writeHead();
    return file;
  }

  /** Go on with a bundle whose head stands in the file already. */
  static async resume(place: BundlePlace, start: BundleStart): Promise<BundleFile> {
    const { head } = await layOutBundle(start.mtime, start.dumpInfo, { ...start.core, ...NO_CORE }, []);
    return new BundleFile(place, start, head);
  }

  /** Bytes before the core's. */
  get headBytes(): number {
    return this.#head.length;
  }

  /** Write the head, over one of the same length. */
  async writeHead(): Promise<void> {
    await this.#place.write(this.#head, 0);
  }

  /** Write bytes of the core's entry. */
  async write(bytes: Uint8Array, offset: number): Promise<void> {
    await this.#place.write(bytes, this.#head.length + offset);
  }

  /** Lay out what ends the bundle: the core's trailer, the other entries in their order, the central directory. */
  async layOutEnd({ bodyBytes, trailer, sums }: EndedCore, entries: readonly SmallEntry[]): Promise<BundleEnd> {
    const { crc32, storedBytes, sizeBytes } = sums;
    const core = { ...this.start.core, crc32, storedBytes, sizeBytes };
    const { tail } = await layOutBundle(this.start.mtime, this.start.dumpInfo, core, entries);
    return { bodyBytes, parts: [trailer, tail], sizeBytes: trailer.length + tail.length };
  }

  /** Write what ends the bundle, and nothing stays behind it. */
  async writeEnd({ bodyBytes, parts }: BundleEnd): Promise<void> {
    let offset = this.#head.length + bodyBytes;
    await this.#place.truncate(offset);
    for (const bytes of parts) {
      await this.#place.write(bytes, offset);
      offset += bytes.length;
    }
  }
}

/** Write a bundle into an open file. */
export function placeInFile(handle: FileHandle): BundlePlace {
  return {
    truncate: (sizeBytes) => handle.truncate(sizeBytes),
    write: async (bytes, offset) => {
      for (let at = 0; at < bytes.length;) {
        const { bytesWritten } = await handle.write(bytes, at, bytes.length - at, offset + at);
        if (bytesWritten === 0) throw Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
        at += bytesWritten;
      }
    },
  };
}

/** The head does not depend on them. */
const NO_CORE = { crc32: 0, storedBytes: 0, sizeBytes: 0 } as const;
