import { constants, fstat, fstatSync, openSync, readFileSync } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { promisify } from "node:util";
import { errnoOf } from "@cdh/core/errors";

/** A descriptor that refers to a file without having opened it: its driver is not told. @see open(2) */
export const O_PATH = 0o10000000;
/** Nothing is waited for, and no terminal is taken. */
const READ_FLAGS = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;

/** Open, or undefined when the kernel refuses. */
export function tryOpen(path: string, flags: number): number | undefined {
  try {
    return openSync(path, flags);
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return undefined;
  }
}

/** Which mount a descriptor is of; asks nothing of the file system. @see proc_pid_fdinfo(5) */
export function mountOf(fd: number): number {
  return Number(/\nmnt_id:\s+(\d+)\n/.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "latin1"))?.[1] ?? -1);
}

/**
 * Open for reading the very file that a path descriptor refers to, whatever has its name by now. Only a regular file is
 * opened: opening a device acts on it, and closing a watchdog may reset the machine.
 * @returns a descriptor of its own
 * @throws when it is no regular file, or with the errno of the file system
 */
export function reopenFile(held: number): number {
  if (!fstatSync(held).isFile()) throw new Error("not a regular file");
  return openSync(`/proc/self/fd/${held}`, READ_FLAGS);
}

/**
 * As {@link reopenFile}, on the thread pool: for whoever has more to do than to read this file. Its file system may lie over
 * one that does not answer.
 */
export async function reopenFileLater(held: number): Promise<FileHandle> {
  if (!(await promisify(fstat)(held)).isFile()) throw new Error("not a regular file");
  return await open(`/proc/self/fd/${held}`, READ_FLAGS);
}
