import { closeSync, constants, openSync, readSync } from "node:fs";

/** More than any `.env` holds. */
const ENV_MAX_BYTES = 256 * 1024;

/**
 * Read a settings file while a process waits to die: not past a bound, and whatever stands there, a fifo that nobody
 * writes to included, without waiting.
 * @throws what the file system throws
 */
export function readEnvText(path: string): string {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const bytes = Buffer.allocUnsafe(ENV_MAX_BYTES);
    let length = 0;
    for (let count = 1; count > 0 && length < bytes.length; length += count)
      count = readSync(fd, bytes, length, bytes.length - length, null);
    return bytes.toString("utf8", 0, length);
  } finally {
    closeSync(fd);
  }
}
