import { spawn, type StdioOptions } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { REPOSITORY } from "./repository.ts";

/** The built programs. */
export type Program = "cdc" | "cdh-sysctl" | "cdh-upload" | "cdh-inspect" | "cdh-api";

/**
 * Path of a built program in `dist/bin`.
 * @throws {Error} when it is not built: black-box suites test what users run, so there is nothing to fall back to
 */
export function builtPath(program: Program): string {
  const path = join(REPOSITORY, "dist/bin", program);
  if (!existsSync(path)) throw new Error(`${path} is not there: run npm run build first`);
  return path;
}

/** Say why a program can't be run (not built yet), for {@link describeUnless}. */
export function notBuilt(...programs: Program[]): string | undefined {
  const missing = programs.filter((program) => !existsSync(join(REPOSITORY, "dist/bin", program)));
  return missing.length === 0 ? undefined : `dist/bin/${missing.join(", dist/bin/")} not built (npm run build)`;
}

/** Say how a program is started. */
export interface BuiltOptions {
  /** The whole environment. Default: this process's; `{}` is what the kernel gives. */
  env?: Record<string, string>;
  /** Default: the test's own. */
  cwd?: string;
  /** Bytes for stdin, a stream to pipe in, or an open descriptor. Default: nothing, closed. */
  stdin?: Uint8Array | string | Readable | number;
  /** Run with descriptors 1 and 2 closed, as the kernel starts a handler. */
  closeOutput?: boolean;
  /** Killed with SIGKILL after this. Default 60,000. */
  timeoutMs?: number;
  /** Killed with SIGKILL as soon as this holds; looked at every few milliseconds. */
  killWhen?: () => boolean;
  /** Another executable than `dist/bin/…`: a copy in a host directory. */
  path?: string;
}

/** Tell how a built program ended. */
export interface BuiltResult {
  exitCode: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
  durationMs: number;
  /** Highest resident set seen (VmHWM, read every few ms while it runs); undefined when it ended before the first look. */
  peakRssBytes: number | undefined;
  timedOut: boolean;
}

function residentPeakOf(pid: number): number | undefined {
  try {
    const kib = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    return kib === undefined ? undefined : Number(kib) * 1024;
  } catch {
    return undefined;
  }
}

/** Run a program to its end and capture what it did. Never rejects because of how the program ended. */
export async function runPath(path: string, args: readonly string[], options: BuiltOptions = {}): Promise<BuiltResult> {
  const fedByUs = options.stdin !== undefined && typeof options.stdin !== "number";
  const stdin = typeof options.stdin === "number" ? options.stdin : fedByUs ? "pipe" : "ignore";
  const stdio: StdioOptions = [stdin, "pipe", "pipe"];
  // Node can't start a child with closed descriptors; the shell can, and exec keeps the pid.
  const [command, argv] =
    options.closeOutput === true ? ["/bin/sh", ["-c", 'exec "$0" "$@" >&- 2>&-', path, ...args]] : [path, [...args]];
  const started = performance.now();
  const child = spawn(command, argv, {
    stdio,
    ...(options.env === undefined ? {} : { env: options.env }),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  let stdout = "";
  let stderr = "";
  child.stdout?.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  let peak: number | undefined;
  let timedOut = false;
  const look = setInterval(() => {
    if (child.pid !== undefined) peak = Math.max(residentPeakOf(child.pid) ?? 0, peak ?? 0) || undefined;
    if (options.killWhen?.() === true) child.kill("SIGKILL");
  }, 5);
  const timer = setTimeout(() => {
    timedOut = true;
    child.kill("SIGKILL");
  }, options.timeoutMs ?? 60_000);
  if (child.stdin !== null) {
    // A program may stop reading early; what it did then is for the test to judge.
    child.stdin.on("error", () => undefined);
    if (typeof options.stdin === "string" || options.stdin instanceof Uint8Array) child.stdin.end(options.stdin);
    else if (options.stdin !== undefined && typeof options.stdin !== "number")
      pipeline(options.stdin, child.stdin).catch(() => undefined);
  }
  try {
    const [exitCode, signal] = (await once(child, "close")) as [number | null, NodeJS.Signals | null];
    return { exitCode, signal, stdout, stderr, durationMs: performance.now() - started, peakRssBytes: peak, timedOut };
  } finally {
    clearInterval(look);
    clearTimeout(timer);
  }
}

/** Run one of the built programs. @throws {Error} when it is not built */
export function runBuilt(program: Program, args: readonly string[], options: BuiltOptions = {}): Promise<BuiltResult> {
  return runPath(options.path ?? builtPath(program), args, options);
}

/** Say how a run ended, for `expect(outcomeOf(result)).toBe("exit 0")`: a failure then shows what the program said. */
export function outcomeOf(result: BuiltResult): string {
  if (result.exitCode === 0) return "exit 0";
  return `${result.timedOut ? "timed out" : `exit ${String(result.exitCode ?? result.signal)}`}\n${result.stdout}${result.stderr}`;
}
