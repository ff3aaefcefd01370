import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createWriteStream } from "node:fs";

/** A helper process that can't outlive the test that started it, however that test ends. */
export interface TiedChild extends AsyncDisposable {
  /** The wrapping shell; its exit is the program's. */
  readonly shell: ChildProcess;
  /** The last 64 KiB of what the program printed, stdout and stderr together. */
  output(): string;
  /** Resolves with the exit status (128 + signal when killed) once the program has ended. */
  readonly ended: Promise<number>;
  /** End it with SIGTERM (or the signal given) and wait; safe to call twice. */
  stop(signal?: "TERM" | "KILL" | "INT"): Promise<void>;
}

/**
 * The shell waits for its stdin to end, which happens when the test closes it or dies in any way, SIGKILL included,
 * and then ends the program. A line on stdin names the signal to use.
 */
const WRAPPER = `
exec 3<&0
"$@" </dev/null 3<&- &
program=$!
{ sig=; read -r sig <&3; kill -"\${sig:-KILL}" "$program"; read -r sig <&3; kill -KILL "$program"; } 2>/dev/null &
watcher=$!
wait "$program"; status=$?
kill "$watcher" 2>/dev/null
exit $status`;

/** Start a program that ends with this process. */
export function startTied(
  command: string,
  args: readonly string[],
  options: { env?: Record<string, string>; cwd?: string; logFile?: string } = {},
): TiedChild {
  const shell = spawn("/bin/sh", ["-c", WRAPPER, "sh", command, ...args], {
    stdio: ["pipe", "pipe", "pipe"],
    // A group of its own: Ctrl-C must reach the test first, so that it can stop things in order.
    detached: true,
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
  });
  let tail = "";
  const log = options.logFile === undefined ? undefined : createWriteStream(options.logFile, { flags: "a" });
  for (const stream of [shell.stdout, shell.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      tail = (tail + text).slice(-65_536);
      log?.write(text);
    });
  }
  shell.stdin.on("error", () => undefined);
  const ended = once(shell, "close").then(([code]: unknown[]) => (typeof code === "number" ? code : 255));
  const stop = async (signal: "TERM" | "KILL" | "INT" = "TERM"): Promise<void> => {
    if (shell.exitCode === null && shell.signalCode === null && shell.stdin.writable) shell.stdin.write(`${signal}\n`);
    await ended;
    log?.end();
  };
  return { shell, output: () => tail, ended, stop, [Symbol.asyncDispose]: () => stop() };
}
