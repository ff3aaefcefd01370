import type { FileDigest } from "../digest.ts";
import { hashBody } from "../read-back.ts";
import type { VerifiedBy } from "../store.ts";
import type { AzureContainer, ShownBlob } from "./container.ts";
import { fromAzureMetadata } from "./metadata.ts";
import { blockId, blocksOf } from "./upload.ts";

/** Tell whether a blob says of itself that it is this content. */
function isOurs(shown: ShownBlob, digest: FileDigest): boolean {
  return fromAzureMetadata(shown.metadata)["cdh-sha256"] === digest.sha256;
}

/**
 * Compare what the store shows with what was hashed here. A blob that is made of our own blocks is proven by them: their
 * names hold the content's hash, and the service took each only with its MD5. Any other is read back.
 * @returns what proved that it is the same; undefined when it is something else
 * @throws {CdhError} of the CDH_STORE family when it could not be looked at whole
 */
export async function verifyBlob(
  container: AzureContainer,
  key: string,
  shown: ShownBlob,
  digest: FileDigest,
  signal?: AbortSignal,
): Promise<VerifiedBy | undefined> {
  if (shown.contentLength !== digest.sizeBytes) return undefined;
  if (isOurs(shown, digest) && (await isMadeOfOurBlocks(container, key, shown, digest, signal))) return "checksum";
  const body = await container.get(key, undefined, signal);
  const sha256 = await hashBody(body, { key, url: container.url, sizeBytes: digest.sizeBytes });
  return sha256 === digest.sha256 ? "readBack" : undefined;
}

async function isMadeOfOurBlocks(
  container: AzureContainer,
  key: string,
  shown: ShownBlob,
  digest: FileDigest,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const blob = container.blob(key);
  const list = await container.requests.send(({ abortSignal }) => blob.getBlockList("committed", { abortSignal }), {
    what: `look up the blocks of ${key}`,
    signal,
  });
  // Somebody replaced it between the two answers: then these are the blocks of something else.
  if (list.etag !== shown.etag) return false;
  const there = list.committedBlocks ?? [];
  const wanted = blocksOf(digest);
  return (
    there.length === wanted.length &&
    wanted.every(({ index, length }) => there[index]?.name === blockId(digest, index) && there[index]?.size === length)
  );
}
