import { read } from "node:fs";

/**
 * Read what is there of a process's memory; undefined where nothing is. On the thread pool: a page may be somebody's who does
 * not answer. @param fd of /proc/<pid>/mem
 */
export function readMemory(fd: number, address: bigint, length: number): Promise<Buffer | undefined> {
  const position = Number(address);
  if (!Number.isSafeInteger(position) || length <= 0) return Promise.resolve(undefined);
  const buffer = Buffer.allocUnsafe(length);
  return new Promise((resolve) => {
    read(fd, buffer, 0, length, position, (error, count) => {
      resolve(error === null && count > 0 ? buffer.subarray(0, count) : undefined);
    });
  });
}

/** The word at a place of a piece of memory; undefined behind its end. */
export function wordAt(bytes: Buffer | undefined, at: number): bigint | undefined {
  return bytes === undefined || bytes.length < at + 8 ? undefined : bytes.readBigUInt64LE(at);
}
