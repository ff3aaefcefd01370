import type { CompressedFrame } from "./compressor-lane.ts";
import { updateCrc32, type FrameCompressor } from "./frame-compressor.ts";
import { encodeSeekTable, FRAME_BYTES, type FrameSize } from "./zstd-frames.ts";

/** Where the core's entry is written: positional, so that a failed tail can be written over. */
export interface CoreSink {
  /** Write all of the bytes at this offset of the entry. Rejects with the errno error of the file system. */
  write(bytes: Uint8Array, offset: number): Promise<void>;
}

/** Sizes and sum of the core's entry. */
export interface CoreEntrySums {
  /** Bytes of core in the entry. */
  sizeBytes: number;
  /** Bytes of the entry, seek table or end mark included. */
  storedBytes: number;
  /** Of the zip entry: over the core or over what is stored, as its method wants it. */
  crc32: number;
}

/** A frame of the entry, where it lies in it. */
export interface EntryFrame {
  /** Bytes from the entry's start. */
  offset: number;
  storedBytes: number;
  coreBytes: number;
  kind: FrameKind;
}

/** What a frame holds: nothing but zeros, the core as it is (a stored frame), or the core compressed. */
export type FrameKind = "zero" | "stored" | "packed";

/** Small results are collected up to this size before they are written. */
const WRITE_BYTES = 256 * 1024;

/** The core's entry while it grows: frames are put at its end in order, and can be given up from there. */
export class CoreEntry {
  readonly #sink: CoreSink;
  readonly #compressor: FrameCompressor;
  readonly #storedSizes: number[] = [];
  readonly #coreSizes: number[] = [];
  readonly #crcs: number[] = [];
  readonly #kinds: FrameKind[] = [];
  #isSummed = true;
  #storedBytes = 0;
  #sizeBytes = 0;
  #pending: Buffer | undefined;
  #pendingBytes = 0;

  constructor(sink: CoreSink, compressor: FrameCompressor) {
    this.#sink = sink;
    this.#compressor = compressor;
  }

  /** Bytes of the entry written or about to be, before the trailer. */
  get storedBytes(): number {
    return this.#storedBytes;
  }

  /** Frames in the entry. */
  get frameCount(): number {
    return this.#storedSizes.length;
  }

  /** List the frames in their order. */
  *frames(): Generator<EntryFrame> {
    let offset = 0;
    for (const [index, storedBytes] of this.#storedSizes.entries()) {
      yield { offset, storedBytes, coreBytes: this.#coreSizes[index] ?? 0, kind: this.#kinds[index] ?? "packed" };
      offset += storedBytes;
    }
  }

  /** Leave the sums out from now on: they are made from what was written, see {@link setSums}. */
  leaveSumsOut(): void {
    this.#isSummed = false;
  }

  /** Set the sum after each frame; as many as there are frames. */
  setSums(crcs: readonly number[]): void {
    for (const [index, crc] of crcs.entries()) this.#crcs[index] = crc;
    this.#isSummed = true;
  }

  /** Put a frame at the end: `core` is what it was made of. */
  async append(frame: CompressedFrame, core: Uint8Array, kind: FrameKind): Promise<void> {
    const { bytes } = frame;
    const { crcOf, compression } = this.#compressor;
    const crc = this.#isSummed ? updateCrc32(this.#crc, crcOf === "stored" ? bytes : core) : 0;
    const isZero = kind === "zero";
    if (compression === "none") {
      // A hole reads as zeros and takes no room.
      if (!isZero) await this.#sink.write(bytes, this.#storedBytes);
    } else if (this.#pendingBytes === 0 && bytes.length >= WRITE_BYTES) {
      await this.#sink.write(bytes, this.#storedBytes);
    } else {
      this.#pending ??= Buffer.allocUnsafeSlow(WRITE_BYTES + 2 * FRAME_BYTES);
      this.#pending.set(bytes, this.#pendingBytes);
      this.#pendingBytes += bytes.length;
    }
    this.#crcs.push(crc);
    this.#kinds.push(kind);
    this.#storedSizes.push(bytes.length);
    this.#coreSizes.push(core.length);
    this.#storedBytes += bytes.length;
    this.#sizeBytes += core.length;
    if (this.#pendingBytes >= WRITE_BYTES) await this.flush();
  }

  /** Write what was collected. */
  async flush(): Promise<void> {
    if (this.#pending === undefined || this.#pendingBytes === 0) return;
    const bytes = this.#pending.subarray(0, this.#pendingBytes);
    await this.#sink.write(bytes, this.#storedBytes - this.#pendingBytes);
    this.#pendingBytes = 0;
  }

  /**
   * Give up what was not written, and frames from the end until the entry has shrunk by so many bytes or is empty. Tells
   * whether that took a frame.
   */
  shrinkBy(bytes: number): boolean {
    const frames = this.frameCount;
    const target = Math.max(0, this.#storedBytes - Math.max(bytes, this.#pendingBytes));
    while (this.#storedBytes > target) {
      this.#storedBytes -= this.#storedSizes.pop() ?? 0;
      this.#sizeBytes -= this.#coreSizes.pop() ?? 0;
      this.#crcs.pop();
      this.#kinds.pop();
    }
    this.#pendingBytes = 0;
    return this.frameCount < frames;
  }

  /** Make what ends the entry: the seek table of zstd frames, the end mark of deflate, nothing for a plain core. */
  trailer(): Uint8Array {
    if (this.#compressor.compression !== "zstd") return this.#compressor.trailer;
    const frames: FrameSize[] = this.#storedSizes.map((storedBytes, index) => ({
      storedBytes,
      coreBytes: this.#coreSizes[index] ?? 0,
    }));
    return encodeSeekTable(frames);
  }

  /** Sum up the entry as it will be once the trailer is written at offset {@link storedBytes}. */
  summarise(trailer: Uint8Array): CoreEntrySums {
    return {
      sizeBytes: this.#sizeBytes,
      storedBytes: this.#storedBytes + trailer.length,
      crc32: this.#compressor.crcOf === "stored" ? updateCrc32(this.#crc, trailer) : this.#crc,
    };
  }

  get #crc(): number {
    return this.#crcs.at(-1) ?? 0;
  }
}
