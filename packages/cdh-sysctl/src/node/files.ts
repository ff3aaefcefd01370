import { lstatSync, mkdirSync, readFileSync, type Stats } from "node:fs";
import { dirname } from "node:path";
import { errnoOf } from "@cdh/core/errors";
import { syncDirectorySync } from "@cdh/core/files/sync-directory";

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
  syncDirectorySync(parent);
  return true;
}

function isMissing(error: unknown): boolean {
  return errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR";
}
