/** A pod's owner, as far as the pod's own labels and name tell. */
export interface Owner {
  kind: string;
  name: string;
}

/**
 * Tell the workload that a pod belongs to from what Kubernetes' controllers put on pods: the runtime does not know
 * ownerReferences. Undefined for a bare pod, and for controllers of others.
 */
export function ownerOf(
  podName: string,
  labels: Readonly<Record<string, string>>,
  annotations: Readonly<Record<string, string>> = {},
): Owner | undefined {
  const source = annotations["kubernetes.io/config.source"];
  if (source === "file" || source === "http") {
    // A static pod is named after its node: `<name>-<node>`.
    return { kind: "Node", name: podName };
  }
  const templateHash = labels["pod-template-hash"];
  if (templateHash !== undefined) {
    const match = new RegExp(`^(.+)-${escape(templateHash)}-[a-z0-9]{1,10}$`).exec(podName);
    if (match?.[1] !== undefined) return { kind: "Deployment", name: match[1] };
  }
  if (labels["statefulset.kubernetes.io/pod-name"] !== undefined) {
    const match = /^(.+)-\d+$/.exec(podName);
    if (match?.[1] !== undefined) return { kind: "StatefulSet", name: match[1] };
  }
  const job = labels["batch.kubernetes.io/job-name"] ?? labels["job-name"];
  if (job !== undefined) {
    // A CronJob's jobs end with the minute that they were due.
    const cron = /^(.+)-\d{8,10}$/.exec(job);
    return cron?.[1] === undefined ? { kind: "Job", name: job } : { kind: "CronJob", name: cron[1] };
  }
  if (labels["controller-revision-hash"] !== undefined) {
    const match = /^(.+)-[a-z0-9]{5}$/.exec(podName);
    if (match?.[1] !== undefined) return { kind: "DaemonSet", name: match[1] };
  }
  return undefined;
}

function escape(text: string): string {
  return text.replaceAll(/[^a-z0-9]/gi, String.raw`\$&`);
}
