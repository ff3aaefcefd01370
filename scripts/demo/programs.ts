import { spawn } from "node:child_process";
import { once } from "node:events";
import { statusOfSignal } from "@cdh/core/exit-status";
import { builtPath } from "../../test/helpers/built.ts";
import { show } from "./screen.ts";

/** Someone pressed Ctrl-C or asked the demo to end. */
export class Stopped extends Error {
  readonly exitCode: number;

  constructor(signal: NodeJS.Signals) {
    super(`received ${signal}`);
    this.exitCode = statusOfSignal(signal);
  }
}

let stoppedBy: NodeJS.Signals | undefined;

/** Remembers the first signal; the step under way ends with it, and then the kernel is put back. */
export const stopOnSignals = {
  throwIfStopped(): void {
    if (stoppedBy !== undefined) throw new Stopped(stoppedBy);
  },
};

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => {
    stoppedBy ??= signal;
  });
}

/** Say how a program is run. */
export interface ProgramOptions {
  /** Do not show what it prints. */
  quiet?: boolean;
  /** Run it after a Ctrl-C too, out of the reach of a second one. */
  evenWhenStopped?: boolean;
}

/**
 * Run one of the built programs and show what it prints.
 * @returns its standard output
 * @throws {Error} when its exit status is not 0
 */
export async function program(
  name: "cdc" | "cdh-sysctl" | "cdh-upload" | "cdh-inspect",
  args: readonly string[],
  options: ProgramOptions = {},
): Promise<string> {
  if (options.evenWhenStopped !== true) stopOnSignals.throwIfStopped();
  const child = spawn(builtPath(name), args, {
    stdio: ["ignore", "pipe", "pipe"],
    detached: options.evenWhenStopped === true,
    env: { ...process.env, LOG_LEVEL: "warn", LOG_FORMAT: "text" },
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const [code, signal] = (await once(child, "close")) as [number | null, NodeJS.Signals | null];
  if (options.quiet !== true && stdout !== "") show(stdout);
  if (stderr !== "") show(stderr);
  if (options.evenWhenStopped !== true) stopOnSignals.throwIfStopped();
  if (code !== 0) throw new Error(`${name} ${args[0] ?? ""} ended with ${signal ?? `exit status ${code}`}`);
  return stdout;
}
