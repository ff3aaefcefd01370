import { constants } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { within } from "./collected.ts";

/** A file's bytes, and whether it had more than were wanted. */
export interface BoundedRead {
  bytes: Buffer;
  cut: boolean;
}

const STEP_BYTES = 65536;

/**
 * Read at most `maxBytes` of a file from its start. Never follows a link in the last place, and never waits for the
 * writer of a FIFO: what stands at a path on a node may have been put there by a container.
 * @throws what the file system throws, and the signal's reason
 */
export async function readBounded(path: string, maxBytes: number, signal?: AbortSignal): Promise<BoundedRead> {
  return await within(readWhole(path, maxBytes), signal);
}

async function readWhole(path: string, maxBytes: number): Promise<BoundedRead> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    // Grown in few steps: pieces that are joined at the end would take the file's size twice.
    let buffer = Buffer.allocUnsafe(Math.min(STEP_BYTES, maxBytes + 1));
    let length = 0;
    for (;;) {
      const { bytesRead } = await file.read(buffer, length, buffer.length - length, null);
      length += bytesRead;
      if (bytesRead === 0 || length > maxBytes) break;
      if (length === buffer.length) {
        const larger = Buffer.allocUnsafe(Math.min(4 * length, maxBytes + 1));
        buffer.copy(larger);
        buffer = larger;
      }
    }
    const kept = buffer.subarray(0, Math.min(length, maxBytes));
    // A short file must not hold a long buffer.
    return { bytes: kept.length * 2 < buffer.length ? Buffer.from(kept) : kept, cut: length > maxBytes };
  } finally {
    // Not waited for: a crashed process is held for every turn of the event loop that reading it takes.
    void file.close().catch(() => {});
  }
}

/** A directory held open, so that every path below it stays in it, whatever happens to its name meanwhile. */
export class HeldDirectory {
  readonly #handle: FileHandle;
  /** Path of the directory through this process's own descriptor. Node has no openat(2); Linux has this. */
  readonly path: string;

  private constructor(handle: FileHandle) {
    this.#handle = handle;
    this.path = `/proc/self/fd/${handle.fd}`;
  }

  /**
   * Open a directory, but do not wait for it past an abort; one that opens later is closed at once.
   * @throws the signal's reason; what the file system throws, ELOOP for a link, ENOTDIR for another file
   */
  static async open(path: string, signal?: AbortSignal): Promise<HeldDirectory> {
    const opening = open(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
    try {
      return new HeldDirectory(await within(opening, signal));
    } catch (error) {
      void opening.then((late) => late.close()).catch(() => undefined);
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}
