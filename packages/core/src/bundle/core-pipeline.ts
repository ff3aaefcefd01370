import type { CompressedFrame } from "./compressor-lane.ts";
import { CoreEntry, type EntryFrame } from "./core-entry.ts";
import { CoreHasher } from "./core-hasher.ts";
import type { CorePipelineOptions, CoreSummary } from "./core-pipeline-options.ts";
import { FrameBuffers, type FrameBuffer } from "./frame-buffers.ts";
import { compressToKeep } from "./frame-compressor.ts";
import { makeFrameJob, type FrameJob } from "./frame-job.ts";
import { STORED_FRAME_MAX_BYTES, writeStoredFrame } from "./stored-frame.ts";
import { FRAME_BYTES } from "./zstd-frames.ts";

export type { CoreSink } from "./core-entry.ts";
export type { CorePipelineOptions, CoreSummary } from "./core-pipeline-options.ts";
export type { FrameBuffer } from "./frame-buffers.ts";

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
  readonly #buffers: FrameBuffers;
  #waiting: (() => void) | undefined;
  readonly #jobs: FrameJob[] = [];
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
  /** Where stored frames are made; undefined when none are. */
  #staging: Buffer | undefined;

  constructor(options: CorePipelineOptions) {
    this.#options = options;
    this.#buffers = new FrameBuffers(options.buffers);
    this.#entry = new CoreEntry(options.sink, options.compressor);
    this.#hasher = new CoreHasher(options.buffers);
    this.#isHeldBack = (options.holdBack ?? 0) > 0;
  }

  /** Tell what stopped the writing, such as a full disk; undefined while all is well. */
  get failure(): unknown {
    return this.#failure;
  }

  /** Tell whether frames are being compressed or wait to be written: their results come by the event loop. */
  get isBusy(): boolean {
    return this.#unwritten > 0;
  }

  /** Tell whether frames of the entry are stored: then hash and sums are missing, see {@link setSums}. */
  get isStoring(): boolean {
    return this.#staging !== undefined;
  }

  /** List the frames of the entry. */
  frames(): Iterable<EntryFrame> {
    return this.#entry.frames();
  }

  /** Get an empty buffer of {@link FRAME_BYTES}, waiting until one is free. */
  async acquire(): Promise<FrameBuffer> {
    for (;;) {
      if (this.#jobs.length < JOBS_MAX) {
        const buffer = this.#buffers.take();
        if (buffer !== undefined) return buffer;
      }
      await this.#change();
    }
  }

  /** Take a frame of zeros as the next chunk of the core, once there is room in line. */
  async submitZeros(): Promise<void> {
    while (this.#jobs.length >= JOBS_MAX) await this.#change();
    if (this.#failure !== undefined || this.#isGivenUp) return;
    this.#addZeros();
  }

  /** Take a buffer's first `length` bytes as the next chunk of the core. Only the last chunk may be short. */
  submit(buffer: FrameBuffer, length: number): void {
    if (length === 0 || this.#failure !== undefined || this.#isGivenUp) {
      this.#release(buffer);
      return;
    }
    const chunk = buffer.subarray(0, length);
    if (length === FRAME_BYTES && chunk.equals(ZEROS)) {
      // Nobody looks at this memory again: the next frame can be read into it while this one waits in line.
      this.#release(buffer);
      this.#addZeros();
      return;
    }
    const job = makeFrameJob({ buffer, length });
    this.#hasher.add(buffer.buffer, length, () => this.#finishReading(job));
    this.#add(job);
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
    this.#buffers.clear();
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

  /** Set the sums that a storing pipeline left out: CRC-32 after each frame, and the core's SHA-256. */
  setSums(crcs: readonly number[], sha256: string): void {
    this.#entry.setSums(crcs);
    this.#sha256 = sha256;
  }

  #addZeros(): void {
    this.#hasher.addZeroFrame();
    this.#add(makeFrameJob());
  }

  #add(job: FrameJob): void {
    this.#jobs.push(job);
    const { holdBack = 0, storing } = this.#options;
    if (this.#isHeldBack && (this.#jobs.length >= holdBack || storing?.isUrgent() === true)) {
      this.#isHeldBack = false;
      if (storing?.begins() === true) {
        this.#staging = Buffer.allocUnsafeSlow(STORED_FRAME_MAX_BYTES);
        this.#entry.leaveSumsOut();
        this.#hasher.abandon();
      }
    }
    this.#work();
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting = resolve;
    });
  }

  #finishReading(job: FrameJob): void {
    job.readers -= 1;
    if (job.readers === 0) this.#release(job.buffer);
  }

  #release(buffer: FrameBuffer): void {
    this.#buffers.release(buffer);
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
      if (job.result === undefined && !job.isStored) this.#begin(job);
    }
  }

  /** Compress a job's frame, or leave it as it is. */
  #begin(job: FrameJob): void {
    job.isStored = !job.isZero && this.#staging !== undefined && this.#options.storing?.stores() === true;
    if (job.isStored) this.#unwritten += 1;
    else job.result = this.#compress(job);
  }

  #compress(job: FrameJob): Promise<CompressedFrame> {
    if (job.isZero) return (this.#zeroFrame ??= compressToKeep(this.#options.compressor, ZEROS));
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
  async #forget(job: FrameJob): Promise<void> {
    if (job.isStored) this.#unwritten -= 1;
    if (job.result === undefined) return;
    await job.result.then(
      (frame) => frame.release(),
      () => {},
    );
    if (!job.isZero) this.#unwritten -= 1;
  }

  async #writeJob(job: FrameJob): Promise<void> {
    if (job.result === undefined && !job.isStored) this.#begin(job);
    const core = job.isZero ? ZEROS : job.buffer.subarray(0, job.length);
    if (job.result !== undefined) await this.#entry.append(await job.result, core, job.isZero ? "zero" : "packed");
    else if (this.#staging !== undefined) await this.#writeStored(core, this.#staging);
  }

  async #writeStored(core: Buffer, staging: Buffer): Promise<void> {
    const bytes = writeStoredFrame(core, staging, this.#options.storing?.checksum);
    await this.#entry.append({ bytes, release: () => {} }, core, "stored");
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
