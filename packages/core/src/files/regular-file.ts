import { constants, type Stats } from "node:fs";
import { lstat, open, stat, type FileHandle } from "node:fs/promises";
import { CdhError, errnoOf, reasonOf } from "../base/errors.ts";

/** Say what may lie at a path. */
export interface RegularFileOptions {
  /** Open what a symbolic link at the end of the path leads to; default false, which refuses links. */
  followLinks?: boolean;
}

/**
 * Open a regular file for reading. It never waits for the other end of a FIFO and never opens a device, whose open alone
 * can have effects: what lies there is looked at before it is opened, and again afterwards.
 * @throws {CdhError} CDH_NOT_FOUND when there is nothing, CDH_DISK when it is no regular file or cannot be read
 */
export async function openRegularFile(path: string, options: RegularFileOptions = {}): Promise<FileHandle> {
  const followLinks = options.followLinks === true;
  const before = await (followLinks ? stat(path) : lstat(path)).catch((error: unknown) => {
    throw cannotRead(path, error);
  });
  if (!before.isFile()) throw notRegular(path, before);
  const flags = constants.O_RDONLY | constants.O_NONBLOCK | (followLinks ? 0 : constants.O_NOFOLLOW);
  const handle = await open(path, flags).catch((error: unknown) => {
    throw cannotRead(path, error);
  });
  const after = await handle.stat().catch(async (error: unknown) => {
    await handle.close();
    throw cannotRead(path, error);
  });
  if (after.isFile()) return handle;
  await handle.close();
  throw notRegular(path, after);
}

/**
 * Hand an open file on where it is what somebody wants; else, and where that cannot be told, it is closed.
 * @returns undefined when it was closed
 */
export async function closeUnless(
  file: FileHandle,
  isWanted: (stats: Stats) => boolean,
): Promise<FileHandle | undefined> {
  const stats = await file.stat().catch(() => undefined);
  if (stats !== undefined && isWanted(stats)) return file;
  await file.close();
  return undefined;
}

function cannotRead(path: string, error: unknown): CdhError {
  const code = ["ENOENT", "ENOTDIR"].includes(errnoOf(error) ?? "") ? "CDH_NOT_FOUND" : "CDH_DISK";
  return new CdhError(code, `cannot read ${path}: ${reasonOf(error)}`, { cause: error });
}

function notRegular(path: string, found: Stats): CdhError {
  const what = found.isSymbolicLink() ? "it is a symbolic link" : "not a regular file";
  return new CdhError("CDH_DISK", `cannot read ${path}: ${what}`);
}
