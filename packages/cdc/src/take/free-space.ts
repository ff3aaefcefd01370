import type { Inodes, Space } from "@cdh/core/composer/space";
import type { FileSystemSpace } from "@cdh/core/files/free-space";

/** Tell how many bytes a {@link Space} is on a file system of this size. */
export function spaceBytes(space: Space, totalBytes: number): number {
  return "bytes" in space ? space.bytes : Math.floor(space.fraction * totalBytes);
}

/** Tell how many {@link Inodes} are on a file system of this size. */
export function inodeCount(kept: Inodes, totalInodes: number): number {
  return "count" in kept ? kept.count : Math.floor(kept.fraction * totalInodes);
}

/** Tell whether fewer inodes are free than must stay so. What can't be measured is never too little. */
export function lacksInodes(kept: Inodes, space: FileSystemSpace | undefined): boolean {
  if (space === undefined || space.totalInodes === 0) return false;
  return space.freeInodes < inodeCount(kept, space.totalInodes);
}
