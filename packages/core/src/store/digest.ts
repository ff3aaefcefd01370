import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { crc32 } from "node:zlib";
import { CdhError, errnoOf, reasonOf } from "../errors.ts";

/** Know a file by its hashes: of the whole and of each part it is sent in. */
export interface FileDigest {
  sizeBytes: number;
  partBytes: number;
  /** Lower-case hexadecimal, of the whole. */
  sha256: string;
  /** MD5 of each part, 16 bytes each; at least one, for an empty file the MD5 of nothing. */
  partMd5s: Buffer[];
  /** CRC-32 of each part, and of the whole; absent unless asked for. */
  crc32?: { parts: number[]; whole: number };
}

/** Say how a file is hashed. */
export interface DigestOptions {
  partBytes: number;
  /** Compute CRC-32 too. */
  crc32?: boolean;
  signal?: AbortSignal | undefined;
}

/** S3 takes at most this many parts. @see https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html */
export const MAX_PARTS = 10_000;
/** The least that S3 takes for a part that is not the last. */
export const MIN_PART_BYTES = 5 * 1024 * 1024;

const READ_BYTES = 1024 * 1024;

/** Compute the part size: the wanted one, grown by whole MiB until the file fits into {@link MAX_PARTS} parts. */
export function partBytesFor(sizeBytes: number, wantedBytes: number): number {
  const wanted = Math.max(MIN_PART_BYTES, wantedBytes);
  if (sizeBytes <= wanted * MAX_PARTS) return wanted;
  const mib = 1024 * 1024;
  return Math.ceil(sizeBytes / MAX_PARTS / mib) * mib;
}

/**
 * Open a regular file for reading, never through a symbolic link and never waiting for the other end of a fifo.
 * @throws {CdhError} CDH_NOT_FOUND, CDH_DISK
 */
export async function openRegularFile(path: string): Promise<FileHandle> {
  let handle: FileHandle;
  try {
    handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    throw new CdhError(errnoOf(error) === "ENOENT" ? "CDH_NOT_FOUND" : "CDH_DISK", `cannot read ${path}: ${reasonOf(error)}`, { cause: error });
  }
  if ((await handle.stat()).isFile()) return handle;
  await handle.close();
  throw new CdhError("CDH_DISK", `cannot read ${path}: not a regular file`);
}

/** Buffers that wait for the next file: a new one for each would be garbage that nothing hurries to collect. */
const spare: Buffer[] = [];

/**
 * Hash an open file in one pass with one small buffer.
 * @throws {CdhError} CDH_STORE_MISMATCH when it is shorter than it should be or grew meanwhile
 */
export async function digestFile(
  handle: FileHandle,
  source: { path: string; sizeBytes: number },
  options: DigestOptions,
): Promise<FileDigest> {
  const buffer = spare.pop() ?? Buffer.allocUnsafeSlow(READ_BYTES);
  try {
    return await digestWith(buffer, handle, source, options);
  } finally {
    spare.push(buffer);
  }
}

async function digestWith(
  buffer: Buffer,
  handle: FileHandle,
  source: { path: string; sizeBytes: number },
  options: DigestOptions,
): Promise<FileDigest> {
  const { partBytes, signal } = options;
  const { sizeBytes } = source;
  const whole = createHash("sha256");
  const partMd5s: Buffer[] = [];
  const crcs = { parts: [] as number[], whole: 0 };
  let offset = 0;
  do {
    const end = Math.min(offset + partBytes, sizeBytes);
    const md5 = createHash("md5");
    let partCrc = 0;
    while (offset < end) {
      signal?.throwIfAborted();
      const { bytesRead } = await handle.read(buffer, 0, Math.min(buffer.length, end - offset), offset);
      if (bytesRead === 0) throw changed(source.path, `it ends after ${offset} bytes, not ${sizeBytes}`);
      const chunk = buffer.subarray(0, bytesRead);
      whole.update(chunk);
      md5.update(chunk);
      if (options.crc32 === true) {
        partCrc = crc32(chunk, partCrc);
        crcs.whole = crc32(chunk, crcs.whole);
      }
      offset += bytesRead;
    }
    partMd5s.push(md5.digest());
    crcs.parts.push(partCrc);
  } while (offset < sizeBytes);
  const { bytesRead } = await handle.read(buffer, 0, 1, offset);
  if (bytesRead > 0) throw changed(source.path, `it is longer than ${sizeBytes} bytes`);
  return { sizeBytes, partBytes, sha256: whole.digest("hex"), partMd5s, ...(options.crc32 === true ? { crc32: crcs } : {}) };
}

/** Hash a body that is in memory. */
export function digestBytes(body: Uint8Array): FileDigest {
  return {
    sizeBytes: body.length,
    partBytes: Math.max(MIN_PART_BYTES, body.length),
    sha256: createHash("sha256").update(body).digest("hex"),
    partMd5s: [createHash("md5").update(body).digest()],
    crc32: { parts: [crc32(body)], whole: crc32(body) },
  };
}

/** Compute the ETag that S3 gives an object that is not encrypted with a managed key: an MD5, or the MD5 of the parts' MD5s. */
export function expectedEtag(digest: FileDigest, multipart: boolean): string {
  if (!multipart) return digest.partMd5s[0]?.toString("hex") ?? "";
  return `${createHash("md5").update(Buffer.concat(digest.partMd5s)).digest("hex")}-${digest.partMd5s.length}`;
}

/** Encode a CRC-32 as S3 does: four bytes, big-endian, base64. */
export function encodeCrc32(value: number | undefined): string {
  if (value === undefined) throw new Error("the CRC-32 was not computed");
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes.toString("base64");
}

function changed(path: string, how: string): CdhError {
  return new CdhError("CDH_STORE_MISMATCH", `cannot send ${path}: it changed meanwhile, ${how}`);
}
