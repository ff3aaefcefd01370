import { CdhError } from "@cdh/core/errors";
import type { CrashGroup } from "@cdh/core/groups/crash-groups";
import type { KubeClient } from "./client.ts";
import { GROUP_PATH } from "./coredumps.ts";

/** Objects of a list asked for at a time. */
const PAGE = 500;

/** A value that crashes of a group have, as cdh-api tells it. */
interface Seen {
  name?: string;
}

/** The object as cdh-api tells it; a newer one may hold more, an older one less. */
interface GroupObject {
  metadata?: { name?: string; namespace?: string };
  spec?: { key?: string; signature?: string; site?: string };
  status?: {
    summary?: string;
    count?: number;
    wholeCores?: number;
    countedOnly?: number;
    firstSeen?: string;
    lastSeen?: string;
    newest?: string;
    newestWhole?: string;
  } & Partial<Record<"signals" | "executables" | "workloads" | "images" | "nodes", Seen[]>>;
}

/**
 * List the groups of a namespace, or of all with `undefined`, those seen last first.
 * @returns undefined when the server is one that has no groups
 * @throws {CdhError}
 */
export async function listCrashGroups(
  client: KubeClient,
  namespace: string | undefined,
  signal?: AbortSignal,
): Promise<CrashGroup[] | undefined> {
  const scope = namespace === undefined ? "" : `/namespaces/${encodeURIComponent(namespace)}`;
  const groups: CrashGroup[] = [];
  let from = "";
  try {
    do {
      const query = new URLSearchParams({ limit: String(PAGE), ...(from === "" ? {} : { continue: from }) });
      const page = (await client.json(
        `${GROUP_PATH}${scope}/crashgroups?${query.toString()}`,
        signal === undefined ? {} : { signal },
      )) as { items?: GroupObject[]; metadata?: { continue?: string } };
      for (const item of page.items ?? []) groups.push(parseGroup(item));
      from = page.metadata?.continue ?? "";
    } while (from !== "");
  } catch (error) {
    if (error instanceof CdhError && error.code === "CDH_NOT_FOUND") return undefined;
    throw error;
  }
  return groups.toSorted((a, b) => compare(b.lastSeen ?? "", a.lastSeen ?? "") || compare(a.id, b.id));
}

/** Find a group by its id, in a namespace or in all with `undefined`. @throws {CdhError} CDH_NOT_FOUND */
export async function getCrashGroup(
  client: KubeClient,
  namespace: string | undefined,
  id: string,
  signal?: AbortSignal,
): Promise<CrashGroup> {
  const options = signal === undefined ? {} : { signal };
  if (namespace !== undefined) {
    const path = `${GROUP_PATH}/namespaces/${encodeURIComponent(namespace)}/crashgroups/${encodeURIComponent(id)}`;
    return parseGroup((await client.json(path, options)) as GroupObject);
  }
  const query = new URLSearchParams({ fieldSelector: `metadata.name=${id}` });
  const { items } = (await client.json(`${GROUP_PATH}/crashgroups?${query.toString()}`, options)) as {
    items?: GroupObject[];
  };
  const [group] = items ?? [];
  if (group === undefined)
    throw new CdhError("CDH_NOT_FOUND", `no group ${id}`, { hint: "cdh-inspect groups --kube -A shows them" });
  return parseGroup(group);
}

function parseGroup({ metadata, spec, status }: GroupObject): CrashGroup {
  const namespace = metadata?.namespace ?? "";
  const names = (seen: readonly Seen[] | undefined): string[] =>
    (seen ?? []).flatMap(({ name }) => (name === undefined ? [] : [name]));
  const urlOf = (name: string): string => `kube://${namespace}/${name}`;
  const { summary, firstSeen, lastSeen, newest, newestWhole } = status ?? {};
  return {
    id: metadata?.name ?? "",
    key: spec?.key === "signature" || spec?.key === "site" ? spec.key : "none",
    namespace,
    ...(spec?.signature === undefined ? {} : { signature: spec.signature }),
    ...(spec?.site === undefined ? {} : { site: spec.site }),
    ...(summary === undefined ? {} : { summary }),
    count: status?.count ?? 0,
    ...(firstSeen === undefined ? {} : { firstSeen }),
    ...(lastSeen === undefined ? {} : { lastSeen }),
    signals: names(status?.signals),
    executables: names(status?.executables),
    workloads: names(status?.workloads).map((name) => `${namespace}/${name}`),
    images: names(status?.images),
    nodes: names(status?.nodes),
    wholeCores: status?.wholeCores ?? 0,
    countedOnly: status?.countedOnly ?? 0,
    newest: newest === undefined ? "" : urlOf(newest),
    ...(newestWhole === undefined ? {} : { newestWhole: urlOf(newestWhole) }),
  };
}

function compare(left: string, right: string): number {
  if (left === right) return 0;
  return left < right ? -1 : 1;
}
