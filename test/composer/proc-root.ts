import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { kernelWords } from "./drive.ts";

/** What a process is to be. */
export interface ProcWish {
  /** Text of its cgroup file. Default: this process's. */
  cgroup?: string;
  environ?: string;
}

/**
 * Lay out a /proc of one process that is being dumped, for PROC_ROOT: this very process, with changes.
 * @returns the kernel's words about it
 */
export function makeProcRoot(proc: string, wish: ProcWish = {}): string[] {
  const pid = String(process.pid);
  mkdirSync(join(proc, pid, "fd"), { recursive: true });
  for (const name of ["stat", "cmdline", "cgroup", "limits", "maps", "auxv", "mountinfo"])
    writeFileSync(join(proc, pid, name), readFileSync(join("/proc", pid, name)));
  // The machine's start is counted from there.
  writeFileSync(join(proc, "stat"), readFileSync("/proc/stat"));
  const status = readFileSync(join("/proc", pid, "status"), "utf8");
  writeFileSync(join(proc, pid, "status"), status.replace(/^CoreDumping:.*$/m, "CoreDumping:\t1"));
  for (const [name, text] of Object.entries(wish)) writeFileSync(join(proc, pid, name), text as string);
  return kernelWords({
    t: String(Math.floor(Date.now() / 1000)),
    P: pid,
    p: pid,
    u: String(process.getuid?.() ?? 0),
    g: String(process.getgid?.() ?? 0),
  });
}

/** A container's cgroup file, as cgroup v2 and the cgroupfs driver have it. */
export function containerCgroup(containerId: string, podUid = "3b0a5d2e-8f4c-4f3b-9a57-0c6a1f6e2d11"): string {
  return `0::/kubepods/besteffort/pod${podUid}/${containerId}\n`;
}
