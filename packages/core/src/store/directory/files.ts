import { createHash, randomBytes } from "node:crypto";
import { link, lstat, open, rename, type FileHandle } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { errnoOf } from "../../base/errors.ts";
import { readJsonFile } from "../../files/json-file.ts";
import { openRegularFile } from "../../files/regular-file.ts";
import { writeAtomically } from "../../files/write-atomically.ts";
import type { ByteRange } from "../store.ts";
import type { Bounded } from "./gate.ts";

/** Bytes read and written at once. */
export const CHUNK_BYTES = 1024 * 1024;
/** S3 keeps 2 KiB of user metadata; a directory is asked for no more than a few times that. */
const METADATA_LIMITS = { bytes: 64 * 1024, depth: 2, elements: 1000 };
/** File systems that cannot link say so in one of these ways. */
const CANNOT_LINK = new Set(["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK", "EINVAL"]);

/** Write a new file and flush it to the disk. */
export async function writeDurably(path: string, write: (target: FileHandle) => Promise<void>): Promise<void> {
  const target = await open(path, "wx", 0o600);
  try {
    await write(target);
    await target.sync();
  } finally {
    await target.close();
  }
}

/** Give the file its name without replacing anything; false when the name is taken. */
export async function publish(hidden: string, path: string): Promise<boolean> {
  try {
    await link(hidden, path);
    return true;
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "EEXIST") return false;
    if (errno === undefined || !CANNOT_LINK.has(errno)) throw error;
  }
  if ((await missingIsUndefined(lstat(path))) !== undefined) return false;
  await rename(hidden, path);
  return true;
}

/**
 * Read a range of a file chunk by chunk. The file is opened with the first chunk: who never reads leaves nothing open.
 * @param range `offset` counts from the end where it is negative
 * @throws {CdhError} CDH_NOT_FOUND when it is gone by then, CDH_DISK
 */
export async function* readChunks(path: string, range: ByteRange, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  const handle = await openRegularFile(path);
  try {
    const { size } = await handle.stat();
    const start = range.offset < 0 ? Math.max(0, size + range.offset) : range.offset;
    const end = range.length === undefined ? size : Math.min(size, start + range.length);
    for (let offset = start; offset < end;) {
      signal?.throwIfAborted();
      const buffer = Buffer.allocUnsafeSlow(Math.min(range.chunkBytes ?? CHUNK_BYTES, end - offset));
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, offset);
      if (bytesRead === 0) return;
      offset += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await handle.close();
  }
}

/** Hash a regular file: SHA-256, hexadecimal. */
export async function hashFile(path: string, bounded?: Bounded): Promise<string> {
  const handle = await openRegularFile(path);
  try {
    const hash = createHash("sha256");
    const buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES);
    for (let offset = 0; ;) {
      bounded?.signal.throwIfAborted();
      bounded?.moved();
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, offset);
      if (bytesRead === 0) return hash.digest("hex");
      hash.update(buffer.subarray(0, bytesRead));
      offset += bytesRead;
    }
  } finally {
    await handle.close();
  }
}

/** Where the metadata of the object at this path lies. */
export function metadataPath(path: string): string {
  return join(dirname(path), `.${basename(path)}.meta.json`);
}

/** Write the metadata of the object at this path, beside it. Its name is flushed with the object's own. */
export async function writeMetadata(path: string, metadata: Record<string, string>): Promise<void> {
  const hidden = join(dirname(path), `.cdh.${randomBytes(6).toString("hex")}.partial`);
  const text = `${JSON.stringify(metadata)}\n`;
  await writeAtomically(metadataPath(path), text, { mode: 0o600, partial: hidden, flush: "content" });
}

/** Read the metadata of the object at this path; undefined when it has none that can be read. */
export async function readMetadata(path: string): Promise<Record<string, string> | undefined> {
  const parsed = await readJsonFile(metadataPath(path), METADATA_LIMITS);
  if (typeof parsed !== "object" || parsed === null) return undefined;
  return Object.fromEntries(
    Object.entries(parsed).filter((entry): entry is [string, string] => typeof entry[1] === "string"),
  );
}

/** Give undefined for what does not exist. */
export async function missingIsUndefined<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return undefined;
    throw error;
  }
}
