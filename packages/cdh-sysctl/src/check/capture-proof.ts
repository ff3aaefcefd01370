import { randomBytes } from "node:crypto";
import { rmSync, writeFileSync } from "node:fs";
import { CdhError, reasonOf } from "@cdh/core/errors";
import { run } from "@cdh/core/exec";
import { lstatIfThere } from "../node/files.ts";
import { inHostDir, onNode, type Node } from "../node/target-node.ts";
import { makeCrashProgram } from "./crash-program.ts";
import { KernelLog, type KernelReason } from "./kernel-log.ts";
import { findPlainCore } from "./plain-core.ts";
import { clearProbes, findProbeBundle } from "./probe-bundle.ts";
import { type CaptureProof, type ProofOptions } from "./proof.ts";
import { onNodeRoot } from "./self-test.ts";

const POLL_MS = 25;

/** How long the probe itself may take to crash: a handler that hangs holds it. */
const CRASH_TIMEOUT_MS = 120_000;

/**
 * Crash a small program of our own through the real kernel and wait for what the kernel and the composer make of it: the
 * only proof that capture works. The composer knows the probe by its file in HOST_DIR; so it is not uploaded, and no
 * filter, rate limit or metric counts it.
 */
export async function proveCapture(node: Node, options: ProofOptions): Promise<CaptureProof> {
  const name = `cdhprobe${randomBytes(4).toString("hex").slice(0, 7)}`;
  const kernelLog = KernelLog.open(options.kernelLog);
  kernelLog.read();
  const startedAt = node.clock.monotonic();
  const end = (proof: Omit<CaptureProof, "tookMs">): CaptureProof => ({
    ...proof,
    tookMs: Math.round(node.clock.monotonic() - startedAt),
  });
  let kernel: KernelReason | undefined;
  let wasKilled = false;
  const listen = (): KernelReason | undefined =>
    (kernel ??= kernelLog.read().find(({ comm }) => comm === name)?.reason);
  try {
    clearProbes(node);
    const { problem, killed } = await crash(node, name, options);
    wasKilled = killed === true;
    if (problem !== undefined)
      return end({
        outcome: "failed",
        finding: `cannot crash a test program: ${problem}`,
        arrived: false,
        notCrashed: true,
      });
    const deadline = node.clock.monotonic() + options.timeoutMs;
    const find = options.mode === "pipe" ? findProbeBundle : findPlainCore;
    do {
      const found = await find(node, name, node.clock.monotonic() - startedAt);
      if (found !== undefined) return end({ ...found, arrived: true });
      // The kernel has said that nobody got it: nothing will come.
      if (listen() !== undefined) break;
      await node.clock.sleep(POLL_MS, options.signal).catch(() => {});
    } while (node.clock.monotonic() < deadline && options.signal?.aborted !== true);
    return end({ ...explainMiss(options, kernel), arrived: false, ...(kernel === undefined ? {} : { kernel }) });
  } catch (error) {
    if (!(error instanceof CdhError)) throw error;
    const advice = error.hint === undefined ? {} : { advice: error.hint };
    return end({ outcome: "failed", finding: error.message, arrived: false, ...advice });
  } finally {
    kernelLog.close();
    // A composer that comes late knows a probe that was killed by this file; the next proof removes it.
    if (!wasKilled) rmSync(inHostDir(node, name), { force: true });
  }
}

/** Run the small program, which lifts the limit on its core itself; says why it could not crash, and whether it was killed. */
async function crash(
  node: Node,
  name: string,
  { mode }: ProofOptions,
): Promise<{ problem?: string; killed?: boolean }> {
  const program = inHostDir(node, name);
  try {
    writeFileSync(program, makeCrashProgram(process.arch), { flag: "wx", mode: 0o700 });
  } catch (error) {
    return { problem: reasonOf(error) };
  }
  // The kernel resolves a file pattern in the crashing process's own root: that has to be the node's.
  const [file, args] = mode === "file" ? onNodeRoot(node.roots, onNode(node, name), []) : [program, []];
  // Whoever gives up waits for its end, too: the composer cannot know a probe that was killed while it dumps.
  const result = await run(file, args, { env: {}, timeoutMs: CRASH_TIMEOUT_MS });
  if (result.signal === "SIGSEGV") return {};
  if (lstatIfThere(program) === undefined) return { problem: "somebody removed it from HOST_DIR" };
  const how = `it ended with ${result.signal ?? `status ${result.exitCode}`}`;
  return {
    problem: result.stderr.trim() || result.notStarted || how,
    killed: result.timedOut || result.signal !== undefined,
  };
}

const MISSES: Readonly<Record<KernelReason, { because: string; advice: string }>> = {
  pipe_failed: {
    because: "the kernel says that it could not start the composer (pipe failed)",
    advice:
      "the kernel starts it in the machine's first mount namespace: is this node itself a container (kind, k3d, LXD), or is HOST_DIR mounted noexec there, or labelled so that the kernel may not execute it?",
  },
  pipe_limit: {
    because: "the kernel says that kernel.core_pipe_limit was reached: too many crashes at once",
    advice: "more than CORE_PIPE_LIMIT crashes were being handled: look again when it is quiet, or raise it",
  },
  socket_failed: {
    because: "the kernel says that nobody listens at the core pattern's socket",
    advice: "the core pattern is somebody else's",
  },
  refused: { because: "the kernel says that it made no core", advice: "dmesg shows its words" },
};

/** Say why nothing came, as far as the kernel tells. */
function explainMiss(
  { mode, timeoutMs }: ProofOptions,
  kernel: KernelReason | undefined,
): Omit<CaptureProof, "arrived" | "tookMs"> {
  const finding = `crashed a test program, and no ${mode === "pipe" ? "bundle" : "core"} came`;
  if (kernel !== undefined) {
    const { because, advice } = MISSES[kernel];
    return { outcome: "failed", finding: `${finding}: ${because}`, advice };
  }
  return {
    outcome: "failed",
    finding: `${finding} within ${timeoutMs / 1000} s`,
    advice:
      "composer.log in HOST_DIR and dmesg show what was said; a kernel with CONFIG_STATIC_USERMODEHELPER (Talos from 1.14) starts no handler and says nothing: MODE=file is for it",
  };
}
