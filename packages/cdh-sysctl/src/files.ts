import {
  closeSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
  type Stats,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { errnoOf } from "@cdh/core/errors";

/** Suffix of files that are not complete yet. They start with a dot and are removed by the next run. */
export const PARTIAL_SUFFIX = ".partial";

/** Name the file that stands for `path` until it is complete. */
export function partialOf(path: string): string {
  return join(dirname(path), `.${basename(path)}${PARTIAL_SUFFIX}`);
}

/**
 * Replace a file as a whole: whoever reads it sees the old content or the new one, also after a power cut.
 * Works as it is for a file that does not exist yet.
 */
export function writeFileSafely(path: string, data: string | Uint8Array, mode: number): void {
  const partial = partialOf(path);
  rmSync(partial, { force: true });
  try {
    const file = openSync(partial, "wx", mode);
    try {
      const bytes = typeof data === "string" ? Buffer.from(data) : data;
      for (let done = 0; done < bytes.length;) done += writeSync(file, bytes, done);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(partial, path);
  } catch (error) {
    rmSync(partial, { force: true });
    throw error;
  }
  syncDirectory(dirname(path));
}

/** Make the names in a directory survive a power cut. */
export function syncDirectory(path: string): void {
  const directory = openSync(path, "r");
  try {
    fsyncSync(directory);
  } catch (error) {
    // Some network file systems know no fsync of directories; the rename itself is still atomic there.
    if (errnoOf(error) !== "EINVAL") throw error;
  } finally {
    closeSync(directory);
  }
}

/** Read a text file; undefined when it does not exist. */
export function readTextIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** Look at a file without following a symbolic link; undefined when it does not exist. */
export function lstatIfThere(path: string): Stats | undefined {
  try {
    return lstatSync(path);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** Make a directory and those above it; tells whether it had to. */
export function makeDirectory(path: string, mode: number): boolean {
  if (lstatIfThere(path) !== undefined) return false;
  const parent = dirname(path);
  if (lstatIfThere(parent) === undefined) makeDirectory(parent, 0o755);
  mkdirSync(path, { mode });
  syncDirectory(parent);
  return true;
}

function isMissing(error: unknown): boolean {
  return errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR";
}
