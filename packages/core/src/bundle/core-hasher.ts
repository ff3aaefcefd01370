import { createHash, type Hash } from "node:crypto";
import { Worker } from "node:worker_threads";
import { FRAME_BYTES } from "./zstd-frames.ts";

/** Cores of fewer frames are hashed without a thread of their own, after the crashed process was let go. */
const FRAMES_BEFORE_THREAD = 12;

/** So many frames of zeros are one message to the thread. */
const ZEROS_PER_MESSAGE = 32;

/** Runs in the thread: hashes the shared memory it is pointed to, and tells when it is done with it. */
const THREAD_SOURCE = `
const { parentPort } = require("node:worker_threads");
const hash = require("node:crypto").createHash("sha256");
const zeros = new Uint8Array(${FRAME_BYTES});
parentPort.on("message", (message) => {
  if (message.end) return parentPort.postMessage(hash.digest("hex"));
  for (let left = message.zeroFrames ?? 0; left > 0; left -= 1) hash.update(zeros);
  if (message.memory === undefined) return;
  hash.update(new Uint8Array(message.memory, 0, message.length));
  parentPort.postMessage(message.length);
});`;

interface Chunk {
  memory: SharedArrayBuffer;
  length: number;
  done: () => void;
}

/** Frames of zeros in a row; of them nothing but their number is kept. */
interface Zeros {
  zeroFrames: number;
}

/**
 * Hash a core beside its compression: SHA-256 of one stream can't be split, but it can have a thread of its own, so
 * that reading never waits for it. The memory of a chunk is shared with that thread and must stay as it is until `done`.
 */
export class CoreHasher {
  readonly #framesBeforeThread: number;
  #frames = 0;
  /** Not handed to the thread yet, in order. */
  #parts: (Chunk | Zeros)[] = [];
  /** What the thread has and has not answered. */
  readonly #posted: Chunk[] = [];
  #thread: Worker | undefined;
  #digest: ((value: string | undefined) => void) | undefined;
  #hasFailed = false;

  /** @param buffers how many chunks the caller can have under way; the thread starts before they run out */
  constructor(buffers: number) {
    this.#framesBeforeThread = Math.min(FRAMES_BEFORE_THREAD, buffers >> 1);
  }

  /** Hash the first `length` bytes of this memory as the next part of the core; `done` gives the memory back. */
  add(memory: SharedArrayBuffer, length: number, done: () => void): void {
    if (this.#hasFailed) {
      done();
      return;
    }
    this.#parts.push({ memory, length, done });
    this.#count();
    if (this.#thread !== undefined) this.#post();
  }

  /** Hash one frame of {@link FRAME_BYTES} zeros as the next part of the core, without holding its memory. */
  addZeroFrame(): void {
    if (this.#hasFailed) return;
    let last = this.#parts.at(-1);
    if (last === undefined || "memory" in last) this.#parts.push((last = { zeroFrames: 0 }));
    last.zeroFrames += 1;
    this.#count();
    if (this.#thread !== undefined && last.zeroFrames >= ZEROS_PER_MESSAGE) this.#post();
  }

  /** Finish. @returns hexadecimal, or undefined when the thread failed */
  async digest(): Promise<string | undefined> {
    const thread = this.#thread;
    if (this.#hasFailed) return undefined;
    if (thread !== undefined) {
      this.#post();
      const digest = await new Promise<string | undefined>((resolve) => {
        this.#digest = resolve;
        thread.postMessage({ end: true });
      });
      await thread.terminate();
      return digest;
    }
    const hash = createHash("sha256");
    for (const part of this.#parts.splice(0)) hashPart(hash, part);
    return hash.digest("hex");
  }

  /** End without a hash, at once: give every chunk back and stop the thread. */
  abandon(): void {
    this.#giveUp();
    void this.#thread?.terminate();
  }

  #count(): void {
    this.#frames += 1;
    if (this.#thread === undefined && this.#frames > this.#framesBeforeThread) this.#startThread();
  }

  #post(): void {
    for (const part of this.#parts.splice(0)) {
      if ("memory" in part) {
        this.#posted.push(part);
        this.#thread?.postMessage({ memory: part.memory, length: part.length });
      } else this.#thread?.postMessage(part);
    }
  }

  #startThread(): void {
    const thread = new Worker(THREAD_SOURCE, { eval: true });
    this.#thread = thread;
    thread.on("message", (answer: number | string) => {
      if (typeof answer === "string") this.#digest?.(answer);
      else this.#posted.shift()?.done();
    });
    thread.on("error", () => this.#giveUp());
    this.#post();
  }

  /** Without its thread the core goes on without a hash: its frames and the zip still carry their own sums. */
  #giveUp(): void {
    this.#hasFailed = true;
    for (const part of [...this.#posted.splice(0), ...this.#parts.splice(0)]) if ("memory" in part) part.done();
    this.#digest?.(undefined);
  }
}

const ZEROS = Buffer.alloc(FRAME_BYTES);

function hashPart(hash: Hash, part: Chunk | Zeros): void {
  if ("memory" in part) {
    hash.update(new Uint8Array(part.memory, 0, part.length));
    part.done();
    return;
  }
  for (let left = part.zeroFrames; left > 0; left -= 1) hash.update(ZEROS);
}
