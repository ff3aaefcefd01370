import { spawn } from "node:child_process";
import { once } from "node:events";
import { constants } from "node:os";
import type { Readable } from "node:stream";
import { compileCrashPrograms } from "./crash-programs.ts";

/** Say how a crash program is run. */
export interface CrashOptions {
  /** Soft and hard RLIMIT_CORE, in bytes. Default: unlimited, both. */
  rlimitCore?: { soft: number | "unlimited"; hard: number | "unlimited" };
  env?: Record<string, string>;
  cwd?: string;
  /** The launcher and, with it, the wait are given up after this. Default 120,000. */
  timeoutMs?: number;
}

/** Tell how a crash program ended. */
export interface CrashResult {
  /** Its pid on this machine. */
  pid: number;
  /** -1 when a signal ended it. */
  exitCode: number;
  /** Number of the signal that ended it, 0 when none did. */
  signal: number;
  /** `SIGSEGV`. */
  signalName: string | undefined;
  /** What the kernel says: a core was dumped. */
  coreDumped: boolean;
  /** CLOCK_MONOTONIC just before the signal, ns; undefined for programs that don't stamp it. */
  stampNs: number | undefined;
  /** From just before the signal to the parent's reap; undefined for programs that don't stamp it. */
  holdMs: number | undefined;
  maxRssBytes: number;
  stdout: string;
  stderr: string;
}

async function textOf(stream: Readable | null): Promise<string> {
  if (stream === null) return "";
  let text = "";
  for await (const part of stream.setEncoding("utf8")) text += String(part);
  return text;
}

/**
 * Run a program that is expected to crash, with its core limit set, and reap it at once.
 * @throws {Error} when the launcher itself failed or ran out of time
 */
export async function runCrash(
  path: string,
  args: readonly string[] = [],
  options: CrashOptions = {},
): Promise<CrashResult> {
  const { soft, hard } = options.rlimitCore ?? { soft: "unlimited", hard: "unlimited" };
  const launcher = spawn(compileCrashPrograms().launch, [String(soft), String(hard), path, ...args], {
    stdio: ["ignore", "pipe", "pipe", "pipe"],
    env: { ...process.env, ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  const timer = setTimeout(() => launcher.kill("SIGKILL"), options.timeoutMs ?? 120_000);
  try {
    const [stdout, stderr, report] = await Promise.all([
      textOf(launcher.stdout),
      textOf(launcher.stderr),
      textOf(launcher.stdio[3] as Readable),
      once(launcher, "close"),
    ]);
    if (report === "") throw new Error(`launch ${path} gave no report: ${stderr}`);
    const facts = JSON.parse(report) as {
      pid: number;
      exitCode: number;
      signal: number;
      coreDumped: boolean;
      stampNs: number;
      holdNs: number;
      maxRssKib: number;
    };
    return {
      pid: facts.pid,
      exitCode: facts.exitCode,
      signal: facts.signal,
      signalName: Object.entries(constants.signals).find(([, number]) => number === facts.signal)?.[0],
      coreDumped: facts.coreDumped,
      stampNs: facts.stampNs === 0 ? undefined : facts.stampNs,
      holdMs: facts.holdNs === 0 ? undefined : facts.holdNs / 1e6,
      maxRssBytes: facts.maxRssKib * 1024,
      stdout,
      stderr,
    };
  } finally {
    clearTimeout(timer);
  }
}
