import { CdhError, reasonOf } from "@cdh/core/errors";
import { mapConcurrently } from "../concurrently.ts";
import type { KubeClient } from "./client.ts";
import { labelOf, parseMetrics, sumOf, valueOf, type Sample } from "./prometheus.ts";

/** How things stand on one node. Absent means unknown. */
export interface NodeStatus {
  node: string;
  namespace?: string;
  pod?: string;
  /** What Kubernetes says of the pod: `Running`, `Pending`, or `missing` when the node has none. */
  phase: string;
  ready: boolean;
  /** The kernel hands crashes to a composer that works. */
  captures?: boolean;
  /** Version of the installed composer. */
  composerVersion?: string;
  /** Times that something on the node was not as installed, since the pod started. */
  drifts?: number;
  lastCheckAt?: number;
  spoolBundles?: number;
  spoolBytes?: number;
  oldestAgeSeconds?: number;
  quarantineBundles?: number;
  /** Epoch milliseconds; absent when nothing was uploaded since the pod started. */
  lastUploadAt?: number;
  storeAvailable?: boolean;
  /** What could not be learnt or is not well. */
  notes: string[];
}

/** How things stand in a cluster. */
export interface ClusterStatus {
  nodes: NodeStatus[];
  /** What the rights of the person did not allow to learn. */
  missingRights: string[];
}

/** Pods asked at the same time. */
const ASKED_AT_ONCE = 16;

interface Pod {
  metadata: { name: string; namespace: string; deletionTimestamp?: string; ownerReferences?: { kind: string }[] };
  spec: {
    nodeName?: string;
    affinity?: {
      nodeAffinity?: {
        requiredDuringSchedulingIgnoredDuringExecution?: {
          nodeSelectorTerms?: { matchFields?: { key: string; values?: string[] }[] }[];
        };
      };
    };
    containers: { name: string; ports?: { name?: string; containerPort: number }[] }[];
  };
  status: {
    phase?: string;
    conditions?: { type: string; status: string }[];
    containerStatuses?: { restartCount?: number }[];
  };
}

/**
 * Look at every node's pod of the DaemonSet with the person's own rights: its state, and the metrics of its two programs
 * through the API server. What is not allowed is said, and the rest is told.
 * @param selector labels of the DaemonSet's pods
 * @param namespace where to look; everywhere when left out
 * @throws {CdhError} CDH_STORE_DENIED when not even pods may be listed, CDH_NOT_FOUND when there are none
 */
export async function readClusterStatus(
  client: KubeClient,
  { selector, namespace, signal }: { selector: string; namespace: string | undefined; signal: AbortSignal },
): Promise<ClusterStatus> {
  const missingRights: string[] = [];
  const pods = await listPods(client, selector, namespace, missingRights, signal);
  const nodes = await listNodes(client, missingRights, signal);
  const nothing = `no pod with ${selector} in ${namespace ?? "any namespace"}`;
  if (pods.length === 0 && nodes.length === 0)
    throw new CdhError("CDH_NOT_FOUND", nothing, {
      hint: "-n NAMESPACE, or --selector when the chart was installed under another name",
    });
  const denied = new Set<string>();
  const statuses = await mapConcurrently([...byNode(pods).values()], ASKED_AT_ONCE, async ([pod, ...others]) => {
    const status = await readPod(client, pod, denied, signal);
    for (const other of others) status.notes.push(`another pod: ${other.metadata.name} is ${phaseOf(other)}`);
    return status;
  });
  for (const where of denied)
    missingRights.push(`get pods/proxy in ${where}: only what Kubernetes says of the pods is shown`);
  const covered = new Set(statuses.map(({ node }) => node));
  for (const node of nodes.filter((name) => !covered.has(name)))
    statuses.push({
      node,
      phase: "missing",
      ready: false,
      captures: false,
      notes: [pods.length === 0 ? nothing : "no pod on this node"],
    });
  return { nodes: statuses.toSorted((left, right) => (left.node < right.node ? -1 : 1)), missingRights };
}

/**
 * Put the pods of each node together, the one that counts first. A node can have several: one that ends, failed ones that
 * nobody removed.
 */
function byNode(pods: readonly Pod[]): Map<string, [Pod, ...Pod[]]> {
  const nodes = new Map<string, [Pod, ...Pod[]]>();
  const rank = (pod: Pod): number => (phaseOf(pod) !== "Running" ? 2 : isReady(pod) ? 0 : 1);
  for (const pod of pods.toSorted((left, right) => rank(left) - rank(right))) {
    const node = nodeOf(pod);
    const there = nodes.get(node);
    if (there === undefined) nodes.set(node, [pod]);
    else there.push(pod);
  }
  return nodes;
}

/** A DaemonSet's pod is meant for one node before it is there. */
function nodeOf({ spec }: Pod): string {
  const terms = spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? [];
  const meant = terms.flatMap(({ matchFields }) => matchFields ?? []).find(({ key }) => key === "metadata.name");
  return spec.nodeName ?? meant?.values?.[0] ?? "";
}

