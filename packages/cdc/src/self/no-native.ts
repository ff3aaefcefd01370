import { closeSync, openSync } from "node:fs";
import type { Native } from "./native.ts";

/**
 * Stands for the system calls where there are none: outside of Bun, and where libc can't be opened. The composer works
 * without: with a small pipe, without a waiting line, without locks and marks.
 */
export const NO_NATIVE: Native = {
  isThere: false,
  setPipeSize: () => undefined,
  tryLock: () => false,
  unlock: () => {},
  makeFifo: () => false,
  isReadable: () => false,
  isHungUp: () => undefined,
  nap: () => {},
  ioctl: () => false,
  withHandle: async () => undefined,
  readNames: () => 0,
  alarm: () => {},
  dieWithParent: () => {},
  limitProcessor: () => {},
  collectGarbage: () => {},
  // Two steps in place of one; the lowest free number is the next to be given.
  replace: (fd) => {
    closeSync(fd);
    if (fd === 0) openSync("/", "r");
  },
};
