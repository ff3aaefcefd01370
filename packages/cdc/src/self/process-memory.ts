import { readFileSync } from "node:fs";

/** Memory of a process that stands behind no file, in bytes; 0 when it has gone. */
export function memoryOf(pid: number | undefined): number {
  try {
    const kib = /\nRssAnon:\s+(\d+) kB\n/.exec(readFileSync(`/proc/${String(pid)}/status`, "latin1"))?.[1];
    return Number(kib ?? 0) * 1024;
  } catch {
    return 0;
  }
}
