import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "@cdh/core/errors";
import { bundleNameOf, partialNameOf } from "@cdh/core/spool/layout";
import { ownFilesOf } from "@cdh/core/spool/spool-owner";

/** A published bundle as a look at the spool shows it. */
export interface SpoolFile {
  /** `N`. */
  name: string;
  fileName: string;
  path: string;
  sizeBytes: number;
  /** Epoch milliseconds. */
  modifiedAt: number;
  /** Epoch milliseconds; the rename that publishes sets it. */
  changedAt: number;
}

/** What lies in the spool. */
export interface SpoolScan {
  /** The newest first. */
  files: SpoolFile[];
  /** Names that are no published bundles and are left alone: directories, links, fifos, other files. */
  ignored: string[];
  /** Names of bundles, finished or not, that somebody put there who is not trusted with the spool. */
  foreign: string[];
}

/**
 * Look at the spool. Only regular files named `N.zip` count, and only those of its owners; nothing is followed, opened
 * or changed.
 * @param moved called after each name
 * @returns nothing found when the directory does not exist yet
 */
export async function scanSpool(coreDir: string, moved: () => void = () => {}): Promise<SpoolScan> {
  const scan: SpoolScan = { files: [], ignored: [], foreign: [] };
  const names = await namesIn(coreDir);
  if (names.length === 0) return scan;
  const isOwn = await ownFilesOf(coreDir);
  for (const fileName of names) {
    const isTorn = partialNameOf(fileName) !== undefined;
    if (fileName.startsWith(".") && !isTorn) continue;
    const path = join(coreDir, fileName);
    const name = bundleNameOf(fileName);
    const stats = await lstat(path).catch((error: unknown) => errnoOf(error));
    moved();
    // An upload that ended since the names were read has removed it: that is no finding.
    if (stats === "ENOENT") continue;
    const isFile = typeof stats === "object" && stats.isFile();
    if (isFile && (isTorn || name !== undefined) && !isOwn(stats)) scan.foreign.push(fileName);
    else if (isTorn) continue;
    else if (name === undefined || !isFile) scan.ignored.push(fileName);
    else
      scan.files.push({
        name,
        fileName,
        path,
        sizeBytes: stats.size,
        modifiedAt: stats.mtimeMs,
        changedAt: stats.ctimeMs,
      });
  }
  return { ...scan, files: scan.files.toSorted((a, b) => b.modifiedAt - a.modifiedAt) };
}

async function namesIn(coreDir: string): Promise<string[]> {
  try {
    return await readdir(coreDir);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  }
}
