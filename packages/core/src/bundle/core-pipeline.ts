import type { CompressedFrame } from "./compressor-lane.ts";
import { CoreEntry, type CoreEntrySums, type CoreSink } from "./core-entry.ts";
import { CoreHasher } from "./core-hasher.ts";
import type { FrameCompressor } from "./frame-compressor.ts";
import { FRAME_BYTES } from "./zstd-frames.ts";

export type { CoreSink } from "./core-entry.ts";

/** Sizes and sums of the core's entry. */
export interface CoreSummary extends CoreEntrySums {
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
  /**
   * Compress nothing before so many frames have come, or all of them: a small core is out of the kernel sooner when
   * nothing competes with its reading. Fewer than `buffers`. Default 0.
   */
  holdBack?: number;
}

/** A buffer of {@link FRAME_BYTES} on memory that the hasher's thread can see too. */
export type FrameBuffer = Buffer<SharedArrayBuffer>;

interface Job {
  buffer: FrameBuffer;
  length: number;
  /** Who still reads the buffer: the writer, the hasher. */
  readers: number;
  isZero: boolean;
  result: Promise<CompressedFrame> | undefined;
}

const ZEROS = Buffer.alloc(FRAME_BYTES);

/** Compressed frames that may wait for their turn to be written, beside those that are being compressed. */
const FRAMES_WAITING = 2;

