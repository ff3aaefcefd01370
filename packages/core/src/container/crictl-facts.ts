import { type JsonObject, compact } from "../base/records.ts";
import type { ContainerFacts, PodFacts } from "../bundle/manifest.ts";
import { isContainerId, isPodUid } from "../kernel/cgroup.ts";
import { dig, digCount, digText, digTexts } from "./json.ts";
import { ownerOf } from "./owner.ts";
import { isNamespaceName, isObjectName } from "./runtime-record.ts";

/** Read the pod out of an entry of `crictl pods`, or out of `inspectp`. Absent where the answer doesn't say it. */
export function readPod(answer: JsonObject): PodFacts & { state?: string; createdAtMs?: number } {
  const pod = dig(answer, "status") === undefined ? answer : dig(answer, "status");
  const labels = digTexts(pod, "labels");
  const name = valid(digText(pod, "metadata", "name") ?? labels["io.kubernetes.pod.name"], isObjectName);
  // What the kubelet adds to find its pods again, and CRI-O to mark the pause container, is no label of the pod.
  const own = Object.fromEntries(
    Object.entries(labels).filter(([key]) => !/^io\.kubernetes\.(?:pod|container)\./.test(key)),
  );
  return compact<PodFacts & { state?: string; createdAtMs?: number }>({
    name,
    namespace: valid(digText(pod, "metadata", "namespace") ?? labels["io.kubernetes.pod.namespace"], isNamespaceName),
    uid: valid(digText(pod, "metadata", "uid") ?? labels["io.kubernetes.pod.uid"], isPodUid),
    sandboxId: valid(digText(pod, "id"), isContainerId),
    labels: Object.keys(own).length === 0 ? undefined : own,
    owner: name === undefined ? undefined : ownerOf(name, labels, digTexts(pod, "annotations")),
    state: digText(pod, "state"),
    createdAtMs: parseTime(dig(pod, "createdAt")),
  });
}

/** Read the container out of an entry of `crictl ps`, or out of `inspect`. */
export function readContainer(
  answer: JsonObject,
): Partial<ContainerFacts> & { sandboxId?: string; logPath?: string; pod: PodFacts } {
  const container = dig(answer, "status") === undefined ? answer : dig(answer, "status");
  const labels = digTexts(container, "labels");
  const restarts = digCount(digTexts(container, "annotations"), "io.kubernetes.container.restartCount");
  // `image.image` of a status may be an id; what the user wrote is then elsewhere.
  const image = digText(container, "image", "userSpecifiedImage") ?? digText(container, "image", "image");
  const imageId = digText(container, "imageRef") ?? digText(container, "imageId");
  // cri-dockerd puts its own mark before the id.
  const docker = /^docker(?:-pullable)?:\/\//.exec(imageId ?? "")?.[0];
  return compact<Partial<ContainerFacts> & { sandboxId?: string; logPath?: string; pod: PodFacts }>({
    id: valid(digText(container, "id"), isContainerId),
    name: valid(digText(container, "metadata", "name") ?? labels["io.kubernetes.container.name"], isObjectName),
    imageRef: image,
    imageId: imageId?.slice(docker?.length ?? 0),
    runtime: docker === undefined ? undefined : "docker",
    restartCount: restarts ?? digCount(container, "metadata", "attempt"),
    sandboxId: valid(
      digText(container, "podSandboxId") ??
        digText(answer, "info", "sandboxID") ??
        digText(answer, "info", "sandboxId"),
      isContainerId,
    ),
    logPath: digText(container, "logPath"),
    pod: compact<PodFacts>({
      name: valid(labels["io.kubernetes.pod.name"], isObjectName),
      namespace: valid(labels["io.kubernetes.pod.namespace"], isNamespaceName),
      uid: valid(labels["io.kubernetes.pod.uid"], isPodUid),
    }),
  });
}

/**
 * Read crictl's times: nanoseconds since the epoch as text in lists, RFC 3339 in statuses.
 * @returns milliseconds since the epoch, or undefined
 */
export function parseTime(value: unknown): number | undefined {
  if (typeof value === "number" || (typeof value === "string" && /^\d{1,20}$/.test(value))) {
    const ms = Number(value) / 1e6;
    return ms > 0 ? ms : undefined;
  }
  const ms = typeof value === "string" ? Date.parse(value) : Number.NaN;
  return Number.isNaN(ms) || ms <= 0 ? undefined : ms;
}

function valid(text: string | undefined, check: (text: string) => boolean): string | undefined {
  return text !== undefined && check(text) ? text : undefined;
}
