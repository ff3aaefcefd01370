import { createHash } from "node:crypto";
import { Worker } from "node:worker_threads";

/** Cores of fewer frames are hashed without a thread of their own, after the crashed process was let go. */
const FRAMES_BEFORE_THREAD = 12;

/** Runs in the thread: hashes the shared memory it is pointed to, and tells when it is done with it. */
const THREAD_SOURCE = `
const { parentPort } = require("node:worker_threads");
const hash = require("node:crypto").createHash("sha256");
parentPort.on("message", (message) => {
  if (message.end) return parentPort.postMessage(hash.digest("hex"));
  hash.update(new Uint8Array(message.memory, 0, message.length));
  parentPort.postMessage(message.length);
});`;

interface Chunk {
  memory: SharedArrayBuffer;
  length: number;
  done: () => void;
}

/**
 * Hash a core beside its compression: SHA-256 of one stream can't be split, but it can have a thread of its own, so
 * that reading never waits for it. The memory of a chunk is shared with that thread and must stay as it is until `done`.
 */
export class CoreHasher {
  readonly #framesBeforeThread: number;
  readonly #chunks: Chunk[] = [];
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
    const chunk = { memory, length, done };
    this.#chunks.push(chunk);
    if (this.#thread !== undefined) this.#thread.postMessage({ memory, length });
    else if (this.#chunks.length > this.#framesBeforeThread) this.#startThread();
  }

  /** Finish. @returns hexadecimal, or undefined when the thread failed */
  async digest(): Promise<string | undefined> {
    const thread = this.#thread;
    if (this.#hasFailed) return undefined;
    if (thread !== undefined) {
      const digest = await new Promise<string | undefined>((resolve) => {
        this.#digest = resolve;
        thread.postMessage({ end: true });
      });
      await thread.terminate();
      return digest;
    }
    const hash = createHash("sha256");
    for (const { memory, length, done } of this.#chunks.splice(0)) {
      hash.update(new Uint8Array(memory, 0, length));
      done();
    }
    return hash.digest("hex");
  }

  #startThread(): void {
    const thread = new Worker(THREAD_SOURCE, { eval: true });
    this.#thread = thread;
    thread.on("message", (answer: number | string) => {
      if (typeof answer === "string") this.#digest?.(answer);
      else this.#chunks.shift()?.done();
    });
    thread.on("error", () => this.#giveUp());
    for (const { memory, length } of this.#chunks) thread.postMessage({ memory, length });
  }

  /** Without its thread the core goes on without a hash: its frames and the zip still carry their own sums. */
  #giveUp(): void {
    this.#hasFailed = true;
    for (const { done } of this.#chunks.splice(0)) done();
    this.#digest?.(undefined);
  }
}
