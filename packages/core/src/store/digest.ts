import { createHash } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import { crc32 } from "node:zlib";
import { CdhError } from "../base/errors.ts";
import { hashHere, hashInThread } from "./hash-thread.ts";

/** Know a file by its hashes: of the whole and of each part it is sent in. */
export interface FileDigest {
  sizeBytes: number;
  partBytes: number;
  /** Lower-case hexadecimal, of the whole. */
  sha256: string;
  /** MD5 of each part, 16 bytes each, for an empty file the MD5 of nothing; none when it was not asked for. */
  partMd5s: Buffer[];
  /** CRC-32 of each part, and of the whole; absent unless asked for. */
  crc32?: { parts: number[]; whole: number };
}

/** Say how a file is hashed. */
export interface DigestOptions {
  partBytes: number;
  /** Compute MD5; default true. It takes twice the time of SHA-256. */
  md5?: boolean;
  /** Compute CRC-32 too. */
  crc32?: boolean;
  signal?: AbortSignal | undefined;
}

/** S3 takes at most this many parts. @see https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html */
export const MAX_PARTS = 10_000;
/** The least that S3 takes for a part that is not the last. */
export const MIN_PART_BYTES = 5 * 1024 * 1024;

/** Read at once. It stays in the processor's own cache between the read and the hash: 1 MiB takes a third more time. */
const READ_BYTES = 256 * 1024;

/** Compute the part size: the wanted one, grown by whole MiB until the file fits into {@link MAX_PARTS} parts. */
export function partBytesFor(sizeBytes: number, wantedBytes: number): number {
  const wanted = Math.max(MIN_PART_BYTES, wantedBytes);
  if (sizeBytes <= wanted * MAX_PARTS) return wanted;
  const mib = 1024 * 1024;
  return Math.ceil(sizeBytes / MAX_PARTS / mib) * mib;
}

/** Files up to this size are hashed where they are asked for; the way to the thread and back would take longer. */
const INLINE_BYTES = 256 * 1024;

/**
 * Hash an open file in one pass with one small buffer, in a thread of its own when it is large, so that requests on
 * their way do not wait for it.
 * @throws {CdhError} CDH_STORE_MISMATCH when it is shorter than it should be or grew meanwhile
 */
export async function digestFile(
  handle: FileHandle,
  source: { path: string; sizeBytes: number },
  options: DigestOptions,
): Promise<FileDigest> {
  const { partBytes, signal } = options;
  const { sizeBytes } = source;
  signal?.throwIfAborted();
  const job = {
    fd: handle.fd,
    sizeBytes,
    partBytes,
    md5: options.md5 !== false,
    crc32: options.crc32 === true,
    readBytes: READ_BYTES,
  };
  const sums = sizeBytes <= INLINE_BYTES ? await hashHere(job, handle) : await hashInThread(job, signal);
  if (sums.readBytes < sizeBytes) throw changed(source.path, `it ends after ${sums.readBytes} bytes, not ${sizeBytes}`);
  if (sums.readBytes > sizeBytes) throw changed(source.path, `it is longer than ${sizeBytes} bytes`);
  const { crc32: parts, wholeCrc32: whole } = sums;
  return {
    sizeBytes,
    partBytes,
    sha256: sums.sha256,
    partMd5s: job.md5 ? sums.partMd5s.map((md5) => Buffer.from(md5, "hex")) : [],
    ...(options.crc32 === true ? { crc32: { parts, whole } } : {}),
  };
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
export function expectedEtag(digest: FileDigest, multipart: boolean): string | undefined {
  if (digest.partMd5s.length === 0) return undefined;
  if (!multipart) return digest.partMd5s[0]?.toString("hex");
  return `${createHash("md5").update(Buffer.concat(digest.partMd5s)).digest("hex")}-${digest.partMd5s.length}`;
}

/** Encode a SHA-256 as S3 does: base64. */
export function encodeSha256(hexadecimal: string): string {
  return Buffer.from(hexadecimal, "hex").toString("base64");
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
