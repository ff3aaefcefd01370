import type { CorePipeline, FrameBuffer } from "@cdh/core/bundle/core-pipeline";
import { FRAME_BYTES } from "@cdh/core/bundle/zstd-frames";
import type { CoreInput } from "../self/input.ts";

/** What a drain needs. */
export interface DrainOptions {
  input: CoreInput;
  pipeline: CorePipeline;
  /** Keep no more than so many bytes; may become less meanwhile. */
  limitBytes: () => number;
  /** Ends the drain at once: deadline reached, or the crash is not wanted. */
  stop: AbortSignal;
  /** A slot in the node's waiting line, wanted after each frame. */
  slot: WorkSlot;
  /**
   * Tell whether the crashed process is being read beside the core. Each small read of `/proc` needs a turn of the event loop:
   * until then no read of the core may nap, and each leaves a turn.
   */
  isLearning: () => boolean;
  /** Sees every byte in order, also those past the limit that are read only to learn what crashed. */
  observe: (chunk: Uint8Array) => void;
}

/** What lets the drain go on: composers that compress at once share the node's slots. */
export interface WorkSlot {
  /** Wait for a slot; undefined when it is held. */
  enter(): Promise<void> | undefined;
  /** The next frame is being read. */
  reading(): void;
}

/** How a drain ended. */
export interface DrainResult {
  endedBy: "end" | "limit" | "stop" | "writeFailure" | "readFailure";
  /** Bytes that arrived, kept or not. */
  receivedBytes: number;
  error?: unknown;
}

/** A core's notes stand before its memory. So much of a core that isn't kept is read to find them. */
const OBSERVE_BYTES = 4 * 1024 * 1024;

/**
 * Read a core to its end into the pipeline. While one frame is hashed and handed over, the next is being read. The
 * caller closes the input, because the crashed process stays readable in /proc until then.
 */
export async function drain(options: DrainOptions): Promise<DrainResult> {
  const { pipeline, stop, observe } = options;
  let receivedBytes = 0;
  let keptBytes = 0;
  let fill = new FrameFill(options, await pipeline.acquire());
  options.slot.reading();
  for (;;) {
    const isStopped = (await unlessStopped(fill.done, stop)) === STOPPED;
    const current = fill;
    // After a stop this is what has arrived of the frame so far; a read under way only adds behind it.
    const { count, error } = current;
    receivedBytes += count;
    const keep = Math.min(count, Math.max(0, options.limitBytes() - keptBytes));
    keptBytes += keep;
    const isLimited = keep < count;
    const hasMore = !isStopped && !current.ended && error === undefined;
    let goesOn = hasMore && (!isLimited || receivedBytes < OBSERVE_BYTES);
    const waiting = goesOn ? options.slot.enter() : undefined;
    if (waiting !== undefined) await unlessStopped(waiting, stop);
    const handOver = (): void => {
      if (count > 0) observe(current.buffer.subarray(0, count));
      pipeline.submit(current.buffer, keep);
    };
    const hasZeros = goesOn && !isLimited && (options.input.zeroFrames?.() ?? 0) > 0;
    if (hasZeros) {
      handOver();
      const passed = await passZeros(options, options.limitBytes() - keptBytes);
      receivedBytes += passed;
      keptBytes += passed;
    }
    if (goesOn) {
      const next = await unlessStopped(pipeline.acquire(), stop);
      goesOn = next !== STOPPED;
      if (next !== STOPPED) {
        fill = new FrameFill(options, next);
        options.slot.reading();
      }
    }
    // The next frame is being read meanwhile.
    if (!hasZeros) handOver();
    if (pipeline.failure !== undefined) return { endedBy: "writeFailure", receivedBytes, error: pipeline.failure };
    if (error !== undefined) return { endedBy: "readFailure", receivedBytes, error };
    if (stop.aborted && !goesOn && !current.ended) return { endedBy: "stop", receivedBytes };
    if (!goesOn) return { endedBy: isLimited ? "limit" : "end", receivedBytes };
  }
}

