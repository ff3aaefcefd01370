import { readdirSync, rmdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { CdhError, errnoOf, reasonOf } from "@cdh/core/errors";
import { LEASE_EXPIRED_NAME, LEASE_NAME } from "@cdh/core/kernel/watch-lease";
import { onHost } from "@cdh/core/roots";
import { STATE_DIRECTORY } from "@cdh/core/spool/layout";
import { readBackup, removeBackup } from "../node/backup.ts";
import { lstatIfThere } from "../node/files.ts";
import {
  KERNEL_VALUES,
  readKernelValue,
  readKernelValues,
  SYSCTL_NAMES,
  writeKernelValue,
  type KernelValueName,
  type KernelValues,
} from "../node/kernel-values.ts";
import { isOwnPattern } from "../node/own-pattern.ts";
import { findOwnValues, type OwnValue } from "../node/saved-values.ts";
import { readState, type InstallState } from "../node/state.ts";
import { inHostDir, NAMES, onNode, type Node } from "../node/target-node.ts";
import { leftovers } from "./install.ts";
import type { Step } from "./steps.ts";

/** Something that a restore does not take away, and why. */
export interface Left {
  what: string;
  reason: string;
}

/** A restore, planned. */
export interface RestorePlan {
  steps: Step[];
  /** Values that are somebody else's by now. The restore is not complete with them. */
  left: Left[];
  /** What stays on purpose: cores that nobody has taken yet. */
  kept: Left[];
}

/**
 * Plan the way back: the values first, in the opposite order of the install, then our files. A value goes back only
 * while the current one is ours. While the kernel still starts our composer, the composer stays.
 * @param configured values that this program would set, to recognise ours where no install has left a record
 */
export function planRestore(node: Node, configured: Omit<KernelValues, "core_pattern">): RestorePlan {
  const current = readKernelValues(node.roots);
  const ownValues = findOwnValues(node, current);
  const state = readState(node);
  const installed = isInstalled(node, state);
  const left: Left[] = [];
  const values = KERNEL_VALUES.toReversed().map((name): Step => {
    const own = ownValues[name];
    const verdict = judge(node, name, current[name], own, { state, installed, configured });
    if (verdict.left !== undefined) left.push({ what: SYSCTL_NAMES[name], reason: verdict.left });
    return {
      id: `restore-${name}`,
      title:
        verdict.left === undefined ? `restore ${SYSCTL_NAMES[name]}` : `leave ${SYSCTL_NAMES[name]}: ${verdict.left}`,
      ...(verdict.restore ? { from: current[name], to: `${own.value}${guessed(own)}` } : {}),
      changes: verdict.restore,
      run: () => {
        if (verdict.restore) writeKernelValue(node.roots, name, own.value);
      },
    };
  });
  const { steps, kept } = planFiles(node);
  return { steps: [...values, ...steps], left, kept };
}

interface Knowledge {
  state: InstallState | undefined;
  installed: boolean;
  configured: Omit<KernelValues, "core_pattern">;
}

function judge(
  node: Node,
  name: KernelValueName,
  current: string,
  own: OwnValue,
  known: Knowledge,
): { restore: boolean; left?: string } {
  if (name === "core_pattern") {
    if (isOwnPattern(node, current)) return { restore: true };
    // Without an install of ours there is nothing to put back, and whatever is set is not our business.
    if (!known.installed || current === own.value) return { restore: false };
    return { restore: false, left: `it is ${JSON.stringify(current)} now, which is not ours` };
  }
  if (current === own.value || !known.installed) return { restore: false };
  const ours = known.state?.values[name] ?? [known.configured[name]];
  if (ours.includes(current)) return { restore: true };
  return { restore: false, left: `it is ${current} now, which is not ours` };
}

function isInstalled(node: Node, state: InstallState | undefined): boolean {
  return state !== undefined || KERNEL_VALUES.some((name) => readBackup(node, name).state !== "absent");
}

function guessed(own: OwnValue): string {
  if (own.source === "boot") return " (what the node sets at boot: the saved value is lost)";
  if (own.source === "kernel") return " (the kernel's default: the node's own value is not known)";
  return "";
}

function planFiles(node: Node): { steps: Step[]; kept: Left[] } {
  const kept: Left[] = [];
  const steps: Step[] = [
    removal(
      "remove-composer",
      "remove the composer",
      [inHostDir(node, NAMES.composer), inHostDir(node, NAMES.libraries)],
      () => {
        // Checked when it is time: restoring the pattern may have failed just before.
        if (!isOwnPattern(node, readKernelValue(node.roots, "core_pattern"))) return;
        throw new CdhError(
          "CDH_NOT_APPLIED",
          `the kernel still starts ${onNode(node, NAMES.composer)}: it stays, so that no crash is lost`,
        );
      },
    ),
    removal(
      "remove-settings",
      "remove the composer's settings and log",
      [NAMES.env, NAMES.crictl, NAMES.crictlConfig, NAMES.log, NAMES.oldLog, LEASE_NAME, LEASE_EXPIRED_NAME].map(
        (name) => inHostDir(node, name),
      ),
      () => assertComposerGone(node),
    ),
  ];
  const cores = countCores(node);
  if (cores > 0) kept.push({ what: node.coreDir, reason: `${cores} ${cores === 1 ? "file" : "files"} in it` });
  steps.push({
    id: "remove-core-dir",
    title: cores > 0 ? `keep CORE_DIR: ${cores} ${cores === 1 ? "file" : "files"} in it` : "remove CORE_DIR",
    changes: cores === 0 && lstatIfThere(onHost(node.roots, node.coreDir)) !== undefined,
    run: () => removeCoreDir(node),
  });
  steps.push({
    id: "remove-backups",
    title: "remove the saved values and the record",
    changes:
      KERNEL_VALUES.some((name) => readBackup(node, name).state !== "absent") ||
      lstatIfThere(inHostDir(node, NAMES.state)) !== undefined,
    run: () => {
      assertComposerGone(node);
      for (const path of leftovers(node)) rmSync(path, { force: true });
      // The record goes last: as long as it is there, a second run knows that there was an install.
      for (const name of KERNEL_VALUES) removeBackup(node, name);
      rmSync(inHostDir(node, NAMES.state), { force: true });
    },
  });
  return { steps, kept };
}

function removal(id: string, title: string, paths: string[], check: () => void): Step {
  return {
    id,
    title,
    changes: paths.some((path) => lstatIfThere(path) !== undefined),
    run: () => {
      check();
      for (const path of paths) rmSync(path, { force: true, recursive: true });
    },
  };
}

function assertComposerGone(node: Node): void {
  if (lstatIfThere(inHostDir(node, NAMES.composer)) === undefined) return;
  throw new CdhError("CDH_NOT_APPLIED", "the composer is still there");
}

/** Remove HOST_DIR and the event directory when nothing is left in them; the caller has released its lock. */
export function removeEmptyDirectories(node: Node): void {
  for (const path of [onHost(node.roots, node.eventDir), inHostDir(node)]) removeIfEmpty(path);
}

function removeCoreDir(node: Node): void {
  if (countCores(node) > 0) return;
  const directory = onHost(node.roots, node.coreDir);
  rmSync(join(directory, STATE_DIRECTORY), { recursive: true, force: true });
  for (const name of listIfThere(directory)) removeIfEmpty(join(directory, name));
  removeIfEmpty(directory);
}

/** Count everything in CORE_DIR that may hold a core: whatever is not our own state or an empty directory. */
function countCores(node: Node): number {
  const directory = onHost(node.roots, node.coreDir);
  const count = (path: string): number => {
    const entry = lstatIfThere(path);
    if (entry === undefined) return 0;
    if (!entry.isDirectory()) return 1;
    return listIfThere(path).reduce((sum, name) => sum + count(join(path, name)), 0);
  };
  return listIfThere(directory)
    .filter((name) => name !== STATE_DIRECTORY)
    .reduce((sum, name) => sum + count(join(directory, name)), 0);
}

function listIfThere(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return [];
    throw new CdhError("CDH_DISK", `cannot read ${directory}: ${reasonOf(error)}`, { cause: error });
  }
}

function removeIfEmpty(path: string): void {
  try {
    rmdirSync(path);
  } catch (error) {
    if (!["ENOENT", "ENOTEMPTY", "EEXIST", "ENOTDIR", "EBUSY"].includes(errnoOf(error) ?? "")) throw error;
  }
}