function phaseOf({ metadata, status }: Pod): string {
  return metadata.deletionTimestamp === undefined ? (status.phase ?? "Unknown") : "Terminating";
}

function isReady({ status }: Pod): boolean {
  return status.conditions?.some(({ type, status: is }) => type === "Ready" && is === "True") === true;
}

async function listPods(
  client: KubeClient,
  selector: string,
  namespace: string | undefined,
  missingRights: string[],
  signal: AbortSignal,
): Promise<Pod[]> {
  const query = `pods?labelSelector=${encodeURIComponent(selector)}`;
  const get = async (path: string): Promise<Pod[]> => {
    const { items } = (await client.json(path, { signal })) as { items: Pod[] };
    // The API server's pods of the same release are no DaemonSet's.
    return items.filter(({ metadata }) => metadata.ownerReferences?.some(({ kind }) => kind === "DaemonSet") === true);
  };
  if (namespace !== undefined) return get(`/api/v1/namespaces/${encodeURIComponent(namespace)}/${query}`);
  try {
    return await get(`/api/v1/${query}`);
  } catch (error) {
    if (!(error instanceof CdhError) || error.code !== "CDH_STORE_DENIED") throw error;
    const own = client.cluster.namespace;
    missingRights.push(`list pods in all namespaces: only ${own} is looked at; -n chooses another`);
    return get(`/api/v1/namespaces/${encodeURIComponent(own)}/${query}`);
  }
}

async function listNodes(client: KubeClient, missingRights: string[], signal: AbortSignal): Promise<string[]> {
  try {
    const { items } = (await client.json("/api/v1/nodes", { signal })) as { items: { metadata: { name: string } }[] };
    return items.map(({ metadata }) => metadata.name);
  } catch (error) {
    if (!(error instanceof CdhError) || error.code !== "CDH_STORE_DENIED") throw error;
    missingRights.push("list nodes: a node without a pod is not seen");
    return [];
  }
}

async function readPod(client: KubeClient, pod: Pod, denied: Set<string>, signal: AbortSignal): Promise<NodeStatus> {
  const { name, namespace } = pod.metadata;
  const phase = phaseOf(pod);
  const ready = isReady(pod);
  const status: NodeStatus = { node: nodeOf(pod), namespace, pod: name, phase, ready, notes: [] };
  if (phase !== "Running") status.notes.push(`the pod is ${phase}`);
  const ports = pod.spec.containers.flatMap((container) => container.ports ?? []);
  const readPort = async (port: "node" | "upload"): Promise<Sample[] | undefined> => {
    const number = ports.find((one) => one.name === port)?.containerPort;
    if (number === undefined || phase !== "Running") return undefined;
    const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(name)}:${number}/proxy/metrics`;
    try {
      return parseMetrics(await client.text(path, { headers: { accept: "text/plain" }, signal }));
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof CdhError && error.code === "CDH_STORE_DENIED") denied.add(namespace);
      else status.notes.push(`${port}: ${reasonOf(error)}`);
      return undefined;
    }
  };
  const [node, upload] = await Promise.all([readPort("node"), readPort("upload")]);
  return { ...status, ...nodeFacts(node), ...uploadFacts(upload) };
}

function nodeFacts(samples: readonly Sample[] | undefined): Partial<NodeStatus> {
  if (samples === undefined) return {};
  const healthy = valueOf(samples, "cdh_sysctl_healthy");
  const version = labelOf(samples, "cdh_sysctl_composer_info", "version");
  const lastCheck = valueOf(samples, "cdh_sysctl_last_check_timestamp_seconds");
  return {
    ...(healthy === undefined ? {} : { captures: healthy === 1 }),
    ...(version === undefined ? {} : { composerVersion: version }),
    drifts: sumOf(samples, "cdh_sysctl_drift_total"),
    ...(lastCheck === undefined ? {} : { lastCheckAt: lastCheck * 1000 }),
  };
}

function uploadFacts(samples: readonly Sample[] | undefined): Partial<NodeStatus> {
  if (samples === undefined) return {};
  const facts: Partial<NodeStatus> = {};
  const take = (key: "spoolBundles" | "spoolBytes" | "oldestAgeSeconds" | "quarantineBundles", name: string): void => {
    const value = valueOf(samples, name);
    if (value !== undefined) facts[key] = value;
  };
  take("spoolBundles", "cdh_spool_bundles");
  take("spoolBytes", "cdh_spool_bytes");
  take("oldestAgeSeconds", "cdh_spool_oldest_age_seconds");
  take("quarantineBundles", "cdh_quarantine_bundles");
  const last = valueOf(samples, "cdh_upload_last_success_timestamp_seconds");
  if (last !== undefined && last > 0) facts.lastUploadAt = last * 1000;
  const available = valueOf(samples, "cdh_store_available");
  if (available !== undefined) facts.storeAvailable = available === 1;
  return facts;
}