/** Frames in line, those of zeros included, which hold no buffer: on a slow disk even they must not pile up. */
const JOBS_MAX = 1024;

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
  /** Frames being compressed. */
  #running = 0;
  /** Frames being compressed or waiting to be written. */
  #unwritten = 0;
  #isHeldBack: boolean;
  #writing: Promise<void> | undefined;
  #failure: unknown;
  #zeroFrame: Promise<CompressedFrame> | undefined;
  readonly #entry: CoreEntry;
  readonly #hasher: CoreHasher;
  #sha256: string | undefined;
  #gaveUpFrames = false;
  #isGivenUp = false;

  constructor(options: CorePipelineOptions) {
    this.#options = options;
    this.#entry = new CoreEntry(options.sink, options.compressor);
    this.#hasher = new CoreHasher(options.buffers);
    this.#isHeldBack = (options.holdBack ?? 0) > 0;
  }

  /** Bytes of the entry written or about to be. */
  get storedBytes(): number {
    return this.#entry.storedBytes;
  }

  /** Tell what stopped the writing, such as a full disk; undefined while all is well. */
  get failure(): unknown {
    return this.#failure;
  }

  /** Tell whether frames are being compressed or wait to be written: their results come by the event loop. */
  get isBusy(): boolean {
    return this.#unwritten > 0;
  }

  /** Get an empty buffer of {@link FRAME_BYTES}, waiting until one is free. */
  async acquire(): Promise<FrameBuffer> {
    for (;;) {
      if (this.#jobs.length < JOBS_MAX) {
        const free = this.#free.pop();
        if (free !== undefined) return free;
        if (this.#allocated < this.#options.buffers) {
          this.#allocated += 1;
          return Buffer.from(new SharedArrayBuffer(FRAME_BYTES));
        }
      }
      await new Promise<void>((resolve) => {
        this.#waiting = resolve;
      });
    }
  }

  /** Take a buffer's first `length` bytes as the next chunk of the core. Only the last chunk may be short. */
  submit(buffer: FrameBuffer, length: number): void {
    if (length === 0 || this.#failure !== undefined || this.#isGivenUp) {
      this.#release(buffer);
      return;
    }
    const chunk = buffer.subarray(0, length);
    const isZero = length === FRAME_BYTES && chunk.equals(ZEROS);
    const job: Job = { buffer, length, readers: isZero ? 0 : 2, isZero, result: undefined };
    this.#jobs.push(job);
    if (isZero) {
      // Nobody looks at this memory again: the next frame can be read into it while this one waits in line.
      this.#hasher.addZeroFrame();
      this.#release(buffer);
    } else this.#hasher.add(buffer.buffer, length, () => this.#finishReading(job));
    if (this.#jobs.length >= (this.#options.holdBack ?? 0)) this.#isHeldBack = false;
    this.#work();
  }

  /** Give a buffer back unused. */
  discard(buffer: FrameBuffer): void {
    this.#release(buffer);
  }

  /** Keep nothing of the core after all: what comes is let go, and what was written is given up when it is settled. */
  giveUp(): void {
    this.#isGivenUp = true;
    this.#gaveUpFrames = true;
    this.#isHeldBack = false;
    this.#work();
  }

  /** Wait until every chunk is written and hashed. After a failure the rest is dropped; {@link failure} tells. */
  async settle(): Promise<void> {
    this.#isHeldBack = false;
    this.#work();
    while (this.#writing !== undefined) await this.#writing;
    if (this.#isGivenUp) this.shrinkBy(Number.POSITIVE_INFINITY);
    await this.#guard(() => this.#entry.flush());
    // Nobody reads any more: what ends the bundle may have their memory.
    this.#free.length = 0;
    this.#options.compressor.close();
    this.#sha256 = await this.#hasher.digest();
  }

  /** Free what the pipeline holds when its core is given up: nothing of it may keep the process alive. */
  abandon(): void {
    this.#hasher.abandon();
    this.#options.compressor.close();
  }

  /**
   * Give up the frames that could not be written, and more from the end until the entry has shrunk by so many bytes or
   * is empty: that makes room on a full disk for what ends the bundle. Clears {@link failure}.
   */
  shrinkBy(bytes: number): void {
    if (this.#entry.shrinkBy(bytes)) this.#gaveUpFrames = true;
    this.#failure = undefined;
  }

  /** Frames in the entry. */
  get frameCount(): number {
    return this.#entry.frameCount;
  }

  /** Make what ends the entry: the seek table of zstd frames, the end mark of deflate, nothing for a plain core. */
  trailer(): Uint8Array {
    return this.#entry.trailer();
  }

  /** Sum up the entry as it will be once the trailer is written at offset {@link bodyBytes}. */
  summarise(trailer: Uint8Array): CoreSummary {
    const sums = this.#entry.summarise(trailer);
    return this.#gaveUpFrames || this.#sha256 === undefined ? sums : { ...sums, sha256: this.#sha256 };
  }

  /** Bytes of the entry before the trailer. */
  get bodyBytes(): number {
    return this.#entry.storedBytes;
  }

  #finishReading(job: Job): void {
    job.readers -= 1;
    if (job.readers === 0) this.#release(job.buffer);
  }

  #release(buffer: FrameBuffer): void {
    this.#free.push(buffer);
    this.#wake();
  }

  #wake(): void {
    const wake = this.#waiting;
    this.#waiting = undefined;
    wake?.();
  }

  #work(): void {
    if (this.#isHeldBack || this.#jobs.length === 0) return;
    this.#compressAhead();
    this.#writing ??= this.#writeInOrder().finally(() => {
      this.#writing = undefined;
    });
  }

  #compressAhead(): void {
    const { threads } = this.#options;
    if (this.#isGivenUp) return;
    for (const job of this.#jobs) {
      if (this.#running >= threads || this.#unwritten >= threads + FRAMES_WAITING) return;
      if (job.result === undefined) job.result = this.#compress(job);
    }
  }

  #compress(job: Job): Promise<CompressedFrame> {
    if (job.isZero) return (this.#zeroFrame ??= this.#compressZeros());
    this.#running += 1;
    this.#unwritten += 1;
    const result = this.#options.compressor.compress(job.buffer.subarray(0, job.length)).finally(() => {
      this.#running -= 1;
      this.#compressAhead();
    });
    // The writer awaits results in order; one that fails early must not count as unhandled before its turn.
    result.catch(() => {});
    return result;
  }

  /** Compress the frame of zeros, once for all of them. */
  async #compressZeros(): Promise<CompressedFrame> {
    const frame = await this.#options.compressor.compress(ZEROS);
    // Not Uint8Array.from: that goes through a list of a million numbers.
    const bytes = new Uint8Array(frame.bytes);
    frame.release();
    return { bytes, release: () => {} };
  }

  async #writeInOrder(): Promise<void> {
    for (;;) {
      const job = this.#jobs[0];
      if (job === undefined) return;
      this.#compressAhead();
      if (this.#failure === undefined && !this.#isGivenUp) await this.#guard(() => this.#writeJob(job));
      await this.#forget(job);
      this.#jobs.shift();
      if (job.isZero) this.#wake();
      else this.#finishReading(job);
    }
  }

  /** Give back what a job's frame holds, written or not. */
  async #forget(job: Job): Promise<void> {
    if (job.result === undefined) return;
    await job.result.then(
      (frame) => frame.release(),
      () => {},
    );
    if (!job.isZero) this.#unwritten -= 1;
  }

  async #writeJob(job: Job): Promise<void> {
    job.result ??= this.#compress(job);
    const core = job.isZero ? ZEROS : job.buffer.subarray(0, job.length);
    await this.#entry.append(await job.result, core, job.isZero);
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
