import { fstatSync } from "node:fs";
import type { Native } from "../native.ts";

/**
 * The composer's system calls for tests on Node, which has no file locks: the same promises, among the descriptors of
 * this process. A lock ends when its descriptor is closed, as the kernel's do.
 */
export function makeTestNative(): Native {
  const holders = new Map<number, number>();
  return {
    setPipeSize: () => undefined,
    makeFifo: () => false,
    isReadable: () => false,
    nap: () => {},
    replace: () => {},
    tryLock: (fd) => {
      const inode = fstatSync(fd).ino;
      const holder = holders.get(inode);
      if (holder !== undefined && holder !== fd && inodeOf(holder) === inode) return false;
      holders.set(inode, fd);
      return true;
    },
  };
}

function inodeOf(fd: number): number | undefined {
  try {
    return fstatSync(fd).ino;
  } catch {
    return undefined;
  }
}
