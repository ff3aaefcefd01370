import { spawn } from "node:child_process";
import { once } from "node:events";

/** One real crash. */
export interface DemoCrash {
  signal: "SIGABRT" | "SIGSEGV";
  pid: number;
  /** From the program's last word to its end: the time the kernel held it for the composer. */
  holdMs: number;
}

const PROGRAMS = {
  SIGABRT: "process.abort()",
  SIGSEGV: "process.kill(process.pid, 'SIGSEGV')",
};

/** Crash the bundled Node. A shell raises the core limit first, because most shells start with 0. */
export async function crashWithNode(signal: DemoCrash["signal"]): Promise<DemoCrash> {
  const script = `process.stdout.write('last words\\n', () => { ${PROGRAMS[signal]} })`;
  const child = spawn("/bin/sh", ["-c", 'ulimit -c unlimited; exec "$0" -e "$1"', process.execPath, script], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  let lastWords = performance.now();
  child.stdout.on("data", () => {
    lastWords = performance.now();
  });
  const [, endedBy] = (await once(child, "exit")) as [number | null, NodeJS.Signals | null];
  const holdMs = performance.now() - lastWords;
  if (endedBy !== signal) throw new Error(`the program ended by ${endedBy ?? "itself"}, not by ${signal}`);
  return { signal, pid: child.pid ?? 0, holdMs };
}
