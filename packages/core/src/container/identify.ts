import { compact } from "../base/records.ts";
import type { Roots } from "../base/roots.ts";
import type { ContainerFacts, IdentitySource, PodFacts, Problem } from "../bundle/manifest.ts";
import { parseCgroup, type CgroupIdentity } from "../kernel/cgroup.ts";
import type { Crash } from "../kernel/crash.ts";
import { noteMiss } from "./collected.ts";
import { readContainer, readPod } from "./crictl-facts.ts";
import type { Crictl } from "./crictl.ts";
import { findKubeletRecord } from "./kubelet-files.ts";
import type { ProcessSnapshot } from "./process.ts";
import { findRuntimeRecord } from "./runtime-files.ts";

/** Whose crash it was. */
export interface Identity {
  source: IdentitySource;
  /** True only when the process was surely the crashed one and its cgroup led to the pod by id. */
  verified: boolean;
  /** `host`: the cgroup says that no container is involved. `unknown`: nothing could be learnt. */
  place: "container" | "host" | "unknown";
  container?: ContainerFacts;
  pod?: PodFacts;
  /** Set when the pod's pause container crashed. */
  sandbox?: true;
  /** The container's log file on the node, where the runtime names it. */
  logPath?: string;
  /** Folder of the pod's logs on the node. */
  logDirectory?: string;
  problems: Problem[];
}

/** Say what is known, and who may be asked. */
export interface IdentifyOptions {
  roots: Roots;
  crash: Crash;
  process: ProcessSnapshot;
  /** Absent: crictl is not asked (IGNORE_CRIO, or there is none). */
  crictl?: Crictl;
  signal?: AbortSignal;
}

const STEP = "identity";

/**
 * Find the container and the pod of a crash. Never rejects. The rungs, most trustworthy first:
 *
 * 1. the cgroup of the crashed process gives container id and pod uid; the kernel wrote it;
 * 2. the runtime's own record of that id gives all names (`oci-config`);
 * 3. the kubelet's log folder of that uid gives pod and namespace (`kubelet`);
 * 4. crictl, asked by that id (`crictl`);
 * 5. only when the cgroup could not be read: the host name, which any pod may set as it likes (`hostname`, unverified).
 *
 * A process that may not be the crashed one, records that contradict the kernel, and ids that stand where others may
 * make cgroups, give `none`: the core is kept and attributed to nobody.
 */
export async function identify(options: IdentifyOptions): Promise<Identity> {
  const identity: Identity = { source: "none", verified: false, place: "unknown", problems: [] };
  const { process } = options;
  if (process.state === "doubtful") {
    identity.problems.push({ step: STEP, code: "CDH_PROCESS_DOUBTFUL", detail: "attributed to nobody" });
    return identity;
  }
  if (process.state === "gone" || process.cgroup === undefined) {
    await byHostname(identity, options);
    return identity;
  }
  const cgroup = parseCgroup(process.cgroup);
  if (cgroup.ambiguous === true) {
    identity.problems.push({ step: STEP, code: "CDH_CGROUP_AMBIGUOUS", detail: cgroup.raw.slice(0, 500) });
    return identity;
  }
  if (cgroup.containerId === undefined && cgroup.podUid === undefined) {
    identity.place = "host";
    identity.verified = true;
    return identity;
  }
  identity.place = "container";
  startFrom(identity, cgroup);
  if (cgroup.foreign === true) {
    const detail = "the cgroup is below a user's or another container's, who may name it as they like";
    identity.problems.push({ step: STEP, code: "CDH_CGROUP_FOREIGN", detail });
    return identity;
  }
  if (cgroup.containerId !== undefined && (await byRuntimeRecord(identity, options, cgroup.containerId)))
    return identity;
  if (cgroup.podUid !== undefined && (await byKubelet(identity, options, cgroup.podUid))) return identity;
  if (cgroup.containerId !== undefined) await byCrictl(identity, options, cgroup.containerId);
  return identity;
}

function startFrom(identity: Identity, { containerId, podUid, runtimeHint }: CgroupIdentity): void {
  if (containerId !== undefined)
    identity.container = compact<ContainerFacts>({ id: containerId, runtime: runtimeHint });
  if (podUid !== undefined) identity.pod = { uid: podUid };
}

