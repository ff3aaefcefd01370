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
    const parts: Buffer[] = [];
    let length = 0;
    for (;;) {
      const part = Buffer.alloc(Math.min(STEP_BYTES, maxBytes + 1 - length));
      const { bytesRead } = await file.read(part, 0, part.length, null);
      if (bytesRead === 0) break;
      parts.push(part.subarray(0, bytesRead));
      length += bytesRead;
      if (length > maxBytes) break;
    }
    const bytes = Buffer.concat(parts);
    return { bytes: bytes.subarray(0, maxBytes), cut: bytes.length > maxBytes };
  } finally {
    await file.close();
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

  /** @throws what the file system throws, ELOOP for a link, ENOTDIR for another file */
  static async open(path: string): Promise<HeldDirectory> {
    return new HeldDirectory(await open(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW));
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}
