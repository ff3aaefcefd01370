import { join } from "node:path";
import { toRfc3339 } from "@cdh/core/clock";
import { onHost } from "@cdh/core/roots";
import { readBackup } from "../node/backup.ts";
import { lstatIfThere, readTextIfThere } from "../node/files.ts";
import { hashFile } from "../node/hash-file.ts";
import { KERNEL_VALUES, readKernelValues, SYSCTL_NAMES, type KernelValues } from "../node/kernel-values.ts";
import { findOtherHandlers } from "../node/other-handlers.ts";
import { isOwnPattern } from "../node/own-pattern.ts";
import { readSpoolFacts } from "../node/spool-facts.ts";
import { readState } from "../node/state.ts";
import { inHostDir, NAMES, onNode, type Mode, type Node } from "../node/target-node.ts";
import { proveCapture } from "./capture-proof.ts";
import { checkRuntimeLimits } from "./doctor-node.ts";
import { countComplaints, KERNEL_REASONS, KernelLog, type KernelReason } from "./kernel-log.ts";
import { type ValueStatus, type ComposerStatus, type KernelLogFacts, type NodeStatus } from "./node-status.ts";
import type { CaptureProof, ProofOptions } from "./proof.ts";
import { composerVersion } from "./self-test.ts";

const COMPLAINTS: Readonly<Record<KernelReason, string>> = {
  pipe_failed: "could not start the handler (pipe failed)",
  pipe_limit: "dropped: over core_pipe_limit",
  socket_failed: "nobody listened at the pattern's socket",
  refused: "no core was made",
};

/** Say in words what the kernel's log tells, or undefined when it tells nothing. */
export function describeComplaints({ counts, lastAt }: KernelLogFacts): string | undefined {
  const told = KERNEL_REASONS.flatMap((reason) => {
    const count = counts[reason];
    return count === undefined ? [] : [`${count} ${count === 1 ? "crash" : "crashes"} ${COMPLAINTS[reason]}`];
  });
  if (told.length === 0) return undefined;
  return `the kernel says: ${told.join(", ")}${lastAt === undefined ? "" : `; last at ${lastAt}`}`;
}

/**
 * Look at the node and compare it with what is desired. Changes nothing.
 * @param prove crash a small program as well, and wait for it: without it, settings are all that is known
 * @throws {CdhError} CDH_ENVIRONMENT
 */
export async function readStatus(
  node: Node,
  mode: Mode,
  desired: KernelValues,
  prove?: Omit<ProofOptions, "mode">,
): Promise<NodeStatus> {
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
  const kernelLog = readKernelLog(node);
  const limits = checkRuntimeLimits(node);
  const proof = prove === undefined ? undefined : await proveCapture(node, { ...prove, mode });
  const problems = [
    ...values.filter(({ drift }) => drift).map(({ name, actual }) => `${name} is ${JSON.stringify(actual)}`),
    ...(composer.installed || mode === "file" ? [] : [`there is no composer at ${composer.path}`]),
    ...(composer.intact === false ? [`${composer.path} is not the file that was installed`] : []),
    ...(composer.installed && composer.version === undefined ? [`${composer.path} does not run on this node`] : []),
    ...(lstatIfThere(onHost(node.roots, node.coreDir)) === undefined ? [`there is no CORE_DIR ${node.coreDir}`] : []),
    ...values.flatMap(({ name, backupProblem }) =>
      backupProblem === undefined ? [] : [`the saved value of ${name} is unusable: ${backupProblem}`],
    ),
    ...(proof?.outcome === "failed" ? [proof.finding] : []),
  ];
  return {
    healthy: problems.length === 0,
    capturing: isOwnPattern(node, current.core_pattern) && (mode === "file" || composer.installed),
    mode,
    hostDir: node.hostDir,
    values,
    composer,
    spool: readSpoolFacts(node),
    owners: findOtherHandlers(node.roots, current.core_pattern, isOwnPattern(node, current.core_pattern)),
    ...(kernelLog === undefined ? {} : { kernelLog }),
    ...(limits.outcome === "warning" ? { runtimeLimits: `${limits.finding}: ${limits.advice ?? ""}` } : {}),
    ...(proof === undefined ? {} : { capture: shownProof(proof) }),
    problems,
  };
}

function shownProof({ outcome, finding, advice }: CaptureProof): NonNullable<NodeStatus["capture"]> {
  return { outcome, finding, ...(advice === undefined ? {} : { advice }) };
}

function readKernelLog(node: Node): KernelLogFacts | undefined {
  const log = KernelLog.open();
  if (!log.readable) return undefined;
  const complaints = log.read();
  log.close();
  const last = complaints.at(-1);
  const uptime = Number(readTextIfThere(join(node.roots.proc, "uptime"))?.split(" ")[0]);
  const knowsWhen = last !== undefined && Number.isFinite(uptime);
  return {
    counts: countComplaints(complaints),
    ...(knowsWhen ? { lastAt: toRfc3339(node.clock.now() - uptime * 1000 + last.bootMicros / 1000) } : {}),
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
