import { onHost } from "@cdh/core/roots";
import { readBackup } from "./backup.ts";
import { hashFile } from "./composer-source.ts";
import { lstatIfThere } from "./files.ts";
import { KERNEL_VALUES, readKernelValues, SYSCTL_NAMES, type KernelValues } from "./kernel-values.ts";
import { inHostDir, NAMES, onNode, type Mode, type Node } from "./node.ts";
import { isInstalledPattern } from "./ours.ts";
import { findOwners, type Owner } from "./owners.ts";
import { composerVersion } from "./self-test.ts";
import { readSpoolFacts, type SpoolFacts } from "./spool-facts.ts";
import { readState } from "./state.ts";

/** One of the three kernel settings: wanted, found, saved. */
export interface ValueStatus {
  name: string;
  desired: string;
  actual: string;
  /** The node's own value, when it is saved. */
  backup?: string;
  /** Why the saved value cannot be used. */
  backupProblem?: string;
  drift: boolean;
}

/** The composer in HOST_DIR. */
export interface ComposerStatus {
  path: string;
  installed: boolean;
  version?: string;
  sha256?: string;
  sizeBytes?: number;
  installedAt?: string;
  /** False when the file is not the one that was installed. */
  intact?: boolean;
}

/** Everything that `status` tells. */
export interface NodeStatus {
  healthy: boolean;
  /** Somebody's composer gets the crashes now. */
  capturing: boolean;
  mode: Mode;
  hostDir: string;
  values: ValueStatus[];
  composer: ComposerStatus;
  spool: SpoolFacts;
  owners: Owner[];
  /** What is wrong, in words. */
  problems: string[];
}

/** Look at the node and compare it with what is desired. Changes nothing. @throws {CdhError} CDH_ENVIRONMENT */
export async function readStatus(node: Node, mode: Mode, desired: KernelValues): Promise<NodeStatus> {
  const current = readKernelValues(node.roots);
  const values = KERNEL_VALUES.map((name): ValueStatus => {
    const backup = readBackup(node, name);
    return {
      name: SYSCTL_NAMES[name],
      desired: desired[name],
      actual: current[name],
      ...(backup.state === "valid" ? { backup: backup.value } : {}),
      ...(backup.state === "unusable" ? { backupProblem: backup.reason } : {}),
      drift: current[name] !== desired[name],
    };
  });
  const composer = await readComposerStatus(node);
  const problems = [
    ...values.filter(({ drift }) => drift).map(({ name, actual }) => `${name} is ${JSON.stringify(actual)}`),
    ...(composer.installed || mode === "file" ? [] : [`there is no composer at ${composer.path}`]),
    ...(composer.intact === false ? [`${composer.path} is not the file that was installed`] : []),
    ...(composer.installed && composer.version === undefined ? [`${composer.path} does not run on this node`] : []),
    ...(lstatIfThere(onHost(node.roots, node.coreDir)) === undefined ? [`there is no CORE_DIR ${node.coreDir}`] : []),
    ...values.flatMap(({ name, backupProblem }) =>
      backupProblem === undefined ? [] : [`the saved value of ${name} is unusable: ${backupProblem}`],
    ),
  ];
  return {
    healthy: problems.length === 0,
    capturing: isInstalledPattern(node, current.core_pattern) && (mode === "file" || composer.installed),
    mode,
    hostDir: node.hostDir,
    values,
    composer,
    spool: readSpoolFacts(node),
    owners: findOwners(node.roots, current.core_pattern, isInstalledPattern(node, current.core_pattern)),
    problems,
  };
}

async function readComposerStatus(node: Node): Promise<ComposerStatus> {
  const path = inHostDir(node, NAMES.composer);
  const entry = lstatIfThere(path);
  if (entry === undefined) return { path: onNode(node, NAMES.composer), installed: false };
  const state = readState(node);
  const sha256 = hashFile(path);
  const version = await composerVersion(node.roots, onNode(node, NAMES.composer));
  return {
    path: onNode(node, NAMES.composer),
    installed: true,
    ...(version === undefined ? {} : { version }),
    ...(sha256 === undefined ? {} : { sha256 }),
    sizeBytes: entry.size,
    ...(state === undefined
      ? {}
      : {
          installedAt: state.installedAt,
          intact: state.composerSha256 === undefined || state.composerSha256 === sha256,
        }),
  };
}
