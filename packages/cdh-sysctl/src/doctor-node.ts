import { readdirSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { toRfc3339 } from "@cdh/core/clock";
import { parseEnvFile } from "@cdh/core/env-file";
import { reasonOf } from "@cdh/core/errors";
import { onHost } from "@cdh/core/roots";
import type { Check } from "./doctor.ts";
import { lstatIfThere, readTextIfThere } from "./files.ts";
import { inHostDir, NAMES, type Node } from "./node.ts";
import type { NodeStatus } from "./status.ts";

/** Programs that start containers, by the name the kernel has for them. */
const RUNTIMES = ["containerd", "crio", "dockerd", "kubelet", "k3s-server", "k3s-agent", "containerd-shim"];
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
    const limit = /^Max core file size\s+(\S+)\s+(\S+)/m.exec(
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
  return {
    id,
    outcome: "warning",
    finding: `containers inherit a limit for cores: ${low.join(", ")}`,
    advice: "LimitCORE=infinity in the runtime's unit, or COMP_RLIMIT_CORE=ignore",
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
