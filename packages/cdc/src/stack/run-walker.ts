import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { Readable, Writable } from "node:stream";
import type { Clock } from "@cdh/core/clock";
import type { ChildProcess } from "@cdh/core/exec";
import { STACK_WORD } from "../kernel/invocation.ts";
import { memoryOf } from "../self/process-memory.ts";

/** Where this executable is, also when another has taken its place. */
const OWN_PROGRAM = "/proc/self/exe";
/** Milliseconds that a walker may take: of a processor, and in all on a node that has none to spare. */
const CPU_MAX_MS = 5_000;
const TIME_MAX_MS = 15_000;
/** The runtime collects garbage as if the machine had this memory, and leaves out the compiler that pays only later. */
const SMALL_HEAP = { BUN_JSC_forceRAMSize: String(60 * 1024 * 1024), BUN_JSC_useDFGJIT: "0" };
/** What a walker may hold of memory that is no file's, in bytes. */
const MEMORY_MAX_BYTES = 96 * 1024 * 1024;
const OUTPUT_MAX_BYTES = 8 * 1024 * 1024;
const LOOK_MS = 20;
/** USER_HZ is 100 on every architecture that we run on. */
const TICK_MS = 10;
/** A killed walker that is still there after this hangs in a file system. */
const LAST_MS = 200;

/** What a child is started for, and what it may take. */
export interface ChildBounds {
  /** Its first word. */
  word: string;
  /** Milliseconds of a processor, and in all. */
  cpuMs: number;
  timeMs: number;
  /** Of memory that is no file's. */
  memoryBytes: number;
}

const WALKER: ChildBounds = { word: STACK_WORD, cpuMs: CPU_MAX_MS, timeMs: TIME_MAX_MS, memoryBytes: MEMORY_MAX_BYTES };

/** What a walker wrote, and why it did not write all. */
export interface WalkerResult {
  output: Buffer;
  failure: { code: string; detail: string } | undefined;
}

/**
 * Start this executable as a walker of stacks, or for other work on hostile files, and hold it to its bounds. What it reads is hostile: whatever becomes of it,
 * this returns in time, with what it wrote until then.
 * @param request for its standard input, in pieces
 * @param descriptors what it inherits, as 3 and so on
 */
export async function runWalkerProcess(
  request: readonly Buffer[],
  descriptors: readonly number[],
  clock: Clock,
  bounds: ChildBounds = WALKER,
): Promise<WalkerResult> {
  const { start } = await import("@cdh/core/exec");
  const child = start(OWN_PROGRAM, [bounds.word], {
    stdio: ["pipe", "pipe", "ignore", ...descriptors],
    env: SMALL_HEAP,
    cwd: "/",
  });
  const over = new AbortController();
  const exited = new Promise<string>((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("close", (status, signal) => resolve(signal ?? `status ${String(status)}`));
  });
  const output = collect(child.stdout as Readable);
  void send(child.stdin as Writable, request);
  const ended = exited.then((how) => (how === "status 0" ? undefined : failed("CDH_STACK_FAILED", `it ended: ${how}`)));
  const failure = await Promise.race([ended, watch(child, output, { clock, bounds, over: over.signal })]);
  over.abort();
  child.kill("SIGKILL");
  await Promise.race([exited, clock.sleep(LAST_MS)]);
  for (const stream of [child.stdin, child.stdout]) stream?.destroy();
  child.unref();
  return { output: Buffer.concat(output.pieces), failure };
}

/** Wait until a bound is reached. */
async function watch(
  child: ChildProcess,
  output: { bytes: number },
  { clock, bounds, over }: { clock: Clock; bounds: ChildBounds; over: AbortSignal },
): Promise<WalkerResult["failure"]> {
  const { cpuMs, timeMs, memoryBytes } = bounds;
  const startedAt = clock.monotonic();
  for (;;) {
    await clock.sleep(LOOK_MS, over).catch(() => {});
    if (over.aborted) return undefined;
    if (clock.monotonic() - startedAt > timeMs)
      return failed("CDH_STACK_DEADLINE", `not finished after ${timeMs / 1000} s`);
    if (processorTimeOf(child.pid) > cpuMs)
      return failed("CDH_STACK_DEADLINE", `not finished after ${cpuMs / 1000} s of a processor`);
    if (memoryOf(child.pid) > memoryBytes)
      return failed("CDH_STACK_MEMORY", `it took more than ${memoryBytes / 1024 / 1024} MiB of memory`);
    if (output.bytes > OUTPUT_MAX_BYTES) return failed("CDH_STACK_FAILED", "it told too much");
  }
}

function failed(code: string, detail: string): { code: string; detail: string } {
  return { code, detail };
}

/** Processor time that a process has taken, in milliseconds; 0 when it has gone. */
function processorTimeOf(pid: number | undefined): number {
  try {
    const text = readFileSync(`/proc/${String(pid)}/stat`, "latin1");
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
  } catch {
    return 0;
  }
}

function collect(stream: Readable): { pieces: Buffer[]; bytes: number } {
  const output = { pieces: [] as Buffer[], bytes: 0 };
  stream.on("error", () => {});
  stream.on("data", (piece: Buffer) => {
    output.bytes += piece.length;
    if (output.bytes <= 2 * OUTPUT_MAX_BYTES) output.pieces.push(piece);
  });
  return output;
}

/** A walker that ends early reads no more; how it ended tells why. */
async function send(stdin: Writable, request: readonly Buffer[]): Promise<void> {
  stdin.on("error", () => {});
  for (const piece of request) {
    if (stdin.destroyed) return;
    if (!stdin.write(piece)) await Promise.race([once(stdin, "drain"), once(stdin, "close")]).catch(() => {});
  }
  stdin.end();
}