async function byRuntimeRecord(identity: Identity, options: IdentifyOptions, containerId: string): Promise<boolean> {
  const found = await findRuntimeRecord(options.roots, containerId, options.signal);
  if ("missing" in found) {
    noteMiss(identity.problems, "oci-config", found);
    return false;
  }
  const record = found.value;
  if (contradicts(identity, record.podUid, "oci-config")) return false;
  identity.container = compact<ContainerFacts>({
    id: containerId,
    name: record.containerName,
    runtime: record.runtime,
    imageRef: record.imageRef,
    imageId: record.imageId,
    restartCount: record.restartCount,
  });
  if (record.sandbox) identity.sandbox = true;
  if (record.logPath !== undefined) identity.logPath = record.logPath;
  if (record.logDirectory !== undefined) identity.logDirectory = record.logDirectory;
  // A container of docker or nerdctl outside Kubernetes: its image is known, and it has no pod.
  if (record.podName === undefined || record.podNamespace === undefined) return false;
  identity.pod = compact<PodFacts>({
    name: record.podName,
    namespace: record.podNamespace,
    uid: record.podUid ?? identity.pod?.uid,
    sandboxId: record.sandboxId ?? (record.sandbox ? containerId : undefined),
  });
  conclude(identity, "oci-config");
  return true;
}

async function byKubelet(identity: Identity, options: IdentifyOptions, podUid: string): Promise<boolean> {
  const found = await findKubeletRecord(options.roots, podUid, identity.container?.id, options.signal);
  if ("missing" in found) {
    noteMiss(identity.problems, "kubelet", found);
    return false;
  }
  const { podName, podNamespace, containerName, logDirectory } = found.value;
  identity.pod = compact<PodFacts>({ ...identity.pod, name: podName, namespace: podNamespace, uid: podUid });
  if (identity.container !== undefined && containerName !== undefined) identity.container.name = containerName;
  identity.logDirectory = logDirectory;
  conclude(identity, "kubelet");
  return true;
}

async function byCrictl(identity: Identity, options: IdentifyOptions, containerId: string): Promise<boolean> {
  if (options.crictl === undefined) return false;
  const found = await options.crictl.inspectContainer(containerId, options.signal);
  if ("missing" in found) {
    noteMiss(identity.problems, "crictl", found);
    return false;
  }
  const { pod, id, sandboxId, logPath, ...facts } = readContainer(found.value);
  if (id !== containerId) {
    noteMiss(identity.problems, "crictl", {
      missing: "CDH_CRICTL_ANSWER",
      detail: "inspect answered about another container",
    });
    return false;
  }
  if (contradicts(identity, pod.uid, "crictl")) return false;
  identity.container = compact<ContainerFacts>({ ...identity.container, ...facts, id: containerId });
  identity.pod = compact<PodFacts>({ ...identity.pod, ...pod, sandboxId });
  if (logPath !== undefined) identity.logPath = logPath;
  if (pod.name === undefined || pod.namespace === undefined) return false;
  conclude(identity, "crictl");
  return true;
}

async function byHostname(identity: Identity, options: IdentifyOptions): Promise<void> {
  const { crictl, crash, signal } = options;
  if (crictl === undefined || crash.hostname === undefined) {
    const detail = crictl === undefined ? "crictl may not be asked" : "the kernel's line has no host name (-h)";
    noteMiss(identity.problems, STEP, { missing: "CDH_NO_IDENTITY", detail: `no cgroup, and ${detail}` });
    return;
  }
  const found = await crictl.podsByName(crash.hostname, signal);
  if ("missing" in found) {
    noteMiss(identity.problems, "crictl", found);
    return;
  }
  const pods = found.value
    .map(readPod)
    .filter((pod) => pod.name === crash.hostname && pod.state === "SANDBOX_READY")
    .sort((a, b) => (b.createdAtMs ?? 0) - (a.createdAtMs ?? 0));
  const newest = pods[0];
  if (newest === undefined) {
    noteMiss(identity.problems, STEP, {
      missing: "CDH_NO_IDENTITY",
      detail: `no ready pod is named ${crash.hostname}`,
    });
    return;
  }
  if (pods.length > 1) {
    const namespaces = pods.map((pod) => pod.namespace ?? "?").join(", ");
    noteMiss(identity.problems, STEP, {
      missing: "CDH_HOSTNAME_SHARED",
      detail: `${pods.length} pods are named so, in ${namespaces}`,
    });
  }
  const { state: _state, createdAtMs: _createdAtMs, ...pod } = newest;
  identity.pod = pod;
  identity.place = "container";
  identity.source = "hostname";
}

/** Two sources that name different pods: neither is believed. */
function contradicts(identity: Identity, podUid: string | undefined, step: string): boolean {
  const expected = identity.pod?.uid;
  if (podUid === undefined || expected === undefined || podUid === expected) return false;
  identity.problems.push({
    step,
    code: "CDH_IDENTITY_CONTRADICTED",
    detail: `pod ${podUid}, but the cgroup says ${expected}`,
  });
  return true;
}

function conclude(identity: Identity, source: IdentitySource): void {
  identity.source = source;
  identity.verified = true;
}
