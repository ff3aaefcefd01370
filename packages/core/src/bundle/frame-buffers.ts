import { FRAME_BYTES } from "./zstd-frames.ts";

/** A buffer of {@link FRAME_BYTES} on memory that the hasher's thread can see too. */
export type FrameBuffer = Buffer<SharedArrayBuffer>;

/** Buffers of one frame each, used over and over; made when they are needed. */
export class FrameBuffers {
  readonly #most: number;
  readonly #free: FrameBuffer[] = [];
  #allocated = 0;

  /** @param most as many exist at most */
  constructor(most: number) {
    this.#most = most;
  }

  /** Take one; undefined when all are in use. */
  take(): FrameBuffer | undefined {
    const free = this.#free.pop();
    if (free !== undefined || this.#allocated >= this.#most) return free;
    this.#allocated += 1;
    return Buffer.from(new SharedArrayBuffer(FRAME_BYTES));
  }

  /** Give one back. */
  release(buffer: FrameBuffer): void {
    this.#free.push(buffer);
  }

  /** Let the memory of those that nobody has go. */
  clear(): void {
    this.#free.length = 0;
  }
}
