import { chmodSync, readdirSync, rmSync, statSync } from "node:fs";
import { toRfc3339 } from "@cdh/core/clock";
import { buildCorePattern } from "@cdh/core/kernel/pattern";
import { onHost } from "@cdh/core/roots";
import { readBackup, writeBackup } from "./backup.ts";
import { hashFile, type ComposerSource } from "./composer-source.ts";
import { renderComposerEnv } from "./composer-env.ts";
import { lstatIfThere, makeDirectory, PARTIAL_SUFFIX, partialOf, readTextIfThere, writeFileSafely } from "./files.ts";
import { KERNEL_VALUES, readKernelValues, SYSCTL_NAMES, writeKernelValue, type KernelValues } from "./kernel-values.ts";
import { inHostDir, NAMES, onNode, type Node } from "./node.ts";
import { findOriginals } from "./originals.ts";
import { selfTest } from "./self-test.ts";
import { diskError, placeLibraries, publishFile, stageFile } from "./stage.ts";
import { readState, writeState, type InstallState } from "./state.ts";
import type { Step } from "./steps.ts";

/** What a node shall look like. */
export interface Desired {
  version: string;
  composer: ComposerSource;
  /** The composer's settings, for HOST_DIR/.env. */
  composerEnv: Readonly<Record<string, string>>;
  values: KernelValues;
  /** Content of HOST_DIR/crictl.yaml, when it is wanted. */
  crictlConfig?: string;
  /** The crictl to copy, when it is wanted. */
  crictl?: { path: string; sha256: string };
}

/** Compute the three values that capture needs. @throws {CdhError} CDH_PATTERN_TOO_LONG, CDH_CONFIG_INVALID */
export function desiredValues(hostDir: string, corePipeLimit: number, suidDumpable: number): KernelValues {
  return {
    core_pattern: buildCorePattern(hostDir),
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
    ...planComposer(node, desired),
    ...planSideFiles(node, desired),
    ...planBackups(node, current),
    planState(node, desired),
    ...planValues(node, current, desired.values),
    planTidying(node),
  ];
}

function planDirectories(node: Node, desired: Desired): Step[] {
  const wanted: [id: string, title: string, path: string, mode: number][] = [
    ["make-host-dir", "make HOST_DIR", node.hostDir, 0o755],
    ["make-core-dir", "make CORE_DIR", node.coreDir, 0o700],
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
      changes: lstatIfThere(local) === undefined,
      run: () => {
        // The mode that mkdir sets is cut by the umask.
        if (makeDirectory(local, mode)) chmodSync(local, mode);
      },
    };
  });
}

function planComposer(node: Node, { composer }: Desired): Step[] {
  const target = inHostDir(node, NAMES.composer);
  const folder = inHostDir(node, NAMES.libraries);
  const present = hashFile(target) === composer.sha256 && (statSync(target).mode & 0o111) === 0o111;
  const librariesPresent = composer.libraries.every(
    ({ name, sha256 }) => hashFile(inHostDir(node, NAMES.libraries, name)) === sha256,
  );
  const steps: Step[] = [];
  if (composer.libraries.length > 0) {
    steps.push({
      id: "place-libraries",
      title: "copy the composer's loader and libraries",
      to: onNode(node, NAMES.libraries),
      changes: !librariesPresent,
      run: () => placeLibraries(composer.libraries, folder),
    });
  }
  const probe = present ? onNode(node, NAMES.composer) : partialOf(onNode(node, NAMES.composer));
  const short = `sha256 ${composer.sha256.slice(0, 12)}`;
  return [
    ...steps,
    {
      id: "stage-composer",
      title: "copy the composer beside its place and verify it",
      to: short,
      changes: !present,
      run: () => void (present || stageFile(composer, target, 0o755)),
      undo: () => rmSync(partialOf(target), { force: true }),
    },
    {
      id: "self-test",
      title: "prove that the composer runs on this node",
      changes: false,
      check: true,
      run: async () => void (await selfTest(node.roots, probe)),
    },
    {
      id: "publish-composer",
      title: "put the composer in place",
      to: onNode(node, NAMES.composer),
      changes: !present,
      run: () => {
        if (!present) publishFile(partialOf(target), target);
      },
    },
  ];
}

function planSideFiles(node: Node, desired: Desired): Step[] {
  const steps = [
    planFile(
      node,
      "write-env",
      "write the composer's settings",
      NAMES.env,
      renderComposerEnv(desired.composerEnv),
      0o600,
    ),
  ];
  if (desired.crictlConfig !== undefined) {
    steps.push(
      planFile(
        node,
        "write-crictl-config",
        "write crictl's configuration",
        NAMES.crictlConfig,
        desired.crictlConfig,
        0o644,
      ),
    );
  }
  const { crictl } = desired;
  if (crictl !== undefined) {
    const target = inHostDir(node, NAMES.crictl);
    const present = hashFile(target) === crictl.sha256;
    steps.push({
      id: "copy-crictl",
      title: "copy crictl",
      to: onNode(node, NAMES.crictl),
      changes: !present,
      run: () => {
        if (!present) publishFile(stageFile({ ...crictl, patches: [] }, target, 0o755), target);
      },
    });
  }
  return steps;
}

function planFile(node: Node, id: string, title: string, name: string, content: string, mode: number): Step {
  const path = inHostDir(node, name);
  const same = readTextIfThere(path) === content && (statSync(path).mode & 0o777) === mode;
  return {
    id,
    title,
    to: onNode(node, name),
    changes: !same,
    run: () => {
      if (same) return;
      try {
        writeFileSafely(path, content, mode);
      } catch (error) {
        throw diskError(`cannot write ${path}`, error);
      }
    },
  };
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
    KERNEL_VALUES.map((name) => [name, [...new Set([...(before?.values[name] ?? []), desired.values[name]])]]),
  ) as InstallState["values"];
  const next: InstallState = {
    schemaVersion: 1,
    version: desired.version,
    installedAt: toRfc3339(node.clock.now()),
    composerSha256: desired.composer.sha256,
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

function planTidying(node: Node): Step {
  return {
    id: "tidy",
    title: "remove what an interrupted run left",
    changes: leftovers(node).length > 0,
    run: () => {
      for (const path of leftovers(node)) rmSync(path, { force: true });
    },
  };
}

/** List the partial files of earlier runs in HOST_DIR and its `lib`. */
export function leftovers(node: Node): string[] {
  return [[], [NAMES.libraries]].flatMap((names) => {
    const directory = inHostDir(node, ...names);
    if (lstatIfThere(directory) === undefined) return [];
    return readdirSync(directory)
      .filter((name) => (name.startsWith(".") && name.endsWith(PARTIAL_SUFFIX)) || name.startsWith(`${NAMES.lock}.`))
      .map((name) => `${directory}/${name}`);
  });
}
