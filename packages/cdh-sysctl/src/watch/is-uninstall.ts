import type { Clock } from "@cdh/core/clock";
import { askKubernetes, readOwnNamespace, type KubernetesAccess, type KubernetesAnswer } from "@cdh/core/kubernetes";
import type { ReleaseFacts } from "./release-watch.ts";

/** Whether this program ends because it is uninstalled, and how we know. */
export interface UninstallVerdict {
  uninstall: boolean;
  reason: string;
}

/** The DaemonSet that this pod belongs to. */
export interface OwnDaemonSet {
  access: KubernetesAccess;
  namespace: string;
  name: string;
}

/** How long answers that settle nothing are asked for again. With what follows it has to fit into the pod's grace. */
const DOUBT_PATIENCE_MS = 12_000;
const RETRY_MS = 1_500;

/** How long the pod of a DaemonSet that took this one's place may take to show itself on the node. */
const SUCCESSOR_PATIENCE_MS = 8_000;
const SUCCESSOR_POLL_MS = 250;

/** What has to be known about the pod. */
export interface PodFacts {
  /** POD_NAMESPACE; the service account's namespace otherwise. */
  namespace?: string | undefined;
  /** POD_NAME, or the host name, which a pod has from its name. */
  podName?: string | undefined;
  /** DAEMONSET_NAME; the pod's owner otherwise. */
  daemonSetName?: string | undefined;
}

/**
 * Find out at start which DaemonSet this pod belongs to, and that the API may be asked about it.
 * @returns the DaemonSet, or why it is not known: an exit then never counts as an uninstall
 */
export async function findOwnDaemonSet(
  access: KubernetesAccess,
  pod: PodFacts,
): Promise<OwnDaemonSet | { unknown: string }> {
  const namespace = pod.namespace ?? readOwnNamespace(access);
  if (namespace === undefined) return { unknown: "the namespace is not known (POD_NAMESPACE)" };
  let name = pod.daemonSetName;
  if (name === undefined) {
    if (pod.podName === undefined) return { unknown: "neither DAEMONSET_NAME nor POD_NAME is set" };
    const answer = await askKubernetes(
      access,
      "GET",
      `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(pod.podName)}`,
    );
    if (answer.status !== 200) return { unknown: `cannot read pod ${namespace}/${pod.podName}: ${describe(answer)}` };
    name = ownerOf(answer.body);
    if (name === undefined) return { unknown: `pod ${namespace}/${pod.podName} belongs to no DaemonSet` };
  }
  const own = { access, namespace, name };
  const answer = await askKubernetes(access, "GET", pathOf(own));
  if (answer.status !== 200) return { unknown: `cannot read DaemonSet ${namespace}/${name}: ${describe(answer)}` };
  return own;
}

/** What is known beside the API server's answers. */
export interface UninstallSigns {
  /** Undefined when nothing is known of the release. */
  release?: ReleaseFacts | undefined;
  /** Whether another watch looks after this node by now. */
  hasSuccessor: () => boolean;
}

/**
 * Tell whether this exit is an uninstall: the DaemonSet or its namespace is gone or being deleted. Everything else is a
 * restart, an upgrade or a node going down. A credential that is missing says nothing of the thing: a service account is
 * also renamed. What settles nothing is asked again, and on doubt the handler stays: it works on its own, keeps the cores
 * on the disk, and a composer ends it when nobody comes back (WATCH_LEASE).
 */
export async function askUninstall(own: OwnDaemonSet, clock: Clock, signs: UninstallSigns): Promise<UninstallVerdict> {
  const shown = `DaemonSet ${own.namespace}/${own.name}`;
  const deadline = clock.monotonic() + DOUBT_PATIENCE_MS;
  for (;;) {
    if (signs.hasSuccessor()) return { uninstall: false, reason: "another cdh-sysctl looks after this node" };
    const answer = await askKubernetes(own.access, "GET", pathOf(own));
    if (answer.status === 200 && isOf(answer.body, "DaemonSet", own.name)) {
      const deletedAt = deletionOf(answer.body);
      if (deletedAt !== undefined) return unlessReplaced(`${shown} is being deleted since ${deletedAt}`, clock, signs);
      // Pods go before their DaemonSet when a namespace is deleted.
      const namespace = await askKubernetes(
        own.access,
        "GET",
        `/api/v1/namespaces/${encodeURIComponent(own.namespace)}`,
      );
      const endsAt = isOf(namespace.body, "Namespace", own.namespace) ? deletionOf(namespace.body) : undefined;
      if (endsAt === undefined) return { uninstall: false, reason: `${shown} exists` };
      return { uninstall: true, reason: `namespace ${own.namespace} is being deleted since ${endsAt}` };
    }
    // A proxy can say 404 as well; only the API server says which object it did not find.
    if (
      answer.status === 404 &&
      fieldOf(answer.body, "reason") === "NotFound" &&
      fieldOf(answer.body, "kind") === "Status"
    ) {
      return unlessReplaced(`${shown} does not exist any more`, clock, signs);
    }
    const isDenied = answer.status === 401 || answer.status === 403;
    if (isDenied && signs.release?.bindingDeleted === true)
      return unlessReplaced(`the release of ${shown} was deleted: its RoleBinding, and its right to ask`, clock, signs);
    if (clock.monotonic() >= deadline) return { uninstall: false, reason: `${shown}: ${describe(answer)}` };
    await clock.sleep(RETRY_MS);
  }
}

/** An upgrade that gives the DaemonSet another name makes the new one before it deletes the old: its pod may be coming. */
async function unlessReplaced(reason: string, clock: Clock, signs: UninstallSigns): Promise<UninstallVerdict> {
  const deadline = clock.monotonic() + SUCCESSOR_PATIENCE_MS;
  while (clock.monotonic() < deadline) {
    if (signs.hasSuccessor()) return { uninstall: false, reason: "another cdh-sysctl looks after this node" };
    await clock.sleep(SUCCESSOR_POLL_MS);
  }
  return { uninstall: true, reason };
}

function isOf(body: unknown, kind: string, name: string): boolean {
  return fieldOf(body, "kind") === kind && fieldOf(fieldOf(body, "metadata"), "name") === name;
}

function deletionOf(body: unknown): string | undefined {
  const at = fieldOf(fieldOf(body, "metadata"), "deletionTimestamp");
  return typeof at === "string" ? at : undefined;
}

function pathOf(own: OwnDaemonSet): string {
  return `/apis/apps/v1/namespaces/${encodeURIComponent(own.namespace)}/daemonsets/${encodeURIComponent(own.name)}`;
}

function ownerOf(pod: unknown): string | undefined {
  const owners = fieldOf(fieldOf(pod, "metadata"), "ownerReferences");
  if (!Array.isArray(owners)) return undefined;
  const name = fieldOf(
    owners.find((owner) => fieldOf(owner, "kind") === "DaemonSet"),
    "name",
  );
  return typeof name === "string" ? name : undefined;
}

function fieldOf(value: unknown, key: string): unknown {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>)[key] : undefined;
}

function describe(answer: KubernetesAnswer): string {
  const message = fieldOf(answer.body, "message");
  return answer.problem ?? `the API server said ${answer.status}${typeof message === "string" ? `: ${message}` : ""}`;
}
