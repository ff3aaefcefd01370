import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Finding, Hunted } from "./hunt.ts";

/** Say what one worker does. */
export interface Job {
  target: string;
  seed: number;
  path: string | undefined;
  runs: number | undefined;
  forMs: number;
}

/** A loop that never lets go answers nobody, so it is killed from outside. */
const STUCK_MS = 90_000;
const HEAP_MAX_MIB = 1024;

/** Hunt in a process of its own; one that dies or is stuck is a finding, with the input that it was at. */
export async function runWorker(job: Job): Promise<Hunted> {
  const directory = mkdtempSync(join(tmpdir(), "cdh-fuzz-"));
  const progress = join(directory, "progress");
  const words = [job.target, job.seed, job.forMs, job.runs ?? "", job.path ?? "", progress].map(String);
  const child = fork(join(import.meta.dirname, "worker.ts"), words, {
    execArgv: ["--expose-gc", `--max-old-space-size=${HEAP_MAX_MIB}`],
    stdio: ["ignore", "ignore", "pipe", "ipc"],
    env: { PATH: process.env["PATH"], TMPDIR: directory },
  });
  let [said, stuck] = ["", false];
  let answer: (Hunted & { input?: string }) | undefined;
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (said = `${said}${text}`.slice(-4000)));
  child.on("message", (message) => (answer = message as typeof answer));
  const look = setInterval(() => {
    const at = statSync(progress, { throwIfNoEntry: false })?.mtimeMs ?? Date.now();
    // Minimising writes no progress, so it has its own, longer time.
    if (Date.now() - at < STUCK_MS + (answer === undefined ? 120_000 : 0)) return;
    stuck = true;
    child.kill("SIGKILL");
  }, 1000);
  const stop = (): void => void child.kill("SIGKILL");
  process.once("exit", stop);
  try {
    const [status, signal] = (await once(child, "close")) as [number | null, string | null];
    if (answer !== undefined) {
      const { input, finding, ...seen } = answer;
      if (finding === undefined) return seen;
      return {
        ...seen,
        finding: { ...finding, ...(input === undefined ? {} : { input: Buffer.from(input, "base64") }) },
      };
    }
    const why = stuck ? "was stuck, and killed" : `ended with ${signal ?? status}`;
    const [seed = job.seed, path = "0"] = readProgress(progress);
    const finding: Finding = {
      target: job.target,
      seed: Number(seed),
      path: String(path),
      error: `the process ${why}\n${said}`,
      recipe: "not minimised: the process did not live to do it",
    };
    return { runs: 0, cpuMaxMs: 0, memoryMaxBytes: 0, finding };
  } finally {
    clearInterval(look);
    process.removeListener("exit", stop);
    rmSync(directory, { recursive: true, force: true });
  }
}

function readProgress(file: string): string[] {
  try {
    return readFileSync(file, "utf8").trim().split(" ");
  } catch {
    return [];
  }
}
