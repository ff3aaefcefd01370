import type { Manifest } from "@cdh/core/bundle/manifest";
import { CdhError } from "@cdh/core/errors";
import type { KubeClient } from "./client.ts";

/** Where cdh-api's objects are below an API server. */
export const GROUP_PATH = "/apis/core-dump-handler.dev/v1alpha1";
/** Objects of a list asked for at a time. */
const PAGE = 500;

/** One crash as cdh-api tells it. */
export interface CoreDump {
  namespace: string;
  name: string;
  /** Name of the bundle, `N.zip`. */
  bundle: string;
  bundleBytes: number;
  /** Epoch milliseconds. */
  storedAt: number;
  /** In a list, a summary: without threads, modules and the like. */
  manifest: Manifest;
  /** Why and where, as the server found it in the whole manifest; absent where it does not say, as an older one. */
  lines: { summary?: string; where?: string };
}

/** The path of a crash, or of one of its parts. */
export function pathOf(namespace: string, name: string, part?: "bundle" | "core" | "report"): string {
  const path = `${GROUP_PATH}/namespaces/${encodeURIComponent(namespace)}/coredumps/${encodeURIComponent(name)}`;
  return part === undefined ? path : `${path}/${part}`;
}

/** The path of a file of a program, by build-id. */
export function filePathOf(buildId: string, part: "executable" | "debuginfo" | "dwp"): string {
  return `${GROUP_PATH}/buildid/${buildId}/${part}`;
}

/** Get one crash; undefined when there is none of this name. @throws {CdhError} */
export async function getCoreDump(
  client: KubeClient,
  namespace: string,
  name: string,
  signal?: AbortSignal,
): Promise<CoreDump | undefined> {
  try {
    return parseCoreDump(await client.json(pathOf(namespace, name), signal === undefined ? {} : { signal }));
  } catch (error) {
    // With a server that is not there at all, the list says so.
    if (error instanceof CdhError && error.code === "CDH_NOT_FOUND") return undefined;
    throw error;
  }
}

/** Say which crashes of a list are wanted. */
export interface ListWish {
  /** What a person calls them; the server finds out what it means. */
  match?: string;
  /** Only those of a group. */
  group?: string | undefined;
  /** So many of the newest at most. */
  newest?: number;
}

/** List a namespace, or all with `undefined`, newest first in each; with a wish the newest first over all. @throws {CdhError} */
export async function listCoreDumps(
  client: KubeClient,
  namespace: string | undefined,
  signal?: AbortSignal,
  { match, group, newest = Number.POSITIVE_INFINITY }: ListWish = {},
): Promise<CoreDump[]> {
  const scope = namespace === undefined ? "" : `/namespaces/${encodeURIComponent(namespace)}`;
  const found: CoreDump[] = [];
  let from = "";
  do {
    const query = new URLSearchParams({
      limit: String(Math.min(PAGE, newest - found.length)),
      ...(match === undefined ? {} : { match }),
      ...(group === undefined ? {} : { labelSelector: `core-dump-handler.dev/group=${group}` }),
      ...(Number.isFinite(newest) ? { order: "newest" } : {}),
      ...(from === "" ? {} : { continue: from }),
    });
    const page = (await client.json(
      `${GROUP_PATH}${scope}/coredumps?${query.toString()}`,
      signal === undefined ? {} : { signal },
    )) as { items?: unknown[]; metadata?: { continue?: string } };
    for (const item of page.items ?? []) found.push(parseCoreDump(item));
    from = page.metadata?.continue ?? "";
  } while (from !== "" && found.length < newest);
  return found;
}

/** Read an object; what is missing is empty, as in a manifest of an older handler. */
export function parseCoreDump(value: unknown): CoreDump {
  const { metadata, spec, status } = (value ?? {}) as {
    metadata?: { name?: string; namespace?: string; creationTimestamp?: string };
    spec?: Partial<Manifest>;
    status?: {
      bundle?: { name?: string; sizeBytes?: number; storedAt?: string };
      core?: Partial<Manifest["core"]>;
      complete?: boolean;
      summary?: string;
      where?: string;
      problems?: Manifest["problems"];
    };
  };
  const crashedAt = spec?.crashedAt ?? metadata?.creationTimestamp ?? "";
  return {
    namespace: metadata?.namespace ?? "",
    name: metadata?.name ?? "",
    bundle: status?.bundle?.name ?? "",
    bundleBytes: status?.bundle?.sizeBytes ?? 0,
    storedAt: Date.parse(status?.bundle?.storedAt ?? crashedAt) || 0,
    lines: {
      ...(status?.summary === undefined ? {} : { summary: status.summary }),
      ...(status?.where === undefined ? {} : { where: status.where }),
    },
    manifest: {
      schemaVersion: 1,
      crashId: metadata?.name ?? "",
      bundle: status?.bundle?.name ?? "",
      composer: { version: "" },
      ...spec,
      crashedAt,
      node: spec?.node ?? {},
      process: spec?.process ?? {},
      signal: { number: 0, name: "", ...spec?.signal },
      core: {
        entry: "",
        compression: "zstd",
        sizeBytes: 0,
        storedBytes: 0,
        complete: status?.complete === true,
        ...spec?.core,
        ...status?.core,
      },
      problems: status?.problems ?? [],
    },
  };
}
