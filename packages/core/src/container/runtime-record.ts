import { dirname } from "node:path";
import { type JsonObject, compact } from "../base/records.ts";
import { isContainerId, isPodUid } from "../kernel/cgroup.ts";
import { digCount, digText, digTexts, tryParseObject } from "./json.ts";

/** What a runtime's own record says about a container. Texts are checked for what they must be; bad ones are absent. */
export interface RuntimeRecord {
  runtime: "containerd" | "cri-o" | "docker";
  /** True for the pause container of a pod. */
  sandbox: boolean;
  containerName?: string;
  podName?: string;
  podNamespace?: string;
  podUid?: string;
  sandboxId?: string;
  imageRef?: string;
  imageId?: string;
  restartCount?: number;
  /** The container's log file, on the node. */
  logPath?: string;
  /** Folder of the pod's log files, on the node. */
  logDirectory?: string;
}

/**
 * Read the annotations that containerd's CRI plugin and CRI-O write into a container's OCI `config.json`.
 * @returns undefined when the file was made by neither: a container of ctr, nerdctl or podman
 * @see https://github.com/opencontainers/runtime-spec/blob/main/config.md
 */
export function tryParseOciConfig(config: JsonObject): RuntimeRecord | undefined {
  const annotations = digTexts(config, "annotations");
  if (annotations["io.kubernetes.cri.container-type"] !== undefined) return fromContainerd(annotations);
  if (annotations["io.kubernetes.cri-o.ContainerType"] !== undefined) return fromCrio(annotations);
  return undefined;
}

function fromContainerd(annotations: Record<string, string>): RuntimeRecord {
  const text = (key: string): string | undefined => annotations[`io.kubernetes.cri.${key}`];
  return checked({
    runtime: "containerd",
    sandbox: text("container-type") === "sandbox",
    containerName: text("container-name"),
    podName: text("sandbox-name"),
    podNamespace: text("sandbox-namespace"),
    podUid: text("sandbox-uid"),
    sandboxId: text("sandbox-id"),
    imageRef: text("image-name"),
    logDirectory: text("sandbox-log-directory"),
  });
}

function fromCrio(annotations: Record<string, string>): RuntimeRecord {
  const text = (key: string): string | undefined => annotations[`io.kubernetes.cri-o.${key}`];
  const labels = digTexts({ labels: tryParseObject(text("Labels") ?? "") }, "labels");
  const label = (key: string): string | undefined =>
    annotations[`io.kubernetes.${key}`] ?? labels[`io.kubernetes.${key}`];
  const sandbox = text("ContainerType") === "sandbox";
  const log = text("LogPath");
  return checked({
    runtime: "cri-o",
    sandbox,
    containerName: sandbox ? undefined : label("container.name"),
    podName: label("pod.name"),
    podNamespace: label("pod.namespace") ?? text("Namespace"),
    podUid: label("pod.uid"),
    sandboxId: text("SandboxID"),
    // What the user wrote; where it was an id, the name that CRI-O found for it says more.
    imageRef: [text("Image"), text("ImageName")].find(isImageName),
    imageId: text("ImageRef"),
    restartCount: digCount(annotations, "io.kubernetes.container.restartCount"),
    logPath: sandbox ? undefined : log,
    // A sandbox's own log lies in the pod's folder.
    logDirectory: sandbox && log !== undefined ? dirname(log) : podFolderOf(log),
  });
}

/**
 * Read docker's `config.v2.json`, for nodes with cri-dockerd. A container without Kubernetes' labels still has an image.
 * @returns undefined when the text is no such record
 */
export function tryParseDockerConfig(config: JsonObject): RuntimeRecord | undefined {
  if (digText(config, "ID") === undefined) return undefined;
  const labels = digTexts(config, "Config", "Labels");
  const label = (key: string): string | undefined => labels[`io.kubernetes.${key}`];
  const sandbox = label("docker.type") === "podsandbox";
  // The kubelet's name for the file, of which docker's own is the target.
  const log = label("container.logpath");
  return checked({
    runtime: "docker",
    sandbox,
    containerName: sandbox ? undefined : (label("container.name") ?? digText(config, "Name")?.replace(/^\//, "")),
    podName: label("pod.name"),
    podNamespace: label("pod.namespace"),
    podUid: label("pod.uid"),
    sandboxId: sandbox ? digText(config, "ID") : label("sandbox.id"),
    // The kubelet asks for an id; then only crictl knows a name.
    imageRef: [digText(config, "Config", "Image")].find(isImageName),
    imageId: digText(config, "Image"),
    restartCount: digCount(labels, "annotation.io.kubernetes.container.restartCount"),
    logPath: log ?? digText(config, "LogPath"),
    logDirectory: podFolderOf(log),
  });
}

/** The kubelet's folder of a pod's logs, where a container's is `<folder>/<container>/<n>.log`: that of its siblings too. */
function podFolderOf(log: string | undefined): string | undefined {
  return log !== undefined && /\/[^/]+\/\d+\.log$/.test(log) ? dirname(dirname(log)) : undefined;
}

/** Tell a name from an id, which a kubelet asks for once it has found the image. */
function isImageName(image: string | undefined): boolean {
  return image !== undefined && !/^(?:sha256:)?[0-9a-f]{64}$/.test(image);
}

/** DNS-1123 labels and subdomains, as Kubernetes names namespaces and pods. */
const NAMESPACE = /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/;
const NAME = /^[a-z0-9](?:[-.a-z0-9]{0,251}[a-z0-9])?$/;

/** Tell whether a text can be a namespace's name. It becomes a part of paths and keys. */
export function isNamespaceName(text: string): boolean {
  return NAMESPACE.test(text);
}

/** Tell whether a text can be a pod's or a container's name. */
export function isObjectName(text: string): boolean {
  return NAME.test(text);
}

/** Keep only what is what it must be: everything here becomes part of a path, a key or a command. */
function checked(record: { [K in keyof RuntimeRecord]: RuntimeRecord[K] | undefined }): RuntimeRecord {
  const keep = (value: string | undefined, valid: (text: string) => boolean): string | undefined =>
    value !== undefined && valid(value) ? value : undefined;
  const path = (text: string): boolean => text.startsWith("/") && text.length < 4096 && !text.split("/").includes("..");
  // eslint-disable-next-line no-control-regex -- control characters are exactly what must not be there
  const plain = (text: string): boolean => text.length < 1024 && !/[\u0000-\u0020\u007f]/.test(text);
  const dockerName = (text: string): boolean => /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}$/.test(text);
  return compact<RuntimeRecord>({
    ...record,
    // docker's own names may hold capitals and underscores.
    containerName: keep(record.containerName, record.runtime === "docker" ? dockerName : isObjectName),
    podName: keep(record.podName, isObjectName),
    podNamespace: keep(record.podNamespace, isNamespaceName),
    podUid: keep(record.podUid, isPodUid),
    sandboxId: keep(record.sandboxId, isContainerId),
    imageRef: keep(record.imageRef, plain),
    imageId: keep(record.imageId, plain),
    logPath: keep(record.logPath, path),
    logDirectory: keep(record.logDirectory, path),
  });
}
