import { readFileSync } from "node:fs";
import type { TiedChild } from "./tied-child.ts";

/** Find the process of a program that `startTied` started. @param program part of its command line: `cdh-api.mjs` */
export function programOf({ shell }: TiedChild, program: string): number {
  const parent = shell.pid ?? 0;
  const children = readFileSync(`/proc/${parent}/task/${parent}/children`, "utf8").trim().split(" ").map(Number);
  const found = children.find((pid) => readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(program));
  if (found === undefined) throw new Error(`${program} does not run`);
  return found;
}

/** Read how much memory a process holds now (`VmRSS`), or held at most (`VmHWM`), in bytes. */
export function residentBytes(pid: number, field: "VmRSS" | "VmHWM"): number {
  const lines = readFileSync(`/proc/${pid}/status`, "utf8").split("\n");
  const [, kib] = /^\w+:\s+(\d+) kB$/.exec(lines.find((line) => line.startsWith(`${field}:`)) ?? "") ?? [];
  return Number(kib) * 1024;
}

/** User and system time that a process has used, in milliseconds. @see proc_pid_stat(5) */
export function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /, "")
    .split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}
