import { CoreHasher } from "./core-hasher.ts";
import { updateCrc32, type FrameCompressor } from "./frame-compressor.ts";
import { encodeSeekTable, FRAME_BYTES, type FrameSize } from "./zstd-frames.ts";

/** Where the pipeline writes the core's entry: positional, so that a failed tail can be written over. */
export interface CoreSink {
  /** Write all of the bytes at this offset of the entry. Rejects with the errno error of the file system. */
  write(bytes: Uint8Array, offset: number): Promise<void>;
}

/** Sizes and sums of the core's entry. */
export interface CoreSummary {
  /** Bytes of core in the entry. */
  sizeBytes: number;
  /** Bytes of the entry, seek table or end mark included. */
  storedBytes: number;
  /** Of the zip entry: over the core or over what is stored, as its method wants it. */
  crc32: number;
  /** SHA-256 of the core, hexadecimal; absent when frames were given up again. */
  sha256?: string;
}

/** Say how much may be worked on at once. */
export interface CorePipelineOptions {
  compressor: FrameCompressor;
  sink: CoreSink;
  /** Frames compressed at the same time. */
  threads: number;
  /** Frames of 1 MiB held in memory, being filled, compressed or written. */
  buffers: number;
}

/** A buffer of {@link FRAME_BYTES} on memory that the hasher's thread can see too. */
export type FrameBuffer = Buffer<SharedArrayBuffer>;

interface Job {
  buffer: FrameBuffer;
  length: number;
  /** Who still reads the buffer: the writer, the hasher. */
  readers: number;
  isZero: boolean;
  result: Promise<Uint8Array> | undefined;
}

const ZEROS = Buffer.alloc(FRAME_BYTES);

/** Small results are collected up to this size before they are written. */
const WRITE_BYTES = 256 * 1024;

/**
 * Turn a core into the entry's bytes: 1 MiB chunks in, compressed in parallel, written in order. Memory is the buffers
 * and what is in flight, whatever the size of the core. A chunk of zeros costs a comparison and a few bytes.
 */
export class CorePipeline {
  readonly #options: CorePipelineOptions;
  readonly #free: FrameBuffer[] = [];
  #allocated = 0;
  #waiting: (() => void) | undefined;
  readonly #jobs: Job[] = [];
  #running = 0;
  #writing: Promise<void> | undefined;
  #failure: unknown;
  #zeroFrame: Promise<Uint8Array> | undefined;
  readonly #storedSizes: number[] = [];
  readonly #coreSizes: number[] = [];
  readonly #crcs: number[] = [];
  #storedBytes = 0;
  #sizeBytes = 0;
  #crc = 0;
  #pending: Uint8Array[] = [];
  #pendingBytes = 0;
  readonly #hasher: CoreHasher;
  #sha256: string | undefined;
  #gaveUpFrames = false;

  constructor(options: CorePipelineOptions) {
    this.#options = options;
    this.#hasher = new CoreHasher(options.buffers);
  }

  /** Bytes of the entry written or about to be. */
  get storedBytes(): number {
    return this.#storedBytes;
  }

  /** Tell what stopped the writing, such as a full disk; undefined while all is well. */
  get failure(): unknown {
    return this.#failure;
  }

  /** Get an empty buffer of {@link FRAME_BYTES}, waiting until one is free. */
  async acquire(): Promise<FrameBuffer> {
    for (;;) {
      const free = this.#free.pop();
      if (free !== undefined) return free;
      if (this.#allocated < this.#options.buffers) {
        this.#allocated += 1;
        return Buffer.from(new SharedArrayBuffer(FRAME_BYTES));
      }
      await new Promise<void>((resolve) => {
        this.#waiting = resolve;
      });
    }
  }

