import { Readable } from "node:stream";
import type { FileHandle } from "node:fs/promises";
import { CdhError } from "../errors.ts";
import type { Throttle } from "./throttle.ts";

/** Bytes read from the file at once: large enough to be quick, small enough that many parts fit into little memory. */
const READ_BYTES = 256 * 1024;

/** Say which part of a file is sent, and who is told. */
export interface FileBodyOptions {
  offset: number;
  length: number;
  throttle: Throttle;
  signal?: AbortSignal | undefined;
  onChunk: (bytes: number) => void;
}

/**
 * Stream a part of an open file straight from the disk. Nothing is read ahead of what the socket takes.
 * @throws {CdhError} CDH_STORE_MISMATCH inside the stream when the file ends early
 */
export function fileBody(handle: FileHandle, options: FileBodyOptions): Readable {
  const body = Readable.from(chunks(handle, options), { objectMode: false, highWaterMark: READ_BYTES });
  // Destroyed half-way it reports that to nobody else; the request has its own error.
  body.on("error", () => {});
  return body;
}

async function* chunks(handle: FileHandle, options: FileBodyOptions): AsyncGenerator<Buffer> {
  const end = options.offset + options.length;
  for (let offset = options.offset; offset < end; ) {
    options.signal?.throwIfAborted();
    const buffer = Buffer.allocUnsafeSlow(Math.min(READ_BYTES, end - offset));
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, offset);
    if (bytesRead === 0) throw new CdhError("CDH_STORE_MISMATCH", "cannot send the file: it became shorter meanwhile");
    await options.throttle.take(bytesRead, options.signal);
    offset += bytesRead;
    options.onChunk(bytesRead);
    yield buffer.subarray(0, bytesRead);
  }
}
