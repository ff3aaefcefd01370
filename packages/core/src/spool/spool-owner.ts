import { randomBytes } from "node:crypto";
import type { Stats } from "node:fs";
import { constants } from "node:fs";
import { lstat, mkdir, open, rename, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { CdhError, errnoOf, reasonOf } from "../base/errors.ts";
import { makeFolders } from "../files/make-folders.ts";
import {
  BINARIES_DIRECTORY,
  DIRECTORY_MODE,
  QUARANTINE_DIRECTORY,
  STATE_DIRECTORY,
  UPLOADED_DIRECTORY,
} from "./layout.ts";

/** Directories of the spool's own. Nobody else may put anything into them. */
const WORK_DIRECTORIES = [STATE_DIRECTORY, QUARANTINE_DIRECTORY, UPLOADED_DIRECTORY, BINARIES_DIRECTORY] as const;

/** Group or others may write. */
const WRITABLE_BY_OTHERS = 0o022;
const STICKY = 0o1000;

/** Tell whether a user may be trusted with the spool: root, or whoever this process runs as. */
export function isTrustedUser(uid: number): boolean {
  return uid === 0 || uid === process.getuid?.();
}

/**
 * Learn whose files in a spool are the spool's own: root's, this process's own, and those of the directory's owner, who
 * could do everything there anyway. Where others may write, a file with a second name is nobody's: the other name may lie
 * in a place that its writer could never read.
 */
export async function ownFilesOf(directory: string): Promise<(stats: Stats) => boolean> {
  const { uid, mode } = await stat(directory);
  const isShared = (mode & WRITABLE_BY_OTHERS) !== 0;
  return (file) => file.isFile() && (isTrustedUser(file.uid) || file.uid === uid) && (!isShared || file.nlink === 1);
}

/**
 * Make sure that `state`, `quarantine`, `uploaded` and `binaries` are directories of the spool's owner, before anything is written
 * through them. What others put under these names is moved aside. Where others may write, those that are missing are
 * made, unless `makes` is false, so that nobody can make them first.
 * @returns where the things lie that were moved aside
 * @throws {CdhError} CDH_ENVIRONMENT when the spool cannot be made safe; the system's error
 */
export async function secureWorkDirectories(coreDir: string, makes = true): Promise<string[]> {
  const spool = await stat(coreDir).catch((error: unknown) => {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  });
  if (spool === undefined) return [];
  const isShared = (spool.mode & WRITABLE_BY_OTHERS) !== 0;
  if (isShared && makes && (spool.mode & STICKY) === 0)
    throw new CdhError("CDH_ENVIRONMENT", `cannot use ${coreDir}: others may rename what lies in it`, {
      hint: "chmod 0700, or let `cdh-sysctl install` set its mode",
    });
  const moved: string[] = [];
  for (const name of WORK_DIRECTORIES) {
    const path = join(coreDir, name);
    if ((await isOwnDirectory(path, spool.uid)) === false) {
      const aside = join(coreDir, `.not-ours.${name}.${randomBytes(4).toString("hex")}`);
      await rename(path, aside).catch((error: unknown) => {
        throw new CdhError("CDH_ENVIRONMENT", `cannot use ${coreDir}: its ${name} is not ours (${reasonOf(error)})`, {
          cause: error,
        });
      });
      moved.push(aside);
    }
    // On a full disk it is made later, and looked at again before anything is written into it.
    if (isShared && makes) await mkdir(path, { mode: DIRECTORY_MODE }).catch(() => {});
  }
  return moved;
}

/**
 * Make a directory of the spool's own, or find it.
 * @throws {CdhError} CDH_ENVIRONMENT when something of somebody else's stands there; the system's error
 */
export async function makeOwnDirectory(path: string): Promise<void> {
  await makeFolders(path, DIRECTORY_MODE);
  const { uid } = await stat(dirname(path));
  if ((await isOwnDirectory(path, uid)) === true) return;
  throw new CdhError("CDH_ENVIRONMENT", `cannot write into ${path}: it is a link, or somebody else's`, {
    hint: "remove it",
  });
}

/** Tell whether a directory is one, no link, and a trusted user's; undefined when there is nothing. */
async function isOwnDirectory(path: string, spoolUid: number): Promise<boolean | undefined> {
  try {
    const handle = await open(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
    try {
      const { uid } = await handle.stat();
      return isTrustedUser(uid) || uid === spoolUid;
    } finally {
      await handle.close();
    }
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "ENOENT") return undefined;
    // A link, a file, or a directory that its owner has closed to us.
    if (errno === "ELOOP" || errno === "ENOTDIR" || errno === "ENXIO") return false;
    if (errno === "EACCES") return isTrustedUser((await lstat(path)).uid);
    throw error;
  }
}
