import { chmodSync } from "node:fs";
import { dirname } from "node:path";
import { CdhError } from "@cdh/core/errors";
import { isHandlerPattern, parseCorePattern } from "@cdh/core/kernel/pattern";
import type { CaptureProof } from "../check/proof.ts";
import { lstatIfThere, makeDirectory } from "../node/files.ts";
import { readKernelValue } from "../node/kernel-values.ts";
import { isOwnPattern } from "../node/own-pattern.ts";
import { inHostDir, type Node } from "../node/target-node.ts";
import { diskError } from "./copy-verified.ts";
import type { Desired } from "./desired.ts";
import { planInstall } from "./install.ts";
import { takeLock, type Lock } from "./lock.ts";
import { planRestore, removeEmptyDirectories, type Left, type RestorePlan } from "./restore.ts";
import { runAllSteps, runSteps, type StepHook, type StepResult } from "./steps.ts";

/** How to work on a node. */
export interface ApplyOptions {
  lockTimeoutMs: number;
  signal?: AbortSignal;
  after: StepHook;
  /** Prove at the end of an install that a crash arrives. Without it the install is as good as its settings. */
  prove?: () => Promise<CaptureProof>;
}

/**
 * Bring a node into the desired state: plan under the lock, so that two installs at once follow one another.
 * @throws {CdhError} what the failing step says; the kernel's values are then what they were before
 */
export async function applyInstall(node: Node, desired: Desired, options: ApplyOptions): Promise<StepResult[]> {
  const made = makeHostDir(node);
  const lock = await takeLock(node, options.lockTimeoutMs, options.signal);
  try {
    const steps = planInstall(node, desired, options.prove).map((step) =>
      step.id === "make-host-dir" ? { ...step, changes: made } : step,
    );
    return await runSteps(steps, options.after);
  } finally {
    lock.release();
  }
}

/** Say whose the kernel's line is when it is a handler's, and not that of this HOST_DIR. */
function otherHandler(pattern: string): Left[] {
  const parsed = parseCorePattern(pattern);
  if (!isHandlerPattern(pattern) || parsed.kind !== "pipe") return [];
  const directory = dirname(parsed.executable);
  return [
    { what: "kernel.core_pattern", reason: `it starts the composer of another HOST_DIR (--host-dir ${directory})` },
  ];
}

/** Take the lock, unless the disk is full or read-only: a restore frees space, and the kernel's values need none. */
async function takeLockIfWritable(node: Node, options: ApplyOptions): Promise<Lock | undefined> {
  try {
    makeHostDir(node);
    return await takeLock(node, options.lockTimeoutMs, options.signal);
  } catch (error) {
    if (error instanceof CdhError && error.code === "CDH_DISK") return undefined;
    throw error;
  }
}

function makeHostDir(node: Node): boolean {
  const path = inHostDir(node);
  try {
    const made = makeDirectory(path, 0o755);
    if (made) chmodSync(path, 0o755);
    return made;
  } catch (error) {
    throw diskError(`cannot make ${path}`, error);
  }
}

/** What a restore did. */
export interface RestoreResult extends Pick<RestorePlan, "left" | "kept"> {
  steps: StepResult[];
}

/** Give the node its own values back and remove our files, past every error. */
export async function applyRestore(
  node: Node,
  options: ApplyOptions & { configured: Parameters<typeof planRestore>[1] },
): Promise<RestoreResult> {
  const pattern = readKernelValue(node.roots, "core_pattern");
  if (lstatIfThere(inHostDir(node)) === undefined && !isOwnPattern(node, pattern)) {
    return { steps: [], left: otherHandler(pattern), kept: [] };
  }
  const lock = await takeLockIfWritable(node, options);
  let plan: RestorePlan;
  let steps: StepResult[];
  try {
    plan = planRestore(node, options.configured);
    steps = await runAllSteps(plan.steps, options.after);
  } finally {
    lock?.release();
  }
  removeEmptyDirectories(node);
  return { steps, left: plan.left, kept: plan.kept };
}
