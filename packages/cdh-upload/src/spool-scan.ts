import { bundleNameOf } from "@cdh/core/spool/layout";
import { errnoOf } from "@cdh/core/errors";
import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";

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
}

/**
 * Look at the spool. Only regular files named `N.zip` count; nothing is followed, opened or changed.
 * @returns nothing found when the directory does not exist yet
 */
export async function scanSpool(coreDir: string): Promise<SpoolScan> {
  const files: SpoolFile[] = [];
  const ignored: string[] = [];
  for (const fileName of await namesIn(coreDir)) {
    if (fileName.startsWith(".")) continue;
    const path = join(coreDir, fileName);
    const name = bundleNameOf(fileName);
    const stats = name === undefined ? undefined : await lstat(path).catch(() => undefined);
    if (name === undefined || stats?.isFile() !== true) ignored.push(fileName);
    else
      files.push({ name, fileName, path, sizeBytes: stats.size, modifiedAt: stats.mtimeMs, changedAt: stats.ctimeMs });
  }
  return { files: files.toSorted((a, b) => b.modifiedAt - a.modifiedAt), ignored };
}

async function namesIn(coreDir: string): Promise<string[]> {
  try {
    return await readdir(coreDir);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  }
}
