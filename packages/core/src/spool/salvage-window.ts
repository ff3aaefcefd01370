import type { FileHandle } from "node:fs/promises";
import { FRAME_BYTES } from "../bundle/zstd-frames.ts";

/** The most that a stored mebibyte of core takes: deflate with fixed codes takes up to nine bits a byte. */
export const PIECE_MAX_BYTES = FRAME_BYTES + FRAME_BYTES / 8 + 64 * 1024;

const WINDOW_BYTES = 4 * PIECE_MAX_BYTES;

/** Look at a file from its start to its end through a few mebibytes of memory. */
export class SalvageWindow {
  readonly #handle: FileHandle;
  readonly #sizeBytes: number;
  readonly #buffer = Buffer.allocUnsafe(WINDOW_BYTES);
  #start = 0;
  #end = 0;

  constructor(handle: FileHandle, sizeBytes: number) {
    this.#handle = handle;
    this.#sizeBytes = sizeBytes;
  }

  /**
   * Give the bytes from an offset on: {@link PIECE_MAX_BYTES} or more, or all that is left. Valid until the next call,
   * which must not ask for an earlier offset.
   */
  async from(offset: number): Promise<Buffer> {
    const missing = offset + PIECE_MAX_BYTES > this.#end && this.#end < this.#sizeBytes;
    if (missing) await this.#refill(offset);
    return this.#buffer.subarray(Math.min(offset, this.#end) - this.#start, this.#end - this.#start);
  }

  async #refill(offset: number): Promise<void> {
    const from = Math.max(offset, this.#start);
    if (from < this.#end) this.#buffer.copyWithin(0, from - this.#start, this.#end - this.#start);
    let filled = Math.max(0, this.#end - from);
    const wanted = Math.min(WINDOW_BYTES, this.#sizeBytes - from);
    while (filled < wanted) {
      const { bytesRead } = await this.#handle.read(this.#buffer, filled, wanted - filled, from + filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    this.#start = from;
    this.#end = from + filled;
  }
}
