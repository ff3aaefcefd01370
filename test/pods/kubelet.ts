import { UnknownField } from "./fields.ts";

/** What a kubelet knows beside the pod: where it runs, and what the cluster holds. */
export interface Kubelet {
  nodeName: string;
  podName: string;
  podUid: string;
  /** The pod's namespace. */
  namespace: string;
  /** Folder of all pods' logs on the node. */
  logs: string;
  /** Folder for the volumes that the kubelet makes itself. */
  volumes: string;
  /** Level of the cgroup tree under which pods go. */
  cgroupParent: string;
  secrets: Record<string, Record<string, string>>;
  configMaps: Record<string, Record<string, string>>;
  /** Files of the service account; absent: the cluster gives none. */
  serviceAccount?: Record<string, string>;
  /** How pods reach the API server. */
  apiServer?: { host: string; port: number };
}

/** The labels by which the kubelet finds its own pods again. */
export function kubernetesLabels({ podName, namespace, podUid }: Kubelet): Record<string, string> {
  return {
    "io.kubernetes.pod.name": podName,
    "io.kubernetes.pod.namespace": namespace,
    "io.kubernetes.pod.uid": podUid,
  };
}

/** Read a field of the pod as the downward API gives it. @throws {UnknownField} for one that is not known here */
export function downward(
  fieldPath: string,
  pod: { kubelet: Kubelet; labels: Record<string, string>; annotations: Record<string, string> },
): string {
  const { kubelet } = pod;
  const simple: Record<string, string> = {
    "metadata.name": kubelet.podName,
    "metadata.namespace": kubelet.namespace,
    "metadata.uid": kubelet.podUid,
    "spec.nodeName": kubelet.nodeName,
  };
  const indexed = /^metadata\.(labels|annotations)\['([^']+)'\]$/.exec(fieldPath);
  const value =
    simple[fieldPath] ??
    (indexed === null ? undefined : (pod[indexed[1] as "labels" | "annotations"][indexed[2] ?? ""] ?? ""));
  if (value === undefined) throw new UnknownField(`fieldRef ${fieldPath} is not translated`);
  return value;
}
