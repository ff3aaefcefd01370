import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { toRfc3339 } from "@cdh/core/clock";
import { PARTIAL_SUFFIX } from "@cdh/core/files/write-atomically";
import { buildCorePattern } from "@cdh/core/kernel/pattern";
import { staleProbes } from "../check/probe-bundle.ts";
import type { CaptureProof } from "../check/proof.ts";
import { readBackup, writeBackup } from "../node/backup.ts";
import { lstatIfThere } from "../node/files.ts";
import {
  KERNEL_VALUES,
  readKernelValues,
  SYSCTL_NAMES,
  writeKernelValue,
  type KernelValues,
} from "../node/kernel-values.ts";
import { buildFilePattern } from "../node/own-pattern.ts";
import { findOwnValues } from "../node/saved-values.ts";
import { readState, writeState, type InstallState } from "../node/state.ts";
import { inHostDir, NAMES, onNode, type Mode, type Node } from "../node/target-node.ts";
import { type Desired } from "./desired.ts";
import { planComposer, planSideFiles } from "./install-composer.ts";
import { isAbandonedDraft } from "./lock.ts";
import { planDirectories } from "./plan-directories.ts";
import type { Step } from "./steps.ts";

/**
 * Compute the three values that capture needs.
 * @throws {CdhError} CDH_PATTERN_TOO_LONG, CDH_CONFIG_INVALID
 */
export function desiredValues(node: Node, mode: Mode, corePipeLimit: number, suidDumpable: number): KernelValues {
  return {
    core_pattern: mode === "pipe" ? buildCorePattern(node.hostDir) : buildFilePattern(node.coreDir),
    core_pipe_limit: String(corePipeLimit),
    suid_dumpable: String(suidDumpable),
  };
}

/**
 * Plan an install from what is there. The order makes every point of it safe to be killed at: the kernel learns of the
 * composer only when it is complete and proved, and the node's own values are on the disk before any of them changes.
 * @param prove crashes a small program once the kernel's values are set; when nothing arrives, they are taken back
 */
export function planInstall(node: Node, desired: Desired, prove?: () => Promise<CaptureProof>): Step[] {
  const current = readKernelValues(node.roots);
  return [
    ...planDirectories(node, desired),
    ...(desired.composer === undefined ? [] : planComposer(node, desired.composer)),
    ...(desired.composer === undefined ? [] : planSideFiles(node, desired)),
    ...planBackups(node, current),
    planState(node, desired),
    ...planValues(node, current, desired.values),
    ...(prove === undefined ? [] : [planProof(prove)]),
    planTidying(node, [desired.composer?.libraryFolder, readState(node)?.libraryFolder]),
  ];
}

function planBackups(node: Node, current: KernelValues): Step[] {
  const ownValues = findOwnValues(node, current);
  const from: Record<string, string> = {
    other: " (saved by the handler before this one)",
    boot: " (what the node sets at boot: the saved value is lost)",
    kernel: " (the kernel's default: the node's own value is not known)",
  };
  return KERNEL_VALUES.map((name) => {
    const { value, source, unusable } = ownValues[name];
    const present = readBackup(node, name).state === "valid";
    return {
      id: `save-${name}`,
      title: `save the node's own ${SYSCTL_NAMES[name]}`,
      to: `${value}${from[source] ?? ""}${unusable === undefined ? "" : ` (the backup that was there is unusable: ${unusable})`}`,
      changes: !present,
      run: () => {
        if (!present) writeBackup(node, name, value);
      },
    };
  });
}

function planState(node: Node, desired: Desired): Step {
  const before = readState(node);
  const values = Object.fromEntries(
    // Earlier values stay in the list: a run that is killed before it sets the new ones leaves the old ones in the kernel.
    KERNEL_VALUES.map((name) => [
      name,
      [...(before?.values[name] ?? []).filter((value) => value !== desired.values[name]), desired.values[name]],
    ]),
  ) as InstallState["values"];
  const next: InstallState = {
    schemaVersion: 1,
    version: desired.version,
    installedAt: toRfc3339(node.clock.now()),
    mode: desired.mode,
    ...(desired.composer === undefined
      ? {}
      : { composerSha256: desired.composer.sha256, libraryFolder: desired.composer.libraryFolder }),
    coreDir: node.coreDir,
    eventDir: node.eventDir,
    values,
  };
  const same =
    before !== undefined &&
    JSON.stringify({ ...before, installedAt: "" }) === JSON.stringify({ ...next, installedAt: "" });
  return {
    id: "record",
    title: "record what is installed",
    to: onNode(node, NAMES.state),
    changes: !same,
    run: () => {
      if (!same) writeState(node, next);
    },
  };
}

function planValues(node: Node, current: KernelValues, desired: KernelValues): Step[] {
  return KERNEL_VALUES.map((name) => ({
    id: `set-${name}`,
    title: `set ${SYSCTL_NAMES[name]}`,
    from: current[name],
    to: desired[name],
    changes: current[name] !== desired[name],
    run: () => {
      if (current[name] !== desired[name]) writeKernelValue(node.roots, name, desired[name]);
    },
    undo: () => writeKernelValue(node.roots, name, current[name]),
  }));
}

function planProof(prove: () => Promise<CaptureProof>): Step {
  const step: Step = {
    id: "prove",
    title: "prove that a crash arrives",
    changes: false,
    check: true,
    run: async () => {
      const { arrived, outcome, finding } = await prove();
      step.to = finding;
      if (!arrived || outcome === "failed") step.unproved = finding;
    },
  };
  return step;
}

function planTidying(node: Node, folders: readonly (string | undefined)[]): Step {
  const find = (): string[] => [...leftovers(node), ...oldLibraries(node, folders)];
  return {
    id: "tidy",
    title: "remove what earlier runs left",
    changes: find().length > 0,
    run: () => {
      for (const path of find()) rmSync(path, { force: true, recursive: true });
    },
  };
}

/**
 * List library folders that no composer uses any more. Those of the install before this one stay until the next: a
 * composer that the kernel has just started may still be opening them.
 */
function oldLibraries(node: Node, used: readonly (string | undefined)[]): string[] {
  if (used.every((folder) => folder === undefined || folder === NAMES.libraries)) return [];
  const directory = inHostDir(node, NAMES.libraries);
  if (lstatIfThere(directory) === undefined) return [];
  return readdirSync(directory)
    .filter((name) => /^[0-9a-f]{16}$/.test(name) && !used.includes(join(NAMES.libraries, name)))
    .map((name) => join(directory, name));
}

/** List the partial files of earlier runs in HOST_DIR and its `lib`, and what probes left that were killed. */
export function leftovers(node: Node): string[] {
  return [...listPartials(inHostDir(node), 2, node.clock.now()), ...staleProbes(node)];
}

function listPartials(directory: string, depth: number, now: number): string[] {
  if (lstatIfThere(directory)?.isDirectory() !== true) return [];
  return readdirSync(directory).flatMap((name) => {
    const path = join(directory, name);
    if (name.startsWith(".") && name.endsWith(PARTIAL_SUFFIX)) return [path];
    if (name.startsWith(`${NAMES.lock}.`)) return isAbandonedDraft(path, now) ? [path] : [];
    const isLibraryFolder = name === NAMES.libraries || /^[0-9a-f]{16}$/.test(name);
    return isLibraryFolder && depth > 0 ? listPartials(path, depth - 1, now) : [];
  });
}
