import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { startTied, type TiedChild } from "./tied-child.ts";
import { findOnPath } from "./tools.ts";

/** A file system in user space that answers, or does not, as the test wants. */
export interface Fuse extends AsyncDisposable {
  /** Where it is mounted. */
  path: string;
  /** What it shows. */
  behind: string;
  hang(): Promise<void>;
  answer(): void;
}

/** Say why none can be mounted here, or undefined. */
export function fuseUnavailable(): string | undefined {
  return findOnPath("bindfs").reason ?? (process.getuid?.() === 0 ? undefined : "only root may mount");
}

/** The program that a tied child runs: the first that its shell started. */
export function programOf({ shell }: TiedChild): number {
  const children = readFileSync(`/proc/${shell.pid}/task/${shell.pid}/children`, "utf8");
  return Number(children.trim().split(" ")[0]);
}

/** Numbers of the calls in which a server without work waits: read, poll, futex and ppoll. @see x86-64's and arm64's tables */
const WAITING = new Set(process.arch === "x64" ? ["0", "7", "202", "271"] : ["63", "73", "98"]);

/** Tell whether every thread of a stopped file system server waits for work. */
function isIdle(pid: number): boolean {
  const threads = readdirSync(`/proc/${pid}/task`);
  return threads.every((thread) =>
    WAITING.has(readFileSync(`/proc/${pid}/task/${thread}/syscall`, "utf8").split(" ")[0] ?? ""),
  );
}

/** Mount one below a directory. */
export async function mountFuse(directory: string, name: string): Promise<Fuse> {
  const behind = join(directory, `${name}-behind`);
  const path = join(directory, name);
  for (const each of [behind, path]) mkdirSync(each, { recursive: true });
  // Nothing is remembered in the kernel: each call asks it.
  const options = "entry_timeout=0,attr_timeout=0,negative_timeout=0";
  const child = startTied("bindfs", ["-f", "-o", options, behind, path], { cwd: "/" });
  const isMounted = (): boolean => readFileSync("/proc/self/mountinfo", "utf8").includes(` ${path} `);
  for (let turn = 0; !isMounted(); turn += 1) {
    if (turn > 1000) throw new Error(`${path} is not mounted: ${child.output()}`);
    await delay(25);
  }
  const fuse: Fuse = {
    path,
    behind,
    hang: async () => {
      // A call that the server has taken up already can be ended by nothing but its answer, not even by SIGKILL.
      for (;;) {
        process.kill(programOf(child), "SIGSTOP");
        if (isIdle(programOf(child))) return;
        process.kill(programOf(child), "SIGCONT");
        await delay(50);
      }
    },
    answer: () => void process.kill(programOf(child), "SIGCONT"),
    async [Symbol.asyncDispose]() {
      fuse.answer();
      execFileSync("umount", ["-l", path], { stdio: "ignore" });
      await child.stop("KILL");
    },
  };
  return fuse;
}
