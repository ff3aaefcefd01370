import type { KubeClient } from "../kube/client.ts";
import { getCoreDump, listCoreDumps, pathOf, type CoreDump } from "../kube/coredumps.ts";
import { clusterSource } from "../kube/source.ts";
import { CdhError } from "@cdh/core/errors";
import { ambiguous, type Finding, type Found } from "./found.ts";

/** What `kube://namespace/name` says. */
export interface ClusterPlace {
  /** The context's when left out; `*` for all. */
  namespace?: string;
  /** A crash's name, a pod, a workload, a part of one, or `~2` for the last but one; empty for all. */
  name: string;
}

/** Find crashes in a cluster, with the rights of whoever the kubeconfig says. @throws {CdhError} */
export async function findInCluster(client: KubeClient, place: ClusterPlace, signal?: AbortSignal): Promise<Finding> {
  const { how, dumps } = await findCoreDumps(client, place, signal);
  return { how, found: dumps.map((dump) => found(client, dump)) };
}

/** Find crashes as cdh-api tells them, newest first. @throws {CdhError} CDH_NOT_FOUND when nothing of this name is there */
export async function findCoreDumps(
  client: KubeClient,
  { namespace = client.cluster.namespace, name }: ClusterPlace,
  signal?: AbortSignal,
): Promise<{ how: Finding["how"]; dumps: CoreDump[] }> {
  const scope = namespace === "*" ? undefined : namespace;
  const nth = /^~(\d{1,6})$/.exec(name)?.[1];
  if (name !== "" && nth === undefined && scope !== undefined) {
    const exact = await getCoreDump(client, scope, name, signal);
    if (exact !== undefined) return { how: "name", dumps: [exact] };
  }
  const all = (await listCoreDumps(client, scope, signal)).toSorted(newestFirst);
  if (name === "") return { how: "place", dumps: all };
  if (nth !== undefined) {
    const one = all[Number(nth) - 1];
    if (one === undefined)
      throw new CdhError("CDH_NOT_FOUND", `no crash -${nth}: there are ${all.length} in ${scope ?? "all namespaces"}`);
    return { how: "name", dumps: [one] };
  }
  // A pod or a workload means its newest crash; a part of a name must be of one crash only.
  for (const nameOf of [podOf, workloadOf]) {
    const whole = all.filter((dump) => nameOf(dump) === name);
    if (whole.length > 0) return { how: "place", dumps: whole };
  }
  const part = all.filter(
    (dump) => dump.name === name || `${podOf(dump) ?? ""}\n${dump.name}\n${dump.bundle}`.includes(name),
  );
  if (part.length > 0) return { how: "part", dumps: part };
  throw new CdhError("CDH_NOT_FOUND", `no crash ${name} in ${scope ?? "any namespace"}`, {
    hint: "ls shows what is there; -n chooses the namespace",
  });
}

/** Find the one crash that a person means. @throws {CdhError} CDH_NOT_FOUND when there is none, or a part of a name fits several */
export async function findCoreDump(client: KubeClient, place: ClusterPlace, signal?: AbortSignal): Promise<CoreDump> {
  const { how, dumps } = await findCoreDumps(client, place, signal);
  const [newest] = dumps;
  if (newest === undefined)
    throw new CdhError("CDH_NOT_FOUND", `no crash in ${place.namespace ?? client.cluster.namespace}`);
  if (how === "part" && dumps.length > 1)
    throw ambiguous(
      place.name,
      dumps.map(({ name }) => ({ label: name })),
    );
  return newest;
}

function newestFirst(left: CoreDump, right: CoreDump): number {
  return (Date.parse(right.manifest.crashedAt) || 0) - (Date.parse(left.manifest.crashedAt) || 0);
}

function podOf({ manifest }: CoreDump): string | undefined {
  return manifest.pod?.name;
}

function workloadOf({ manifest }: CoreDump): string | undefined {
  return manifest.pod?.owner?.name;
}

function found(client: KubeClient, dump: CoreDump): Found {
  const { namespace, name, bundleBytes: sizeBytes } = dump;
  const label = `kube://${namespace}/${name}`;
  return {
    label,
    sizeBytes,
    modifiedAt: dump.storedAt,
    open: async () => clusterSource(client, { path: pathOf(namespace, name, "bundle"), label, sizeBytes }),
    readManifest: async () => dump.manifest,
  };
}
