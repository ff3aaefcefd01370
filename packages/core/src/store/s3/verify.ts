import { encodeCrc32, encodeSha256, expectedEtag, type FileDigest } from "../digest.ts";
import { bareEtag } from "../etag.ts";
import { decodeMetadata } from "../metadata-text.ts";
import { hashBody } from "../read-back.ts";
import type { VerifiedBy } from "../store.ts";
import type { S3Bucket, ShownObject } from "./bucket.ts";

/**
 * Compare what the store shows with what was hashed here.
 * @returns what proved that it is the same; undefined when it is something else
 * @throws {CdhError} of the CDH_STORE family when it could not be looked at as a whole
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
  const body = await bucket.get(key, undefined, signal);
  const sha256 = await hashBody(body, { key, url: bucket.url, sizeBytes: digest.sizeBytes });
  return sha256 === digest.sha256 ? "readBack" : undefined;
}

/** Tell whether an object says of itself that it is this content. */
function isOurs(shown: ShownObject, digest: FileDigest): boolean {
  return decodeMetadata(shown.Metadata)["cdh-sha256"] === digest.sha256;
}
