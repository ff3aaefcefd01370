import type { ObjectInfo, ObjectStore } from "../store/store.ts";
import { DEBUG_FOLDER, tryParseDebugFileKey, type DebugFileId } from "./keys.ts";

/** A file that the store keeps, as a listing shows it. */
export interface ListedFile {
  id: DebugFileId;
  info: ObjectInfo;
}

/**
 * List the files that a store keeps, by build-id.
 * @param options.buildId only those of this one
 * @throws {CdhError} the CDH_STORE family
 */
export async function* listDebugFiles(
  store: ObjectStore,
  { base = "", buildId, signal }: { base?: string; buildId?: string; signal?: AbortSignal } = {},
): AsyncIterable<ListedFile> {
  const prefix = `${base}${DEBUG_FOLDER}${buildId === undefined ? "" : `${buildId}/`}`;
  for await (const info of store.list(prefix, signal === undefined ? {} : { signal })) {
    const id = tryParseDebugFileKey(info.key, base);
    if (id !== undefined) yield { id, info };
  }
}
