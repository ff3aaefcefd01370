import { ZipFile } from "yazl";
import { libraryField } from "../base/library-field.ts";

/** A small entry of a bundle: everything but the core. */
export interface SmallEntry {
  name: string;
  bytes: Uint8Array;
}

/** The core's entry, whose bytes the caller writes itself between head and tail. */
export interface CoreLayout {
  name: string;
  /** `stored` for zstd frames and plain cores, `deflate` for a raw deflate stream. */
  method: "stored" | "deflate";
  crc32: number;
  storedBytes: number;
  sizeBytes: number;
}

/** What surrounds the core's bytes in the file. */
export interface BundleLayout {
  /** Everything before the core's bytes. It does not depend on the core's sizes or CRC, so it can be written first. */
  head: Buffer;
  /** Everything after them: data descriptor, the other entries, central directory. */
  tail: Buffer;
}

/** Entries are read-only files, as in IBM's bundles. */
const ENTRY_MODE = 0o100444;

/** Below this, deflate saves less than it costs. */
const COMPRESS_FROM_BYTES = 512;

/**
 * Lay out a bundle around a core: `first`, the core, `rest`. The core's bytes never pass through here, so the layout
 * can be made again with a shorter core or fewer entries when the disk runs full.
 * Sizes and CRC of the core stand in its data descriptor and in the central directory; zip64 where needed.
 * @see APPNOTE.TXT 4.3.9 (data descriptor), 4.5.3 (zip64)
 */
export async function layOutBundle(
  mtime: Date,
  first: SmallEntry,
  core: CoreLayout,
  rest: readonly SmallEntry[],
): Promise<BundleLayout> {
  const zip = new ZipFile() as unknown as OpenZipFile;
  const failed = new Promise<never>((_resolve, reject) => zip.on("error", reject));
  const output = new Collector();
  zip.outputStream = output;
  const options = { mtime, mode: ENTRY_MODE };
  zip.addBuffer(viewOf(first.bytes), first.name, { ...options, compress: false });
  const head = await Promise.race([failed, addCore(zip, output, core, options)]);
  for (const entry of rest) {
    zip.addBuffer(viewOf(entry.bytes), entry.name, {
      ...options,
      compress: entry.bytes.length >= COMPRESS_FROM_BYTES,
    });
  }
  zip.end();
  return { head, tail: await Promise.race([failed, output.ended]) };
}

/** The bytes themselves, not a copy: a megabyte of log is in memory once. */
function viewOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** yazl's own state for an entry, as far as it is needed to let the core pass by. */
interface OpenEntry {
  state: number;
  crc32: number;
  compressedSize: number;
  uncompressedSize: number;
  getDataDescriptor(): Buffer;
}

/** yazl's ZipFile with the members that its type declarations leave out. */
interface OpenZipFile extends Pick<ZipFile, "addBuffer" | "addReadStreamLazy" | "end"> {
  outputStream: Collector;
  outputStreamCursor: number;
  entries: OpenEntry[];
  on(event: "error", listener: (error: Error) => void): void;
}

/** yazl's Entry.FILE_DATA_IN_PROGRESS and FILE_DATA_DONE. */
const FILE_DATA_IN_PROGRESS = 2;
const FILE_DATA_DONE = 3;

/**
 * Take what yazl writes. Its own PassThrough gives a first part at once in Node, but only the first write of it in Bun,
 * and the head must be whole.
 */
class Collector {
  readonly ended: Promise<Buffer>;
  #chunks: Uint8Array[] = [];
  #resolve: (bytes: Buffer) => void = () => {};

  constructor() {
    this.ended = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  write(chunk: Uint8Array): void {
    this.#chunks.push(chunk);
  }

  end(): void {
    this.#resolve(this.take());
  }

  /** Everything that was written since the last time. */
  take(): Buffer {
    const bytes = Buffer.concat(this.#chunks);
    this.#chunks = [];
    return bytes;
  }
}

interface EntryOptions {
  mtime: Date;
  mode: number;
}

/**
 * Add the core's entry without its bytes. yazl would push them through one thread and a CRC in JavaScript; here the
 * caller has compressed them in parallel already. yazl asks for the data once the local header is written: at that
 * moment everything so far is the head, and the entry is told what it will have been.
 */
function addCore(zip: OpenZipFile, output: Collector, core: CoreLayout, options: EntryOptions): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    zip.addReadStreamLazy(core.name, { ...options, compress: core.method === "deflate" }, () => {
      try {
        const head = output.take();
        passBy(zip, openEntryOf(zip, head.length), output, core);
        resolve(head);
      } catch (error) {
        // yazl calls back from a turn of its own, where nobody would catch it.
        reject(error);
      }
    });
  });
}

/** Tell the entry what it will have been, and go on behind it. */
function passBy(zip: OpenZipFile, entry: OpenEntry, output: Collector, core: CoreLayout): void {
  entry.crc32 = core.crc32;
  entry.compressedSize = core.storedBytes;
  // A stored entry has one size: to a zip reader, zstd frames are the file itself, not a way to pack it.
  entry.uncompressedSize = core.method === "deflate" ? core.sizeBytes : core.storedBytes;
  zip.outputStreamCursor += core.storedBytes;
  const descriptor = entry.getDataDescriptor();
  output.write(descriptor);
  zip.outputStreamCursor += descriptor.length;
  entry.state = FILE_DATA_DONE;
}

/**
 * Take the entry whose data yazl waits for.
 * @throws {Error} when yazl keeps its state in another way than the pinned version: the bundle would be damaged
 */
function openEntryOf(zip: OpenZipFile, headBytes: number): OpenEntry {
  const entries = libraryField(zip, "entries", "object", "yazl's ZipFile") as readonly OpenEntry[];
  const cursor = libraryField(zip, "outputStreamCursor", "number", "yazl's ZipFile");
  const entry = entries.at(-1);
  if (entry === undefined) throw new Error("yazl lost the core's entry");
  const state = libraryField(entry, "state", "number", "yazl's Entry");
  libraryField(entry, "getDataDescriptor", "function", "yazl's Entry");
  for (const field of ["crc32", "compressedSize", "uncompressedSize"])
    if (!(field in entry)) throw new Error(`yazl's Entry has no ${field} any more`);
  if (cursor !== headBytes) throw new Error(`yazl's ZipFile.outputStreamCursor is ${cursor} after ${headBytes} bytes`);
  if (state !== FILE_DATA_IN_PROGRESS) throw new Error(`yazl's Entry.state is ${state} while it waits for data`);
  return entry;
}
