import { formatBytes } from "@cdh/core/units";
import type { KernelValues } from "../node/kernel-values.ts";
import type { Mode, Node } from "../node/target-node.ts";
import { proveCapture } from "./capture-proof.ts";
import { type Check } from "./check.ts";
import { checkClock, checkCrictl, checkRuntimeLimits, checkSelector, checkSelinux } from "./doctor-node.ts";
import type { NodeStatus } from "./node-status.ts";
import type { CaptureProof } from "./proof.ts";
import { describeComplaints, readStatus } from "./status.ts";

/** What `doctor` looks at. */
export interface DoctorOptions {
  mode: Mode;
  desired: KernelValues;
  crictlEndpoint: string;
  /** How long the bundle of the test crash may take. */
  timeoutMs: number;
  signal: AbortSignal;
  /** Told each check as soon as it is made. */
  after: (check: Check) => void;
}

/** Below this much free space a node is one big crash away from losing cores. */
const LOW_SPACE_BYTES = 1024 ** 3;

/** Make every check, the real crash last. @returns all of them; `capture` is the one that counts */
export async function examine(node: Node, options: DoctorOptions): Promise<Check[]> {
  const checks: Check[] = [];
  const add = (check: Check): void => {
    checks.push(check);
    options.after(check);
  };
  const status = await readStatus(node, options.mode, options.desired);
  const known = [checkComposer(status), checkSpace(status), checkOwners(status), checkKernelLog(status)];
  for (const check of [...checkValues(status), ...known]) add(check);
  add(checkSelinux(node));
  add(checkRuntimeLimits(node));
  add(checkClock(node, status));
  add(await checkCrictl(node, options.crictlEndpoint));
  add(await checkSelector(node));
  add(captureCheck(await proveCapture(node, options)));
  return checks;
}

function captureCheck({ outcome, finding, advice }: CaptureProof): Check {
  return { id: "capture", outcome, finding, ...(advice === undefined ? {} : { advice }) };
}

/** Tell what the kernel itself says of crashes that nobody got, as far back as its log reaches. */
function checkKernelLog({ kernelLog }: NodeStatus): Check {
  const id = "kernel-log";
  if (kernelLog === undefined)
    return {
      id,
      outcome: "skipped",
      finding: "the kernel's log cannot be read here",
      advice: "it needs /dev/kmsg and CAP_SYSLOG",
    };
  const told = describeComplaints(kernelLog);
  if (told === undefined)
    return { id, outcome: "ok", finding: "the kernel's log tells of no crash that it could not hand over" };
  return {
    id,
    outcome: "warning",
    finding: told,
    advice: "dmesg shows the lines; docs/operations.md says what each means",
  };
}

function checkValues(status: NodeStatus): Check[] {
  return status.values.map(({ name, actual, desired, drift }): Check => {
    const id = name.split(".").at(-1) ?? name;
    if (!drift) return { id, outcome: "ok", finding: `${name} is ${actual}` };
    // Another pattern means no capture at all; other numbers only weaken it.
    const fatal = name === "kernel.core_pattern" || (name === "kernel.core_pipe_limit" && actual === "0");
    return {
      id,
      outcome: fatal ? "failed" : "warning",
      finding: `${name} is ${JSON.stringify(actual)}, not ${desired}${actual === "0" && id === "core_pipe_limit" ? ": the kernel does not wait for the handler" : ""}`,
      advice: "cdh-sysctl install sets it; cdh-sysctl watch keeps it",
    };
  });
}

function checkComposer(status: NodeStatus): Check {
  const { composer, mode } = status;
  const id = "composer";
  if (mode === "file") return { id, outcome: "skipped", finding: "MODE=file: the kernel writes plain cores itself" };
  const advice = "cdh-sysctl install puts it in place";
  if (!composer.installed)
    return { id, outcome: "failed", finding: `there is no composer at ${composer.path}`, advice };
  if (composer.version === undefined) {
    return {
      id,
      outcome: "failed",
      finding: `${composer.path} does not run on this node`,
      advice: "is the directory mounted noexec, or labelled so that the kernel may not execute it?",
    };
  }
  if (composer.intact === false)
    return { id, outcome: "warning", finding: `${composer.path} is not the file that was installed`, advice };
  return { id, outcome: "ok", finding: `${composer.version} at ${composer.path}` };
}

function checkSpace(status: NodeStatus): Check {
  const { spool } = status;
  const id = "space";
  if (spool.freeBytes === undefined)
    return {
      id,
      outcome: "failed",
      finding: `there is no CORE_DIR ${spool.coreDir}`,
      advice: "cdh-sysctl install makes it",
    };
  const finding = `${formatBytes(spool.freeBytes)} free in ${spool.coreDir}, ${spool.bundleCount} bundles wait (${formatBytes(spool.bundleBytes)})`;
  if (spool.freeBytes >= LOW_SPACE_BYTES) return { id, outcome: "ok", finding };
  return {
    id,
    outcome: "warning",
    finding,
    advice: "let cdh-upload empty the spool, or set MAX_USE and KEEP_FREE for this node",
  };
}

function checkOwners(status: NodeStatus): Check {
  const id = "owners";
  if (status.owners.length === 0) return { id, outcome: "ok", finding: "nobody else on this node sets these values" };
  return {
    id,
    outcome: "warning",
    finding: status.owners.map(({ name, effect, path }) => `${name} ${effect} (${path})`).join("; "),
    advice: "cdh-sysctl watch takes the line back after a boot; to be sure, mask the unit or remove its sysctl.d file",
  };
}
