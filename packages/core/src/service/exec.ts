import { spawn, type ChildProcess, type SpawnOptions } from "node:child_process";
import type { Readable } from "node:stream";
import { execa } from "execa";
import { systemClock, timerMs } from "../base/clock.ts";

export type { ChildProcess } from "node:child_process";

/** Say how a child process may behave. */
export interface RunOptions {
  /** The child's whole environment; nothing is inherited beyond it. Default: this process's. */
  env?: Record<string, string>;
  cwd?: string;
  /** The child and its descendants are killed after this long. */
  timeoutMs?: number;
  signal?: AbortSignal;
  /** Output past this is cut and `truncated` is set; the child is killed. Default 8 MiB. */
  maxOutputBytes?: number;
  /** Give nothing of a stream that was cut, and keep nothing of it in memory. */
  dropsCutOutput?: boolean;
  input?: string | Uint8Array;
}

/** Tell how a child process ended. Nothing here throws: the booleans say why it failed. */
export interface RunResult {
  exitCode: number | undefined;
  signal: string | undefined;
  stdout: string;
  stderr: string;
  /** Any of: exit status not 0, killed, not found, timed out, truncated. */
  failed: boolean;
  timedOut: boolean;
  aborted: boolean;
  truncated: boolean;
  /** The program could not be started (`ENOENT`, `EACCES` …). */
  notStarted: string | undefined;
  durationMs: number;
}

/**
 * Run a program to its end, without a shell, in a process group of its own so that its children die with it.
 * @returns what it printed and how it ended; never rejects
 */
export async function run(file: string, args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const deadline = options.timeoutMs === undefined ? undefined : AbortSignal.timeout(timerMs(options.timeoutMs));
  const givenUp = AbortSignal.any([options.signal, deadline].filter((signal) => signal !== undefined));
  const subprocess = execa(file, args, {
    reject: false,
    killDescendants: true,
    killSignal: "SIGKILL",
    cancelSignal: givenUp,
    stripFinalNewline: false,
    // Collected here: execa would copy the output, escaped, into the message of its error.
    buffer: false,
    stdin: options.input === undefined ? "ignore" : "pipe",
    ...(options.input === undefined ? {} : { input: options.input }),
    ...(options.env === undefined ? {} : { env: options.env, extendEnv: false }),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  const maxBytes = options.maxOutputBytes ?? 8 * 1024 * 1024;
  const [stdout, stderr] = [subprocess.stdout, subprocess.stderr].map((stream) =>
    collect(stream, maxBytes, () => {
      subprocess.kill();
      return options.dropsCutOutput === true;
    }),
  );
  givenUp.addEventListener("abort", () => void closePipes([subprocess.stdout, subprocess.stderr]), { once: true });
  const result = await subprocess;
  const truncated = stdout?.truncated === true || stderr?.truncated === true;
  const timedOut = deadline?.aborted === true && givenUp.reason === deadline.reason;
  return {
    exitCode: result.exitCode,
    signal: result.signal,
    stdout: stdout?.text() ?? "",
    stderr: stderr?.text() ?? "",
    failed: result.failed || timedOut || truncated,
    timedOut,
    aborted: options.signal?.aborted === true,
    truncated,
    notStarted:
      result.exitCode === undefined && result.signal === undefined && !givenUp.aborted
        ? (result.code ?? "unknown")
        : undefined,
    durationMs: result.durationMs,
  };
}

/** Time for the last output of a killed program to arrive, in milliseconds. */
const LAST_OUTPUT_MS = 100;

/** Close our ends of a killed program's pipes: a descendant in a session of its own survives, and may hold the others for ever. */
async function closePipes(streams: readonly (Readable | null | undefined)[]): Promise<void> {
  await systemClock.sleep(LAST_OUTPUT_MS);
  for (const stream of streams) stream?.destroy();
}

/** What a child has written to one of its streams. */
interface Output {
  readonly truncated: boolean;
  text(): string;
}

/**
 * Collect a stream up to a bound, and read on without keeping more.
 * @param onTooMuch called once beyond it; says whether what there is shall be dropped
 */
function collect(stream: Readable | null | undefined, maxBytes: number, onTooMuch: () => boolean): Output {
  const parts: Buffer[] = [];
  let [length, truncated] = [0, false];
  // A stream that breaks off ends; how the child ended tells the rest.
  stream?.on("error", () => {});
  stream?.on("data", (part: Buffer) => {
    if (truncated) return;
    parts.push(length + part.length > maxBytes ? part.subarray(0, maxBytes - length) : part);
    length += part.length;
    if (length <= maxBytes) return;
    truncated = true;
    if (onTooMuch()) parts.length = 0;
  });
  return {
    get truncated() {
      return truncated;
    },
    text: () => Buffer.concat(parts).toString(),
  };
}

/** Start a program whose streams the caller handles itself: a debugger on the terminal, a decompressor in a pipe. */
export function start(file: string, args: readonly string[], options: SpawnOptions = {}): ChildProcess {
  return spawn(file, args, options);
}
