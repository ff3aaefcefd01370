import { lstat, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { CdhError, reasonOf } from "@cdh/core/errors";

/** Folders of a build that are walked, and files in them. */
const DEPTH_MAX = 32;
const FILES_MAX = 100_000;

/** A file that may be one to push. */
export interface Candidate {
  path: string;
  /** Named by a person, not found in a folder: what is wrong with it has to be told. */
  isNamed: boolean;
}

/**
 * Find the files that paths mean: themselves, and everything below folders. Links in folders are left alone.
 * @throws {CdhError} CDH_NOT_FOUND, CDH_DISK
 */
export async function findFiles(paths: readonly string[]): Promise<Candidate[]> {
  const found: Candidate[] = [];
  const walk = async (path: string, depth: number): Promise<void> => {
    for (const name of (await readdir(path)).toSorted()) {
      const below = join(path, name);
      const stats = await lstat(below);
      if (stats.isDirectory() && depth < DEPTH_MAX) await walk(below, depth + 1);
      if (stats.isFile()) found.push({ path: below, isNamed: false });
      if (found.length > FILES_MAX) throw new CdhError("CDH_DISK", `${path} holds more than ${FILES_MAX} files`);
    }
  };
  for (const path of paths) {
    try {
      if ((await stat(path)).isDirectory()) await walk(path, 0);
      else found.push({ path, isNamed: true });
    } catch (error) {
      if (error instanceof CdhError) throw error;
      const code = reasonOf(error).startsWith("no such") ? "CDH_NOT_FOUND" : "CDH_DISK";
      throw new CdhError(code, `cannot read ${path}: ${reasonOf(error)}`, { cause: error });
    }
  }
  return found;
}