  /** Take a buffer's first `length` bytes as the next chunk of the core. Only the last chunk may be short. */
  submit(buffer: FrameBuffer, length: number): void {
    if (length === 0 || this.#failure !== undefined) {
      this.#release(buffer);
      return;
    }
    const chunk = buffer.subarray(0, length);
    const isZero = length === FRAME_BYTES && chunk.equals(ZEROS);
    const job: Job = { buffer, length, readers: 2, isZero, result: undefined };
    this.#jobs.push(job);
    this.#hasher.add(buffer.buffer, length, () => this.#finishReading(job));
    this.#compressAhead();
    this.#writing ??= this.#writeInOrder().finally(() => {
      this.#writing = undefined;
    });
  }

  /** Give a buffer back unused. */
  discard(buffer: FrameBuffer): void {
    this.#release(buffer);
  }

  /** Wait until every chunk is written and hashed. After a failure the rest is dropped; {@link failure} tells. */
  async settle(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing;
    await this.#guard(() => this.#flush());
    this.#sha256 = await this.#hasher.digest();
  }

  /**
   * Give up the frames that could not be written, and more from the end until the entry has shrunk by so many bytes or
   * is empty: that makes room on a full disk for what ends the bundle. Clears {@link failure}.
   */
  shrinkBy(bytes: number): void {
    const target = Math.max(0, this.#storedBytes - Math.max(bytes, this.#pendingBytes));
    while (this.#storedBytes > target) {
      this.#storedBytes -= this.#storedSizes.pop() ?? 0;
      this.#sizeBytes -= this.#coreSizes.pop() ?? 0;
      this.#crcs.pop();
      this.#gaveUpFrames = true;
    }
    this.#crc = this.#crcs.at(-1) ?? 0;
    this.#pending = [];
    this.#pendingBytes = 0;
    this.#failure = undefined;
  }

  /** Frames in the entry. */
  get frameCount(): number {
    return this.#storedSizes.length;
  }

  /** Make what ends the entry: the seek table of zstd frames, the end mark of deflate, nothing for a plain core. */
  trailer(): Uint8Array {
    if (this.#options.compressor.compression !== "zstd") return this.#options.compressor.trailer;
    const frames: FrameSize[] = this.#storedSizes.map((storedBytes, index) => ({
      storedBytes,
      coreBytes: this.#coreSizes[index] ?? 0,
    }));
    return encodeSeekTable(frames);
  }

  /** Sum up the entry as it will be once the trailer is written at offset {@link bodyBytes}. */
  summarise(trailer: Uint8Array): CoreSummary {
    const overStored = this.#options.compressor.crcOf === "stored";
    return {
      sizeBytes: this.#sizeBytes,
      storedBytes: this.#storedBytes + trailer.length,
      crc32: overStored ? updateCrc32(this.#crc, trailer) : this.#crc,
      ...(this.#gaveUpFrames || this.#sha256 === undefined ? {} : { sha256: this.#sha256 }),
    };
  }

  /** Bytes of the entry before the trailer. */
  get bodyBytes(): number {
    return this.#storedBytes;
  }

  #finishReading(job: Job): void {
    job.readers -= 1;
    if (job.readers === 0) this.#release(job.buffer);
  }

  #release(buffer: FrameBuffer): void {
    this.#free.push(buffer);
    const wake = this.#waiting;
    this.#waiting = undefined;
    wake?.();
  }

  #compressAhead(): void {
    for (const job of this.#jobs) {
      if (this.#running >= this.#options.threads) return;
      if (job.result === undefined) job.result = this.#compress(job);
    }
  }

  #compress(job: Job): Promise<Uint8Array> {
    const { compressor } = this.#options;
    if (job.isZero) {
      this.#zeroFrame ??= compressor.compress(ZEROS);
      return this.#zeroFrame;
    }
    this.#running += 1;
    const result = compressor.compress(job.buffer.subarray(0, job.length)).finally(() => {
      this.#running -= 1;
      this.#compressAhead();
    });
    // The writer awaits results in order; one that fails early must not count as unhandled before its turn.
    result.catch(() => {});
    return result;
  }

  async #writeInOrder(): Promise<void> {
    for (;;) {
      const job = this.#jobs[0];
      if (job === undefined) return;
      this.#compressAhead();
      if (this.#failure === undefined) await this.#guard(() => this.#writeJob(job));
      this.#jobs.shift();
      this.#finishReading(job);
    }
  }

  async #writeJob(job: Job): Promise<void> {
    const stored = await (job.result ?? this.#compress(job));
    const { crcOf, compression } = this.#options.compressor;
    const crc = updateCrc32(this.#crc, crcOf === "stored" ? stored : job.buffer.subarray(0, job.length));
    if (compression === "none") {
      // A hole reads as zeros and takes no room.
      if (!job.isZero) await this.#options.sink.write(stored, this.#storedBytes);
    } else {
      this.#pending.push(stored);
      this.#pendingBytes += stored.length;
    }
    this.#crc = crc;
    this.#crcs.push(crc);
    this.#storedSizes.push(stored.length);
    this.#coreSizes.push(job.length);
    this.#storedBytes += stored.length;
    this.#sizeBytes += job.length;
    if (this.#pendingBytes >= WRITE_BYTES) await this.#flush();
  }

  async #flush(): Promise<void> {
    if (this.#pendingBytes === 0) return;
    const [only] = this.#pending;
    const bytes = this.#pending.length === 1 && only !== undefined ? only : Buffer.concat(this.#pending);
    await this.#options.sink.write(bytes, this.#storedBytes - this.#pendingBytes);
    this.#pending = [];
    this.#pendingBytes = 0;
  }

  async #guard(action: () => Promise<void>): Promise<void> {
    if (this.#failure !== undefined) return;
    try {
      await action();
    } catch (error) {
      this.#failure = error;
      // What is hashed is no longer what is stored.
      this.#gaveUpFrames = true;
    }
  }
}