/** Frames of zeros that pass in one turn of the event loop. */
const ZEROS_AT_ONCE = 256;

const ZEROS = Buffer.alloc(FRAME_BYTES);

/**
 * Take the frames of zeros that the input need not read.
 * @param most bytes that are still kept; what lies behind is read as any other memory
 * @returns bytes that passed, all of them kept
 */
async function passZeros(
  { input, pipeline, stop, observe }: Pick<DrainOptions, "input" | "pipeline" | "stop" | "observe">,
  most: number,
): Promise<number> {
  let passed = 0;
  for (;;) {
    const left = Math.min(input.zeroFrames?.() ?? 0, Math.floor((most - passed) / FRAME_BYTES), ZEROS_AT_ONCE);
    if (left <= 0) return passed;
    for (let count = 0; count < left; count += 1) {
      if (stop.aborted || pipeline.failure !== undefined) return passed;
      observe(ZEROS);
      if ((await unlessStopped(pipeline.submitZeros(), stop)) === STOPPED) return passed;
      input.skipZeroFrames?.(1);
      passed += FRAME_BYTES;
    }
    await turn();
  }
}

/** One frame being filled. A pipe gives as much as it holds at a time, so this takes several reads. */
class FrameFill {
  readonly buffer: FrameBuffer;
  /** Resolves when the frame is full, or the input has ended or failed. */
  readonly done: Promise<void>;
  count = 0;
  ended = false;
  error: unknown;
  readonly #input: CoreInput;
  readonly #pipeline: CorePipeline;
  readonly #isLearning: () => boolean;

  constructor({ input, pipeline, isLearning }: DrainOptions, buffer: FrameBuffer) {
    this.#input = input;
    this.#pipeline = pipeline;
    this.#isLearning = isLearning;
    this.buffer = buffer;
    // Reads that keep the thread come after the frame before this one was handed on.
    this.done = this.#mayReadNow() ? Promise.resolve().then(() => this.#fill()) : this.#fill();
  }

  async #fill(): Promise<void> {
    try {
      while (this.count < FRAME_BYTES && !this.ended) {
        const { buffer, count } = this;
        const room = FRAME_BYTES - count;
        if (this.#takesTurns()) await turn();
        const mayNap = !this.#isLearning();
        const now = this.#mayReadNow() ? this.#input.readNow?.(buffer, count, room, mayNap) : undefined;
        const got = now ?? (await this.#input.read(buffer, count, room));
        this.count += got;
        this.ended = got === 0;
      }
    } catch (error) {
      this.error = error;
    }
    // Deadlines, /proc and the disk have their turn once a frame.
    if (this.#input.readNow !== undefined) await turn();
  }

  /**
   * Zeros give the compressors nothing to do, and come faster than the event loop turns. While frames are compressed, the
   * event loop is what keeps the compressors busy: then a read must not hold it up.
   */
  #mayReadNow(): boolean {
    return this.#input.readNow !== undefined && !this.#pipeline.isBusy;
  }

  /** While the process is read, each read of the core leaves the event loop a turn, in which the pipe fills. */
  #takesTurns(): boolean {
    return this.#mayReadNow() && this.#isLearning();
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

const STOPPED = Symbol("stopped");

/** Wait for work or for the stop, whichever comes first, and leave nothing hanging on the signal. */
function unlessStopped<T>(work: Promise<T>, stop: AbortSignal): Promise<T | typeof STOPPED> {
  if (stop.aborted) return Promise.resolve(STOPPED);
  return new Promise((resolve, reject) => {
    const onStop = (): void => resolve(STOPPED);
    stop.addEventListener("abort", onStop, { once: true });
    work.then(resolve, reject).finally(() => stop.removeEventListener("abort", onStop));
  });
}
