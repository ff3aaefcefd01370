import { lstat, opendir } from "node:fs/promises";
import { join } from "node:path";
import { CdhError, errnoOf } from "../../base/errors.ts";
import { compareKeys } from "../keys.ts";
import { LISTING_LIMITS, ListingCount } from "../listing.ts";
import type { ListOptions, ObjectInfo } from "../store.ts";

/** A folder is sorted in memory, some hundred bytes a name. A crash leaves two names in its namespace's folder. */
const NAMES_MAX = 1_000_000;
/** Bounds on a listing of a directory. */
export interface DirectoryLimits {
  /** In one folder. */
  names: number;
  /** In all of them. */
  objects: number;
}

/** What is walked. */
interface Walk {
  root: string;
  names: number;
}

/** Names read at once. */
const READ_NAMES = 1024;

/**
 * Walk a directory in key order, one folder in memory at a time. Hidden names, symbolic links and whatever is no
 * regular file do not exist for a reader.
 */
export async function* listDirectory(
  root: string,
  prefix: string,
  options: ListOptions,
  { names = NAMES_MAX, ...limits }: Partial<DirectoryLimits> = {},
): AsyncIterable<ObjectInfo> {
  const what = `list ${prefix === "" ? root : `${prefix} in ${root}`}`;
  const count = new ListingCount(what, { ...LISTING_LIMITS, ...limits });
  for await (const object of walk({ root, names }, "", prefix, options)) {
    count.add();
    yield object;
  }
}

async function* walk(at: Walk, folder: string, prefix: string, options: ListOptions): AsyncIterable<ObjectInfo> {
  for (const key of await childrenOf(at, folder, options.signal)) {
    options.signal?.throwIfAborted();
    if (key.endsWith("/")) {
      const mayMatch = key.startsWith(prefix) || prefix.startsWith(key);
      // A folder whose every key sorts before the start is skipped whole.
      const allBefore =
        options.startAfter !== undefined &&
        !options.startAfter.startsWith(key) &&
        compareKeys(key, options.startAfter) < 0;
      if (mayMatch && !allBefore) yield* walk(at, key, prefix, options);
      continue;
    }
    if (!key.startsWith(prefix)) continue;
    if (options.startAfter !== undefined && compareKeys(key, options.startAfter) <= 0) continue;
    const object = await describe(at.root, key);
    if (object !== undefined) yield object;
  }
}

/**
 * Read the keys of a folder's children in order; a folder's key ends with `/`, because that is how its contents sort.
 * @throws {CdhError} CDH_STORE when there are more names than can be sorted in memory
 */
async function childrenOf({ root, names }: Walk, folder: string, signal: AbortSignal | undefined): Promise<string[]> {
  const keys: string[] = [];
  try {
    for await (const entry of await opendir(join(root, folder), { bufferSize: READ_NAMES })) {
      if (entry.name.startsWith(".") || !(entry.isFile() || entry.isDirectory())) continue;
      signal?.throwIfAborted();
      if (keys.length === names) {
        throw new CdhError("CDH_STORE", `cannot list ${join(root, folder)}: it holds more than ${names} names`, {
          hint: "move older bundles to another directory",
        });
      }
      keys.push(`${folder}${entry.name}${entry.isDirectory() ? "/" : ""}`);
    }
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  }
  return keys.sort(compareKeys);
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
