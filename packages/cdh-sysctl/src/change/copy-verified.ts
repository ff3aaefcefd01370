import {
  chmodSync,
  closeSync,
  constants,
  copyFileSync,
  fsyncSync,
  openSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { CdhError, errnoOf, reasonOf } from "@cdh/core/errors";
import { syncDirectorySync } from "@cdh/core/files/sync-directory";
import { partialOf } from "@cdh/core/files/write-atomically";
import { makeDirectory } from "../node/files.ts";
import { hashFile } from "../node/hash-file.ts";
import type { LibrarySource } from "./composer-source.ts";
import type { Patch } from "./loader.ts";

/** A file to copy and what it must be afterwards. */
export interface FileToCopy {
  path: string;
  patches: readonly Patch[];
  sha256: string;
}

/**
 * Copy a file to its partial name, patched, on the disk, and proved by reading it back.
 * @returns the partial path; {@link publishFile} gives it its name
 * @throws {CdhError} CDH_DISK when it cannot be written, or reads back differently
 */
export function copyVerified(source: FileToCopy, target: string, mode: number): string {
  const partial = partialOf(target);
  try {
    rmSync(partial, { force: true });
    copyFileSync(source.path, partial, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
    chmodSync(partial, mode);
    const file = openSync(partial, "r+");
    try {
      for (const patch of source.patches) writeSync(file, patch.bytes, 0, patch.bytes.length, patch.offset);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
  } catch (error) {
    rmSync(partial, { force: true });
    throw diskError(`cannot copy ${source.path} to ${target}`, error);
  }
  const actual = hashFile(partial);
  if (actual !== source.sha256) {
    rmSync(partial, { force: true });
    throw new CdhError("CDH_DISK", `cannot copy ${source.path} to ${target}: it reads back differently`, {
      details: { wanted: source.sha256, actual },
    });
  }
  return partial;
}

/** Give a staged file its name, in one step. */
export function publishFile(partial: string, target: string): void {
  try {
    renameSync(partial, target);
    syncDirectorySync(dirname(target));
  } catch (error) {
    throw diskError(`cannot put ${target} in place`, error);
  }
}

/** Put the composer's libraries into a directory, each by rename. Those that are there already stay untouched. */
export function placeLibraries(libraries: readonly LibrarySource[], folder: string): void {
  makeDirectory(folder, 0o755);
  for (const library of libraries) {
    const target = join(folder, library.name);
    if (hashFile(target) === library.sha256) continue;
    publishFile(copyVerified({ path: library.path, patches: [], sha256: library.sha256 }, target, 0o755), target);
  }
}

/** Turn a failed write into an error with the right code. */
export function diskError(what: string, error: unknown): CdhError {
  const full = errnoOf(error) === "ENOSPC" || errnoOf(error) === "EDQUOT";
  return new CdhError("CDH_DISK", `${what}: ${reasonOf(error)}`, {
    ...(full ? { hint: "free some space on the node, or choose another HOST_DIR" } : {}),
    cause: error,
  });
}
