import { existsSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { binaryPaths, storedMarks, storedMarksFolder } from "@cdh/core/spool/binaries";
import { BINARIES_DIRECTORY } from "@cdh/core/spool/layout";

/** The unit of st_blocks, whatever the file system's own is. */
const BLOCK_BYTES = 512;

/** Tell whether a build-id's file waits in the spool. */
export function isSpooled(coreDir: string, buildId: string): boolean {
  return (["executable", "debuginfo"] as const).some((role) =>
    existsSync(binaryPaths(coreDir, { buildId, role }).packed),
  );
}

/** Tell whether the store of a namespace has a build-id, as far as this node remembers. */
export function isStored(coreDir: string, buildId: string, namespace: string | undefined): boolean {
  const { all, own } = storedMarks(buildId, namespace);
  return [all, own].some((name) => existsSync(join(storedMarksFolder(coreDir), name)));
}

/** What files of programs take in the spool. */
export interface SpooledUse {
  /** Inodes: two for each file that waits. */
  names: number;
  /** As the file system counts them: a small file takes a block. */
  bytes: number;
}

/** Add up what files of programs take in the spool. */
export function measureSpooled(coreDir: string): SpooledUse {
  const paths = filesIn(coreDir);
  const bytes = paths.reduce((sum, path) => sum + takenBytes(path), 0);
  return { names: paths.length, bytes };
}

/** What a file takes of the disk, in bytes; 0 when it has gone. */
export function takenBytes(path: string): number {
  return (statSync(path, { throwIfNoEntry: false })?.blocks ?? 0) * BLOCK_BYTES;
}

/**
 * Remove the files of programs from the spool, for a core that has no room beside them. They come again with the next crash.
 * @returns whether there were any
 */
export function giveUpSpooled(coreDir: string): boolean {
  const paths = filesIn(coreDir);
  for (const path of paths) {
    try {
      rmSync(path, { force: true });
    } catch {
      // Whatever cannot be removed makes no room.
    }
  }
  return paths.length > 0;
}

function filesIn(coreDir: string): string[] {
  const folder = join(coreDir, BINARIES_DIRECTORY);
  try {
    return readdirSync(folder).map((name) => join(folder, name));
  } catch {
    return [];
  }
}
