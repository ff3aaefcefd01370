import { CdhError } from "@cdh/core/errors";
import type { CrashGroup } from "@cdh/core/groups/crash-groups";
import { GROUP_ID } from "@cdh/core/groups/group-key";
import { chooseMeant, type CrashNames, type Meaning } from "@cdh/core/report/meant";
import type { KubeClient } from "../kube/client.ts";
import { getCoreDump, listCoreDumps, pathOf, type CoreDump } from "../kube/coredumps.ts";
import { getCrashGroup } from "../kube/crashgroups.ts";
import { clusterSource } from "../kube/source.ts";
import { ambiguous, type Finding, type Found } from "./found.ts";

/** What `kube://namespace/name` says. */
export interface ClusterPlace {
  /** The context's when left out; `*` for all. */
  namespace?: string;
  /** A crash's name, a pod, a workload, a part of one, or `~2` for the last but one; empty for all. */
  name: string;
  /** Only crashes of this group, where nothing is named. */
  group?: string | undefined;
}

/** Whether all crashes that a text means are wanted, or the one that a person means. */
export type Wanted = "all" | "one";

/** Enough to say that a text fits several. */
const SEVERAL = 6;

/** Find crashes in a cluster, with the rights of whoever the kubeconfig says. @throws {CdhError} */
export async function findInCluster(
  client: KubeClient,
  place: ClusterPlace,
  wanted: Wanted,
  signal?: AbortSignal,
): Promise<Finding> {
  const { how, dumps } = await findCoreDumps(client, place, wanted, signal);
  return { how, found: dumps.map((dump) => found(client, dump)) };
}

/**
 * Find crashes as cdh-api tells them, newest first. The server finds out what a text means: no list of everything is
 * loaded for one crash.
 * @throws {CdhError} CDH_NOT_FOUND when nothing of this name is there
 */
export async function findCoreDumps(
  client: KubeClient,
  { namespace = client.cluster.namespace, name, group }: ClusterPlace,
  wanted: Wanted,
  signal?: AbortSignal,
): Promise<{ how: Finding["how"]; dumps: CoreDump[] }> {
  const scope = namespace === "*" ? undefined : namespace;
  const nth = /^~(\d{1,6})$/.exec(name)?.[1];
  if (nth !== undefined) {
    const newest = await listCoreDumps(client, scope, signal, { newest: Math.max(1, Number(nth)) });
    const one = newest[Number(nth) - 1];
    if (one === undefined)
      throw new CdhError(
        "CDH_NOT_FOUND",
        `no crash -${nth}: there are ${newest.length} in ${scope ?? "all namespaces"}`,
      );
    return { how: "name", dumps: [one] };
  }
  if (name === "") {
    const wish = { group, ...(wanted === "one" ? { newest: 1 } : {}) };
    return { how: "place", dumps: (await listCoreDumps(client, scope, signal, wish)).toSorted(newestFirst) };
  }
  if (GROUP_ID.test(name)) {
    const named = await getCrashGroup(client, scope, name, signal);
    return { how: "name", dumps: [await bestOf(client, named, signal)] };
  }
  const { meaning, crashes } = await findMeant(client, scope, name, wanted, signal);
  if (meaning === undefined)
    throw new CdhError("CDH_NOT_FOUND", `no crash ${name} in ${scope ?? "any namespace"}`, {
      hint: "ls shows what is there; -n chooses the namespace",
    });
  // A pod or a workload means its newest crash; a part of a name must be of one crash only.
  const how = meaning === "name" || meaning === "part" ? meaning : "place";
  return { how, dumps: crashes };
}

/** Find a group, and its newest whole crash, else its newest; undefined where none is there any more. @throws {CdhError} CDH_NOT_FOUND */
export async function findGroupInCluster(
  client: KubeClient,
  { namespace = client.cluster.namespace }: Pick<ClusterPlace, "namespace">,
  id: string,
  signal?: AbortSignal,
): Promise<{ group: CrashGroup; one: Found | undefined }> {
  const scope = namespace === "*" ? undefined : namespace;
  const group = await getCrashGroup(client, scope, id, signal);
  if ((group.newestWhole ?? group.newest) === "") return { group, one: undefined };
  return { group, one: found(client, await bestOf(client, group, signal)) };
}

/** The newest whole crash of a group, else its newest. */
async function bestOf(
  client: KubeClient,
  { id, namespace = "", newest, newestWhole }: CrashGroup,
  signal: AbortSignal | undefined,
): Promise<CoreDump> {
  const url = newestWhole ?? newest;
  if (url === "") throw new CdhError("CDH_NOT_FOUND", `no crash of ${id} is there any more`);
  const dump = await getCoreDump(client, namespace, url.slice(url.lastIndexOf("/") + 1), signal);
  if (dump === undefined) throw new CdhError("CDH_NOT_FOUND", `no crash of ${id} is there any more`);
  return dump;
}

async function findMeant(
  client: KubeClient,
  scope: string | undefined,
  text: string,
  wanted: Wanted,
  signal: AbortSignal | undefined,
): Promise<{ meaning: Meaning | undefined; crashes: CoreDump[] }> {
  try {
    const wish = { match: text, ...(wanted === "one" ? { newest: SEVERAL } : {}) };
    const listed = await listCoreDumps(client, scope, signal, wish);
    return chooseMeant(listed, text, namesOf);
  } catch (error) {
    // Who may read single crashes and list none knows their whole names.
    if (!(error instanceof CdhError) || error.code !== "CDH_STORE_DENIED" || scope === undefined) throw error;
    const exact = await getCoreDump(client, scope, text, signal).catch(() => undefined);
    if (exact === undefined) throw error;
    return { meaning: "name", crashes: [exact] };
  }
}

/** Find the one crash that a person means. @throws {CdhError} CDH_NOT_FOUND when there is none, or a part of a name fits several */
export async function findCoreDump(
  client: KubeClient,
  place: ClusterPlace,
  signal?: AbortSignal,
  onPart: (found: Found) => void = () => {},
): Promise<CoreDump> {
  const { how, dumps } = await findCoreDumps(client, place, "one", signal);
  const [newest] = dumps;
  if (newest === undefined)
    throw new CdhError("CDH_NOT_FOUND", `no crash in ${place.namespace ?? client.cluster.namespace}`);
  if (how === "part" && dumps.length > 1)
    throw ambiguous(
      place.name,
      dumps.map(({ name }) => ({ label: name })),
    );
  if (how === "part") onPart(found(client, newest));
  return newest;
}

function namesOf(dump: CoreDump): CrashNames {
  return { name: dump.name, bundle: dump.bundle, pod: podOf(dump), workload: workloadOf(dump) };
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
  const { namespace, name, bundleBytes: sizeBytes, manifest } = dump;
  const label = `kube://${namespace}/${name}`;
  return {
    label,
    about: `${manifest.pod?.name ?? "no pod"}, ${manifest.process.comm ?? "?"}, ${manifest.crashedAt}`,
    sizeBytes,
    modifiedAt: dump.storedAt,
    open: async () => clusterSource(client, { path: pathOf(namespace, name, "bundle"), label, sizeBytes }),
    readManifest: async () => dump.manifest,
    lines: dump.lines,
  };
}
