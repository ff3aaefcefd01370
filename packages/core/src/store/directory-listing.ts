import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "../errors.ts";
import { compareKeys } from "./keys.ts";
import type { ListOptions, ObjectInfo } from "./store.ts";

/**
 * Walk a directory in key order, one folder in memory at a time. Hidden names, symbolic links and whatever is no
 * regular file do not exist for a reader.
 */
export async function* listDirectory(root: string, prefix: string, options: ListOptions): AsyncIterable<ObjectInfo> {
  yield* walk(root, "", prefix, options);
}

async function* walk(root: string, folder: string, prefix: string, options: ListOptions): AsyncIterable<ObjectInfo> {
  for (const { key, isFolder } of await childrenOf(root, folder)) {
    options.signal?.throwIfAborted();
    if (isFolder) {
      const mayMatch = key.startsWith(prefix) || prefix.startsWith(key);
      // A folder whose every key sorts before the start is skipped whole.
      const allBefore =
        options.startAfter !== undefined &&
        !options.startAfter.startsWith(key) &&
        compareKeys(key, options.startAfter) < 0;
      if (mayMatch && !allBefore) yield* walk(root, key, prefix, options);
      continue;
    }
    if (!key.startsWith(prefix)) continue;
    if (options.startAfter !== undefined && compareKeys(key, options.startAfter) <= 0) continue;
    const object = await describe(root, key);
    if (object !== undefined) yield object;
  }
}

/** Read a folder's children in key order; a folder's key ends with `/`, because that is how its contents sort. */
async function childrenOf(root: string, folder: string): Promise<{ key: string; isFolder: boolean }[]> {
  try {
    const entries = await readdir(join(root, folder), { withFileTypes: true });
    return entries
      .filter((entry) => !entry.name.startsWith(".") && (entry.isFile() || entry.isDirectory()))
      .map((entry) => ({
        key: `${folder}${entry.name}${entry.isDirectory() ? "/" : ""}`,
        isFolder: entry.isDirectory(),
      }))
      .sort((a, b) => compareKeys(a.key, b.key));
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  }
}

async function describe(root: string, key: string): Promise<ObjectInfo | undefined> {
  try {
    const stats = await lstat(join(root, key));
    return stats.isFile() ? { key, sizeBytes: stats.size, modifiedAt: stats.mtimeMs } : undefined;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}
