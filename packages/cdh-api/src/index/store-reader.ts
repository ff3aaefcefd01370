import { READ_LIMITS } from "@cdh/core/bundle/limits";
import { CdhError } from "@cdh/core/errors";
import type { ObjectInfo, ObjectStore } from "@cdh/core/store/store";
import type { ManifestHead } from "../manifests/head.ts";
import { parseInThread } from "../manifests/thread.ts";

export const MANIFEST_SUFFIX = ".manifest.json";
export const BUNDLE_SUFFIX = ".zip";
export const KEEP_SUFFIX = ".keep";

/** Tell one state of an object from another, as far as a listing shows it. */
export function stampOf(object: ObjectInfo): string {
  return object.etag ?? `${object.sizeBytes}-${Math.round(object.modifiedAt)}`;
}

/**
 * Read what the index keeps of a manifest in the store; undefined when it is gone.
 * @throws {CdhError} the CDH_BUNDLE family when it is garbage, the CDH_STORE family when it cannot be read
 */
export async function readStoredHead(
  store: ObjectStore,
  stem: string,
  signal?: AbortSignal,
): Promise<ManifestHead | undefined> {
  const bytes = await readManifestBytes(store, stem, signal);
  return bytes === undefined ? undefined : await parseInThread("head", bytes, stem);
}

/**
 * Read the bytes of a manifest in the store, for {@link parseInThread}; undefined when it is gone.
 * @throws {CdhError} CDH_BUNDLE_ENTRY_TOO_LARGE, the CDH_STORE family
 */
export async function readManifestBytes(
  store: ObjectStore,
  stem: string,
  signal?: AbortSignal,
): Promise<Buffer | undefined> {
  const key = `${stem}${MANIFEST_SUFFIX}`;
  const body = await store.get(
    key,
    { offset: 0, length: READ_LIMITS.manifest.bytes + 1, chunkBytes: 64 * 1024 },
    signal,
  );
  if (body === undefined) return undefined;
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of body) {
    chunks.push(chunk);
    length += chunk.length;
  }
  if (length > READ_LIMITS.manifest.bytes) {
    throw new CdhError("CDH_BUNDLE_ENTRY_TOO_LARGE", `cannot read ${key}: larger than any manifest`);
  }
  return Buffer.concat(chunks);
}

/** Tell whether reading failed because of what was read, not because of the store. */
export function isGarbage(error: unknown): boolean {
  return error instanceof CdhError && error.code.startsWith("CDH_BUNDLE_");
}
