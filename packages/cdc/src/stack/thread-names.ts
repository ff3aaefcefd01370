import { closeSync, constants, openSync, readdirSync, readSync } from "node:fs";

/** Threads whose names are read. */
const NAMES_MAX = 512;
/** A status has 65,536 groups of eleven bytes at most, and some lines more. */
const STATUS_MAX_BYTES = 1024 * 1024;

/** Read the names of threads, by their ids in the process's own pid namespace, which a core has. @see proc_pid_status(5) */
export function readThreadNames(source: string, names: Map<number, string>): void {
  const directory = /\/task\/\d+$/.test(source) ? source.slice(0, source.lastIndexOf("/")) : `${source}/task`;
  const buffer = Buffer.allocUnsafe(STATUS_MAX_BYTES);
  for (const task of readdirSync(directory).slice(0, NAMES_MAX)) {
    try {
      const status = readInto(buffer, `${directory}/${task}/status`);
      const name = fieldOf(status, "Name:\t", 0);
      const tid = Number(fieldOf(status, "NSpid:\t")?.split("\t").at(-1));
      if (name !== undefined && name !== "" && Number.isSafeInteger(tid)) names.set(tid, name);
    } catch {
      // The thread has gone.
    }
  }
}

/** Read the beginning of a file into a buffer that serves for many. @returns what was read, valid until the next read */
function readInto(buffer: Buffer, path: string): Buffer {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    let length = 0;
    for (let read = 1; read > 0 && length < buffer.length; length += read)
      read = readSync(fd, buffer, length, buffer.length - length, null);
    return buffer.subarray(0, length);
  } finally {
    closeSync(fd);
  }
}

/** Find a field of /proc/<pid>/status at the start of a line. No text is made of the others: a list of groups has up to 720 KB. */
function fieldOf(status: Buffer, key: string, position?: number): string | undefined {
  const at = position ?? status.indexOf(`\n${key}`) + 1;
  if (at === 0 && position === undefined) return undefined;
  if (status.toString("latin1", at, at + key.length) !== key) return undefined;
  const end = status.indexOf("\n", at);
  return status.toString("utf8", at + key.length, end === -1 ? status.length : end);
}
