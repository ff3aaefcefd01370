import { closeSync, fstatSync, openSync, renameSync, statSync, writeSync, constants } from "node:fs";
import { join } from "node:path";
import { FILE_MODE } from "@cdh/core/spool/layout";
import type { Native } from "./native.ts";

/** The log is moved aside past this size; with its one predecessor it takes at most twice as much. */
export const LOG_MAX_BYTES = 4 * 1024 * 1024;

/**
 * Append lines to HOST_DIR/composer.log. Many composers write at once: each line is one append, and only the holder of
 * the file's lock moves it aside. A log that can't be written is given up silently; a core never waits for it.
 * @returns writes one complete line
 */
export function openComposerLog(hostDir: string, native: Native): (line: string) => void {
  const path = join(hostDir, "composer.log");
  let fd = tryOpen(path);
  return (line) => {
    if (fd === undefined) return;
    try {
      writeSync(fd, line);
      if (fstatSync(fd).size > LOG_MAX_BYTES && lockSoon(fd, native)) {
        // Somebody else may have moved the file aside between the size and the lock.
        if (statSync(path).ino === fstatSync(fd).ino) renameSync(path, `${path}.1`);
        closeSync(fd);
        fd = tryOpen(path);
      }
    } catch {
      // A full log disk must not cost the core.
    }
  };
}

/** So often, and so long each time, a writer waits for the one that is moving the full log aside: 2 ms at most. */
const NAPS = 20;
const NAP_MICROSECONDS = 100;

/**
 * Take the lock of a full log. Whoever has it may be waiting for a processor: writers that went on would fill the file far
 * past its limit meanwhile.
 */
function lockSoon(fd: number, native: Native): boolean {
  for (let naps = 0; naps < NAPS; naps += 1) {
    if (native.tryLock(fd)) return true;
    native.nap(NAP_MICROSECONDS);
  }
  return native.tryLock(fd);
}

/** No waiting: a fifo in the log's place, which nobody reads, would hold the crashed process for ever. */
const LOG_FLAGS =
  constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NONBLOCK;

function tryOpen(path: string): number | undefined {
  try {
    const fd = openSync(path, LOG_FLAGS, FILE_MODE);
    if (fstatSync(fd).isFile()) return fd;
    closeSync(fd);
  } catch {
    // No log.
  }
  return undefined;
}

/** Most lines that one crash may add to the kernel's log. */
const KERNEL_LOG_LINES = 3;

/** Write to the kernel's log, which every node shows: `dmesg`, `journalctl -k`. At most three lines a crash. */
export function openKernelLog(path = "/dev/kmsg"): (text: string) => void {
  let left = KERNEL_LOG_LINES;
  return (text) => {
    if (left === 0) return;
    left -= 1;
    try {
      const fd = openSync(path, constants.O_WRONLY | constants.O_NOFOLLOW);
      // <5>: notice, facility kernel is replaced by user for writers from user space.
      // eslint-disable-next-line no-control-regex -- control characters must not reach the kernel's log
      writeSync(fd, `<5>cdc: ${text.replace(/[\u0000-\u001f\u007f]/g, "?").slice(0, 800)}\n`);
      closeSync(fd);
    } catch {
      // No /dev/kmsg in a container or for a user: the composer's own log has it all.
    }
  };
}
