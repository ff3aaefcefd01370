import { createHash } from "node:crypto";
import { encodeCrc32, encodeSha256, expectedEtag, type FileDigest } from "./digest.ts";
import { bareEtag, type S3Bucket, type ShownObject } from "./s3-bucket.ts";
import { decodeMetadata } from "./s3-metadata.ts";
import type { VerifiedBy } from "./store.ts";

/**
 * Compare what the store shows with what was hashed here.
 * @returns what proved that it is the same; undefined when it is something else
 */
export async function verifyObject(
  bucket: S3Bucket,
  key: string,
  shown: ShownObject,
  digest: FileDigest,
  signal?: AbortSignal,
): Promise<VerifiedBy | undefined> {
  if (shown.ContentLength !== digest.sizeBytes) return undefined;
  if (digest.crc32 !== undefined && shown.ChecksumCRC32 !== undefined && shown.ChecksumType === "FULL_OBJECT") {
    if (shown.ChecksumCRC32 !== encodeCrc32(digest.crc32.whole)) return undefined;
    // 32 bits find an accident; whether it is the same content at all is for the hash to say.
    if (isOurs(shown, digest)) return "checksum";
  }
  // Only of an object that was sent whole: parts have a checksum of checksums.
  if (shown.ChecksumSHA256 === encodeSha256(digest.sha256)) return "checksum";
  const etag = bareEtag(shown.ETag ?? "");
  if (digest.partMd5s.length === 1 && etag === expectedEtag(digest, false)) return "etag";
  if (digest.partMd5s.length > 0 && etag === expectedEtag(digest, true)) return "etag";
  return (await hashObject(bucket, key, digest.sizeBytes, signal)) === digest.sha256 ? "readBack" : undefined;
}

/** Tell whether an object says of itself that it is this content. */
export function isOurs(shown: ShownObject, digest: FileDigest): boolean {
  return decodeMetadata(shown.Metadata)["cdh-sha256"] === digest.sha256;
}

async function hashObject(
  bucket: S3Bucket,
  key: string,
  sizeBytes: number,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const chunk of (await bucket.get(key, undefined, signal)) ?? []) {
    hash.update(chunk);
    bytes += chunk.length;
    if (bytes > sizeBytes) return undefined;
  }
  return hash.digest("hex");
}
