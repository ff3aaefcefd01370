import { readdirSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { toRfc3339 } from "@cdh/core/clock";
import { findCrictl } from "@cdh/core/container/crictl";
import { parseEnvFile } from "@cdh/core/env-file";
import { reasonOf } from "@cdh/core/errors";
import { onHost } from "@cdh/core/roots";
import { lstatIfThere, readTextIfThere } from "../node/files.ts";
import { inHostDir, NAMES, type Node } from "../node/target-node.ts";
import type { Check } from "./check.ts";
import type { NodeStatus } from "./node-status.ts";

/** Programs that start containers, by the name the kernel has for them. */
const RUNTIMES = ["containerd", "crio", "dockerd", "k3s-server", "k3s-agent", "containerd-shim"];
const CONNECT_TIMEOUT_MS = 2_000;

/** Check whether SELinux is enforcing: it may keep the kernel from starting the composer. */
export function checkSelinux(node: Node): Check {
  const id = "selinux";
  const enforcing = readTextIfThere(join(node.roots.sys, "fs", "selinux", "enforce"))?.trim();
  if (enforcing === undefined) return { id, outcome: "ok", finding: "no SELinux here" };
  if (enforcing === "0") return { id, outcome: "ok", finding: "SELinux is permissive" };
  return {
    id,
    outcome: "warning",
    finding: "SELinux is enforcing; whether it lets the kernel start the composer, the crash below shows",
    advice: "when it does not: ausearch -m avc -c cdc, and choose a PROFILE for this host",
  };
}

/** Check the core limit that containers inherit from the runtime. A pipe handler runs even with 0, but is told the limit. */
export function checkRuntimeLimits(node: Node): Check {
  const id = "runtime-limits";
  const found: string[] = [];
  const low: string[] = [];
  for (const pid of listPids(node.roots.proc)) {
    const name = readTextIfThere(join(node.roots.proc, pid, "comm"))?.trim() ?? "";
    if (!RUNTIMES.includes(name)) continue;
    const limit = /(?<![^\n])Max core file size\s+(\S+)\s+(\S+)/.exec(
      readTextIfThere(join(node.roots.proc, pid, "limits")) ?? "",
    );
    if (limit === null || found.some((line) => line.startsWith(`${name} `))) continue;
    found.push(`${name} ${limit[1]}`);
    if (limit[1] !== "unlimited") low.push(`${name} ${limit[1]}`);
  }
  if (found.length === 0)
    return {
      id,
      outcome: "skipped",
      finding: "no container runtime is seen from here",
      advice: "--proc-root with the node's /proc shows it",
    };
  if (low.length === 0)
    return { id, outcome: "ok", finding: `containers inherit unlimited cores (${found.join(", ")})` };
  const env = parseEnvFile(readTextIfThere(inHostDir(node, NAMES.env)) ?? "");
  if (env["RLIMIT_CORE"]?.trim().toLowerCase() === "ignore")
    return {
      id,
      outcome: "ok",
      finding: `containers inherit a limit for cores (${low.join(", ")}), which RLIMIT_CORE=ignore overrules`,
    };
  const none = low.some((line) => line.endsWith(" 0"));
  return {
    id,
    outcome: "warning",
    finding: `${none ? "no memory will be kept: containers inherit a core limit of 0" : "containers inherit a limit for cores"} (${low.join(", ")})`,
    advice: "composer.rlimitCore=ignore (COMP_RLIMIT_CORE), or LimitCORE=infinity in the runtime's unit",
  };
}

/** Check that the clock is not behind what has happened already: bundles would be named and sorted wrongly. */
export function checkClock(node: Node, status: NodeStatus): Check {
  const id = "clock";
  const now = node.clock.now();
  const installedAt = Date.parse(status.composer.installedAt ?? "");
  const known = Number.isNaN(installedAt) ? Number.NEGATIVE_INFINITY : installedAt;
  if (now < known) {
    return {
      id,
      outcome: "warning",
      finding: `the clock says ${toRfc3339(now)}, which is in the past`,
      advice: "synchronise the node's clock (NTP)",
    };
  }
  const synchronised = lstatIfThere(onHost(node.roots, "/run/systemd/timesync/synchronized")) !== undefined;
  return { id, outcome: "ok", finding: `${toRfc3339(now)}${synchronised ? ", synchronised" : ""}` };
}

/** Check that something answers at the container runtime's socket: that is where crictl asks about pods. */
export async function checkCrictl(node: Node, endpoint: string): Promise<Check> {
  const id = "crictl-endpoint";
  const env = parseEnvFile(readTextIfThere(inHostDir(node, NAMES.env)) ?? "");
  if (env["IGNORE_CRIO"]?.toLowerCase() === "true")
    return { id, outcome: "skipped", finding: "COMP_IGNORE_CRIO: crictl is not asked" };
  if (!endpoint.startsWith("unix://")) return { id, outcome: "skipped", finding: `${endpoint} is no local socket` };
  const path = onHost(node.roots, endpoint.slice("unix://".length));
  const problem = await tryConnect(path);
  if (problem === undefined) return { id, outcome: "ok", finding: `${endpoint} answers` };
  return {
    id,
    outcome: "warning",
    finding: `${endpoint}: ${problem}`,
    advice:
      "set CRIO_ENDPOINT or PROFILE; without it bundles have fewer facts about the pod, and the core all the same",
  };
}

/** Check that POD_SELECTOR_LABEL can be evaluated here: only crictl tells a pod's labels when it crashes. */
export async function checkSelector(node: Node): Promise<Check> {
  const id = "pod-selector";
  const env = parseEnvFile(readTextIfThere(inHostDir(node, NAMES.env)) ?? "");
  const selector = env["POD_SELECTOR_LABEL"] ?? "";
  if (selector === "") return { id, outcome: "skipped", finding: "no POD_SELECTOR_LABEL" };
  const isIgnored = env["IGNORE_CRIO"]?.toLowerCase() === "true";
  const found = await findCrictl({ roots: node.roots, exeDir: inHostDir(node) });
  if ("value" in found && !isIgnored) return { id, outcome: "ok", finding: `${selector}, by crictl` };
  return {
    id,
    outcome: "warning",
    finding: `${selector} is not applied on this node: ${isIgnored ? "COMP_IGNORE_CRIO" : "there is no crictl"}, so the labels of pods are not known; every pod's crash is kept, and marked`,
    advice: "put crictl on the node (node.crictl), or select by namespace (NAMESPACE_INCLUDE), which needs none",
  };
}

function tryConnect(path: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const end = (problem: string | undefined): void => {
      socket.destroy();
      resolve(problem);
    };
    socket.setTimeout(CONNECT_TIMEOUT_MS, () => end("no answer"));
    socket.once("connect", () => end(undefined));
    socket.once("error", (error) => end(reasonOf(error)));
  });
}

function listPids(proc: string): string[] {
  try {
    return readdirSync(proc).filter((name) => /^\d+$/.test(name));
  } catch {
    return [];
  }
}
