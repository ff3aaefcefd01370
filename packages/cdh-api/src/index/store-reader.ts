import type { Manifest } from "@cdh/core/bundle/manifest";
import { parseManifest } from "@cdh/core/bundle/reader-manifest";
import { CdhError } from "@cdh/core/errors";
import type { ObjectInfo, ObjectStore } from "@cdh/core/store/store";

export const MANIFEST_SUFFIX = ".manifest.json";
export const BUNDLE_SUFFIX = ".zip";
export const KEEP_SUFFIX = ".keep";

/** No manifest is larger. */
const MANIFEST_MAX_BYTES = 16 * 1024 * 1024;

/** Tell one state of an object from another, as far as a listing shows it. */
export function stampOf(object: ObjectInfo): string {
  return object.etag ?? `${object.sizeBytes}-${Math.round(object.modifiedAt)}`;
}

/**
 * Read a manifest from the store; undefined when it is gone.
 * @throws {CdhError} the CDH_BUNDLE family when it is garbage, the CDH_STORE family when it cannot be read
 */
export async function readStoredManifest(
  store: ObjectStore,
  stem: string,
  signal?: AbortSignal,
): Promise<Manifest | undefined> {
  const key = `${stem}${MANIFEST_SUFFIX}`;
  const body = await store.get(key, { offset: 0, length: MANIFEST_MAX_BYTES + 1, chunkBytes: 64 * 1024 }, signal);
  if (body === undefined) return undefined;
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of body) {
    chunks.push(chunk);
    length += chunk.length;
  }
  if (length > MANIFEST_MAX_BYTES) {
    throw new CdhError("CDH_BUNDLE_ENTRY_TOO_LARGE", `cannot read ${key}: larger than any manifest`);
  }
  return parseManifest(Buffer.concat(chunks), key);
}

/** Tell whether reading failed because of what was read, not because of the store. */
export function isGarbage(error: unknown): boolean {
  return error instanceof CdhError && error.code.startsWith("CDH_BUNDLE_");
}
