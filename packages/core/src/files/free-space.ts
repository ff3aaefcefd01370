import { statfsSync, type StatsFs } from "node:fs";
import { statfs } from "node:fs/promises";

/** Free and total of the file system that a path is on. */
export interface FileSystemSpace {
  /** What a process without privileges may still write. */
  availableBytes: number;
  totalBytes: number;
  freeInodes: number;
  /** 0 where the file system makes inodes as it needs them (btrfs). */
  totalInodes: number;
}

/** Measure a file system. @throws the system's error */
export async function measureSpace(path: string): Promise<FileSystemSpace> {
  return spaceOf(await statfs(path));
}

/** Measure a file system; undefined when it can't be, whatever the reason. */
export async function tryMeasureSpace(path: string): Promise<FileSystemSpace | undefined> {
  return await measureSpace(path).catch(() => undefined);
}

/** As {@link measureSpace}, for code that does one thing after the other. @throws the system's error */
export function measureSpaceSync(path: string): FileSystemSpace {
  return spaceOf(statfsSync(path));
}

function spaceOf({ bavail, blocks, bsize, ffree, files }: StatsFs): FileSystemSpace {
  return { availableBytes: bavail * bsize, totalBytes: blocks * bsize, freeInodes: ffree, totalInodes: files };
}
