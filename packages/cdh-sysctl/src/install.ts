import { chmodSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { toRfc3339 } from "@cdh/core/clock";
import { buildCorePattern } from "@cdh/core/kernel/pattern";
import { onHost } from "@cdh/core/roots";
import { readBackup, writeBackup } from "./backup.ts";
import type { ComposerSource } from "./composer-source.ts";
import { lstatIfThere, makeDirectory, PARTIAL_SUFFIX } from "./files.ts";
import { KERNEL_VALUES, readKernelValues, SYSCTL_NAMES, writeKernelValue, type KernelValues } from "./kernel-values.ts";
import { planComposer, planSideFiles } from "./install-composer.ts";
import { inHostDir, NAMES, onNode, type Mode, type Node } from "./node.ts";
import { findOriginals } from "./originals.ts";
import { buildFilePattern } from "./ours.ts";
import { readState, writeState, type InstallState } from "./state.ts";
import type { Step } from "./steps.ts";

/** A program that `doctor` was killed before it could remove. */
const DOCTOR_PROGRAM = /^cdhdoc[0-9a-f]{8}$/;

/** What a node shall look like. */
export interface Desired {
  version: string;
  mode: Mode;
  /** Undefined when the kernel writes plain files: nothing is installed then. */
  composer?: ComposerSource;
  /** The composer's settings, for HOST_DIR/.env. */
  composerEnv: Readonly<Record<string, string>>;
  values: KernelValues;
  /** Content of HOST_DIR/crictl.yaml, when it is wanted. */
  crictlConfig?: string;
  /** The crictl to copy, when it is wanted. */
  crictl?: { path: string; sha256: string };
}

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
 */
export function planInstall(node: Node, desired: Desired): Step[] {
  const current = readKernelValues(node.roots);
  return [
    ...planDirectories(node, desired),
    ...(desired.composer === undefined ? [] : planComposer(node, desired.composer)),
    ...(desired.composer === undefined ? [] : planSideFiles(node, desired)),
    ...planBackups(node, current),
    planState(node, desired),
    ...planValues(node, current, desired.values),
    planTidying(node, [desired.composer?.libraryFolder, readState(node)?.libraryFolder]),
  ];
}

function planDirectories(node: Node, desired: Desired): Step[] {
  const wanted: [id: string, title: string, path: string, mode: number][] = [
    ["make-host-dir", "make HOST_DIR", node.hostDir, 0o755],
    // The crashing process itself writes a plain core, so everybody may add to that directory, and nobody may look.
    ["make-core-dir", "make CORE_DIR", node.coreDir, desired.mode === "pipe" ? 0o700 : 0o1733],
  ];
  if (desired.composerEnv["CORE_EVENTS"]?.toLowerCase() === "true") {
    wanted.push(["make-event-dir", "make EVENT_DIRECTORY", node.eventDir, 0o755]);
  }
  return wanted.map(([id, title, path, mode]) => {
    const local = onHost(node.roots, path);
    return {
      id,
      title,
      to: path,
      changes: lstatIfThere(local) === undefined || (id === "make-core-dir" && isFresh(local)),
      run: () => {
        // The mode that mkdir sets is cut by the umask.
        if (makeDirectory(local, mode) || (id === "make-core-dir" && isFresh(local))) chmodSync(local, mode);
      },
    };
  });
}

/** Tell whether a directory is as the kubelet makes one for a hostPath volume, before any container starts. */
function isFresh(directory: string): boolean {
  const info = lstatIfThere(directory);
  return info?.isDirectory() === true && (info.mode & 0o7777) === 0o755 && readdirSync(directory).length === 0;
}

function planBackups(node: Node, current: KernelValues): Step[] {
  const originals = findOriginals(node, current);
  const from: Record<string, string> = {
    other: " (saved by the handler before this one)",
    boot: " (from the node's sysctl.d files: the saved value is lost)",
    kernel: " (the kernel's default: the node's own value is not known)",
  };
  return KERNEL_VALUES.map((name) => {
    const { value, source, unusable } = originals[name];
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

/** List the partial files of earlier runs in HOST_DIR and its `lib`. */
export function leftovers(node: Node): string[] {
  return listPartials(inHostDir(node), 2);
}

function listPartials(directory: string, depth: number): string[] {
  if (lstatIfThere(directory)?.isDirectory() !== true) return [];
  return readdirSync(directory).flatMap((name) => {
    const path = join(directory, name);
    if (name.startsWith(".") && name.endsWith(PARTIAL_SUFFIX)) return [path];
    if (name.startsWith(`${NAMES.lock}.`) || DOCTOR_PROGRAM.test(name)) return [path];
    const isLibraryFolder = name === NAMES.libraries || /^[0-9a-f]{16}$/.test(name);
    return isLibraryFolder && depth > 0 ? listPartials(path, depth - 1) : [];
  });
}
