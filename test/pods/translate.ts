import { NAMESPACE_MODE, type SandboxConfig } from "./cri.ts";
import { fieldsOf, flagOf, listOf, numberOf, textOf, UnknownField } from "./fields.ts";
import { kubernetesLabels, type Kubelet } from "./kubelet.ts";
import { containerFields, translateContainer, type TranslatedContainer } from "./translate-container.ts";
import { translateVolumes, type HostPath, type VolumeFile } from "./translate-volumes.ts";

/** A pod as crictl starts it. */
export interface TranslatedPod {
  sandbox: SandboxConfig;
  containers: TranslatedContainer[];
  /** What must exist on the node before a container starts. */
  hostPaths: HostPath[];
  /** Files that the kubelet writes for the pod. */
  files: VolumeFile[];
  gracePeriodSeconds: number;
}

/** Fields of a pod that decide where and when it runs: nothing that a runtime is told. */
const SCHEDULING = [
  "affinity",
  "enableServiceLinks",
  "imagePullSecrets",
  "nodeSelector",
  "priorityClassName",
  "serviceAccountName",
  "tolerations",
];
const POD = [
  ...SCHEDULING,
  "automountServiceAccountToken",
  "containers",
  "hostIPC",
  "hostNetwork",
  "hostPID",
  "terminationGracePeriodSeconds",
  "volumes",
];

/**
 * Say to crictl what a kubelet would say to the runtime about a rendered DaemonSet's pod.
 * @throws {UnknownField} for anything whose meaning is not known here
 */
export function translatePod(daemonSet: unknown, kubelet: Kubelet): TranslatedPod {
  const object = fieldsOf(daemonSet, "DaemonSet", ["apiVersion", "kind", "metadata", "spec"]);
  if (object["kind"] !== "DaemonSet") throw new UnknownField(`kind is ${String(object["kind"])}, not DaemonSet`);
  const set = fieldsOf(object["spec"], "spec", ["selector", "template", "updateStrategy"]);
  const template = fieldsOf(set["template"], "spec.template", ["metadata", "spec"]);
  const metadata = fieldsOf(template["metadata"], "template.metadata", ["annotations", "labels"]);
  const spec = fieldsOf(template["spec"], "template.spec", POD);
  const token = flagOf(spec["automountServiceAccountToken"], "automountServiceAccountToken") ?? true;
  const volumes = translateVolumes(spec["volumes"], kubelet, token);
  const namespaces = {
    network: flagOf(spec["hostNetwork"], "hostNetwork") === true ? NAMESPACE_MODE.node : NAMESPACE_MODE.pod,
    pid: flagOf(spec["hostPID"], "hostPID") === true ? NAMESPACE_MODE.node : NAMESPACE_MODE.container,
    ipc: flagOf(spec["hostIPC"], "hostIPC") === true ? NAMESPACE_MODE.node : NAMESPACE_MODE.pod,
  };
  const labels = textsOf(metadata["labels"], "template.metadata.labels");
  const annotations = textsOf(metadata["annotations"], "template.metadata.annotations");
  const containers = listOf(spec["containers"], "containers").map((value, index) =>
    translateContainer(containerFields(value, `containers[${index}]`), {
      kubelet,
      volumes,
      namespaces,
      labels,
      annotations,
    }),
  );
  const privileged = containers.some(({ config }) => config.linux.security_context.privileged === true);
  return {
    sandbox: {
      metadata: { name: kubelet.podName, namespace: kubelet.namespace, uid: kubelet.podUid, attempt: 0 },
      hostname: kubelet.podName,
      log_directory: `${kubelet.logs}/${kubelet.namespace}_${kubelet.podName}_${kubelet.podUid}`,
      labels: { ...labels, ...kubernetesLabels(kubelet) },
      annotations: { ...annotations, "kubernetes.io/config.source": "api" },
      linux: {
        cgroup_parent: `${kubelet.cgroupParent}/kubepods/burstable/pod${kubelet.podUid}`,
        security_context: { ...(privileged ? { privileged } : {}), namespace_options: namespaces },
      },
    },
    containers,
    hostPaths: [...volumes.values()].flatMap(({ hostPath }) => hostPath ?? []),
    files: [...volumes.values()].flatMap(({ files }) => files),
    gracePeriodSeconds: numberOf(spec["terminationGracePeriodSeconds"], "terminationGracePeriodSeconds") ?? 30,
  };
}

function textsOf(value: unknown, path: string): Record<string, string> {
  if (value === undefined || value === null) return {};
  return Object.fromEntries(Object.entries(value).map(([name, text]) => [name, textOf(text, `${path}.${name}`)]));
}
