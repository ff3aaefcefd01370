import { fstatSync } from "node:fs";
import type { Native } from "../self/native.ts";

/**
 * The composer's system calls for tests on Node, which has no file locks: the same promises, among the descriptors of
 * this process. A lock ends when its descriptor is closed, as the kernel's do.
 */
export function makeTestNative(): Native {
  const holders = new Map<number, number>();
  return {
    isThere: true,
    setPipeSize: () => undefined,
    makeFifo: () => false,
    isReadable: () => false,
    collectGarbage: () => {},
    isHungUp: () => undefined,
    nap: () => {},
    alarm: () => {},
    dieWithParent: () => {},
    limitProcessor: () => {},
    readNames: () => 0,
    ioctl: () => false,
    withHandle: async () => undefined,
    replace: () => {},
    unlock: (fd) => {
      const inode = fstatSync(fd).ino;
      if (holders.get(inode) === fd) holders.delete(inode);
    },
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
