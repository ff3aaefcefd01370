import { askKubernetes, readOwnNamespace, type KubernetesAccess, type KubernetesAnswer } from "@cdh/core/kubernetes";
import type { Clock } from "@cdh/core/clock";

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

/** `helm uninstall` deletes the service account right after the DaemonSet; the API server remembers a token for 10 s. */
const DENIED_PATIENCE_MS = 15_000;
const DENIED_RETRY_MS = 1_500;

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

/**
 * Ask whether the DaemonSet is being deleted: then this exit is an uninstall. Everything else is a restart, an upgrade
 * or a node going down, and on any doubt the handler stays: it works on its own and keeps the cores on the disk.
 */
export async function askUninstall(own: OwnDaemonSet, clock: Clock): Promise<UninstallVerdict> {
  const shown = `DaemonSet ${own.namespace}/${own.name}`;
  const deadline = clock.monotonic() + DENIED_PATIENCE_MS;
  for (;;) {
    const answer = await askKubernetes(own.access, "GET", pathOf(own));
    if (answer.status === 200) {
      const deletedAt = fieldOf(fieldOf(answer.body, "metadata"), "deletionTimestamp");
      if (typeof deletedAt === "string")
        return { uninstall: true, reason: `${shown} is being deleted since ${deletedAt}` };
      return { uninstall: false, reason: `${shown} exists` };
    }
    // A proxy can say 404 as well; only the API server says which object it did not find.
    if (
      answer.status === 404 &&
      fieldOf(answer.body, "reason") === "NotFound" &&
      fieldOf(answer.body, "kind") === "Status"
    ) {
      return { uninstall: true, reason: `${shown} does not exist any more` };
    }
    // The same account could read it when this program started: it has been deleted with everything else.
    if (answer.status === 401)
      return { uninstall: true, reason: `the service account of ${shown} does not exist any more` };
    if (answer.status !== 403 || clock.monotonic() >= deadline) {
      return { uninstall: false, reason: `${shown}: ${describe(answer)}` };
    }
    await clock.sleep(DENIED_RETRY_MS);
  }
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
