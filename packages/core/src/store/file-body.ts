import type { FileHandle } from "node:fs/promises";
import { Readable, type Writable } from "node:stream";
import { systemClock } from "../base/clock.ts";
import { CdhError } from "../base/errors.ts";
import { append } from "../base/lists.ts";
import type { Throttle } from "./throttle.ts";

/** Bytes read from the file at once: large enough to be quick, small enough that many parts fit into little memory. */
const READ_BYTES = 512 * 1024;
/** A local disk that is busy answers in this time, in milliseconds. */
const ANSWER_MS = 2000;
/** Buffers that are kept for the next body. */
const SPARE_MAX = 8;

/** Say which part of a file is sent, and who is told. */
export interface FileBodyOptions {
  offset: number;
  length: number;
  throttle: Throttle;
  signal?: AbortSignal | undefined;
  onChunk: (bytes: number) => void;
}

/**
 * Stream a part of an open file straight from the disk into a request, in constant memory: two buffers take turns, one
 * is filled while the other is on its way, and both serve the next body. An ordinary stream would allocate every chunk
 * anew, and outside of the heap nothing hurries the collector: measured, that costs 60 MB of resident memory.
 */
export class FileBody extends Readable {
  static readonly #spare: Buffer[] = [];
  /** Reads that were under way when their body was given up, by file. */
  static readonly #abandoned = new WeakMap<FileHandle, Promise<unknown>>();
  readonly #handle: FileHandle;
  readonly #options: FileBodyOptions;
  readonly #end: number;
  #offset: number;

  constructor(handle: FileHandle, options: FileBodyOptions) {
    super({ highWaterMark: READ_BYTES });
    this.#handle = handle;
    this.#options = options;
    this.#offset = options.offset;
    this.#end = options.offset + options.length;
    // Destroyed half-way it reports that to nobody else; the request has its own error.
    this.on("error", () => {});
  }

  /** For a consumer that reads instead of letting us write: each chunk is its own. */
  override _read(): void {
    const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
    this.#fill(buffer).then(
      (bytes) => void this.push(bytes === 0 ? null : buffer.subarray(0, bytes)),
      (error: Error) => this.destroy(error),
    );
  }

  /** Write everything to the request and end it. What goes wrong on this side destroys the request. */
  override pipe<T extends NodeJS.WritableStream>(destination: T): T {
    const request = destination as unknown as Writable;
    this.#write(request).catch((error: unknown) => {
      this.destroy();
      request.destroy(error instanceof Error ? error : new Error(String(error)));
    });
    return destination;
  }

  async #write(request: Writable): Promise<void> {
    const buffers = [takeSpare(FileBody.#spare), takeSpare(FileBody.#spare)] as const;
    let onWay: Promise<void> = Promise.resolve();
    for (let turn = 0; ; turn += 1) {
      const buffer = turn % 2 === 0 ? buffers[0] : buffers[1];
      const bytes = await this.#fill(buffer);
      await onWay;
      if (bytes === 0 || this.destroyed || request.destroyed) break;
      onWay = flush(request, buffer.subarray(0, bytes));
      // It is awaited before the next write; until then a failure must not look unhandled.
      onWay.catch(() => {});
    }
    if (this.destroyed || request.destroyed) return;
    request.end();
    // Only now is it certain that nobody reads from them any more.
    if (FileBody.#spare.length < SPARE_MAX) append(FileBody.#spare, buffers);
  }

  /**
   * Read. A read that was under way when a body was given up comes back in a moment, or its file system hangs: then one
   * lost thread for each file is enough.
   */
  async #read(buffer: Buffer, wanted: number): Promise<{ bytesRead: number }> {
    const abandoned = FileBody.#abandoned;
    const before = abandoned.get(this.#handle);
    if (before !== undefined && !(await settlesSoon(before)))
      throw new CdhError("CDH_DISK", "cannot read the file: its file system does not answer");
    const reading = this.#handle.read(buffer, 0, wanted, this.#offset);
    const onClose = (): void => void abandoned.set(this.#handle, Promise.allSettled([before, reading]));
    this.once("close", onClose);
    try {
      return await reading;
    } finally {
      this.off("close", onClose);
    }
  }

  /** @returns how many bytes there are now in the buffer; 0 at the end */
  async #fill(buffer: Buffer): Promise<number> {
    const { signal, throttle, onChunk } = this.#options;
    signal?.throwIfAborted();
    const wanted = Math.min(buffer.length, this.#end - this.#offset);
    if (wanted === 0) return 0;
    const { bytesRead } = await this.#read(buffer, wanted);
    if (bytesRead === 0) throw new CdhError("CDH_STORE_MISMATCH", "cannot send the file: it became shorter meanwhile");
    await throttle.take(bytesRead, signal);
    this.#offset += bytesRead;
    onChunk(bytesRead);
    return bytesRead;
  }
}

async function settlesSoon(work: Promise<unknown>): Promise<boolean> {
  const stop = new AbortController();
  const late = systemClock.sleep(ANSWER_MS, stop.signal).then(
    () => false,
    () => false,
  );
  const inTime = await Promise.race([work.then(() => true), late]);
  stop.abort();
  return inTime;
}

function takeSpare(spare: Buffer[]): Buffer {
  return spare.pop() ?? Buffer.allocUnsafeSlow(READ_BYTES);
}

/** Wait until the socket has taken a chunk, or will never do so. */
async function flush(request: Writable, chunk: Buffer): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const onClose = (): void => reject(new Error("the connection was closed"));
    request.once("close", onClose);
    request.write(chunk, (error) => {
      request.off("close", onClose);
      if (error) reject(error);
      else resolve();
    });
  });
}
