import { readdir, readlink } from "node:fs/promises";
import { join } from "node:path";
import { onHost, type Roots } from "../base/roots.ts";
import { missingBecause, within, type Collected } from "./collected.ts";
import { isNamespaceName, isObjectName } from "./runtime-record.ts";

/** Where the kubelet keeps the log folders of pods, and its links to the containers' logs. */
export const POD_LOGS = "/var/log/pods";
export const CONTAINER_LOGS = "/var/log/containers";

/** What the kubelet's log folders say about a pod. */
export interface KubeletRecord {
  podName: string;
  podNamespace: string;
  containerName?: string;
  /** Folder of the pod's logs, on the node. */
  logDirectory: string;
}

/**
 * Find a pod by its uid in the name of its log folder, `<namespace>_<name>_<uid>`, and the container's name in the
 * kubelet's link `<pod>_<namespace>_<container>-<id>.log`. Needs no runtime at all.
 * @param podUid checked by the caller
 */
export async function findKubeletRecord(
  roots: Roots,
  podUid: string,
  containerId: string | undefined,
  signal?: AbortSignal,
): Promise<Collected<KubeletRecord>> {
  let folders: string[];
  try {
    folders = await within(readdir(onHost(roots, POD_LOGS)), signal);
  } catch (error) {
    return missingBecause(error, POD_LOGS);
  }
  const found = folders.filter((folder) => folder.endsWith(`_${podUid}`)).map(splitFolder);
  const record = found.find((candidate) => candidate !== undefined);
  if (record === undefined) return { missing: "CDH_NOT_FOUND", detail: `no log folder of pod ${podUid}` };
  const containerName =
    containerId === undefined ? undefined : await findContainerName(roots, record, containerId, signal);
  return { value: { ...record, ...(containerName === undefined ? {} : { containerName }) } };
}

function splitFolder(folder: string): KubeletRecord | undefined {
  // Kubernetes' names hold no underscore.
  const [podNamespace, podName, uid, ...more] = folder.split("_");
  if (podNamespace === undefined || podName === undefined || uid === undefined || more.length > 0) return undefined;
  if (!isNamespaceName(podNamespace) || !isObjectName(podName)) return undefined;
  return { podName, podNamespace, logDirectory: join(POD_LOGS, folder) };
}

async function findContainerName(
  roots: Roots,
  record: KubeletRecord,
  containerId: string,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const prefix = `${record.podName}_${record.podNamespace}_`;
  const suffix = `-${containerId}.log`;
  try {
    const links = await within(readdir(onHost(roots, CONTAINER_LOGS)), signal);
    const link = links.find((name) => name.startsWith(prefix) && name.endsWith(suffix));
    if (link === undefined) return undefined;
    const name = link.slice(prefix.length, -suffix.length);
    // The link must lead into the folder of this very pod: two pods may share their name over time.
    const target = await within(readlink(onHost(roots, join(CONTAINER_LOGS, link))), signal);
    return isObjectName(name) && target.startsWith(`${record.logDirectory}/${name}/`) ? name : undefined;
  } catch {
    return undefined;
  }
}
