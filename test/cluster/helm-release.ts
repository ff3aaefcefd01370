import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { CHART, IMAGE } from "../chart/helm.ts";
import { run, type Ran, type RealCluster } from "../helpers/real-cluster.ts";
import { findTool } from "../helpers/tools.ts";

/** An object of the cluster, as far as the suites look at it. */
export interface Live {
  apiVersion: string;
  kind: string;
  metadata: {
    name: string;
    namespace?: string;
    resourceVersion: string;
    generation?: number;
    annotations?: Record<string, string>;
  };
  [key: string]: unknown;
}

/** helm with a real cluster. */
export interface Helm {
  /** Run a verb. @throws {Error} with what helm printed, when it fails */
  (...args: readonly string[]): Promise<string>;
  /** Run a verb that may fail. */
  attempt(...args: readonly string[]): Promise<Ran>;
  /** Install or upgrade the chart with values; @throws {Error} as above */
  chart(verb: "install" | "upgrade", release: string, values: unknown, ...args: readonly string[]): Promise<string>;
}

/** Run helm against a cluster, in the namespace `observe`. */
export function helmFor(cluster: RealCluster): Helm {
  const { path, reason } = findTool("helm");
  if (path === undefined) throw new Error(reason);
  const attempt = (...args: readonly string[]): Promise<Ran> =>
    run(path, [...args, "--namespace", "observe"], { env: { ...cluster.env } });
  const helm = async (...args: readonly string[]): Promise<string> => {
    const { status, stdout, stderr } = await attempt(...args);
    if (status !== 0) throw new Error(`helm ${args.join(" ")}: ${stderr}${stdout}`);
    return stdout;
  };
  const chart: Helm["chart"] = (verb, release, values, ...args) => {
    const file = join(cluster.directory, `values-${release}.json`);
    writeFileSync(file, JSON.stringify(values));
    return helm(verb, release, CHART, "-f", IMAGE, "-f", file, ...args);
  };
  return Object.assign(helm, { attempt, chart });
}

/**
 * Read every object of the cluster that somebody could have left behind: all kinds that can be listed, but for what
 * Kubernetes itself writes all the time.
 * @returns objects by `kind namespace/name`
 */
export async function everything(cluster: RealCluster): Promise<Map<string, Live>> {
  const { stdout } = await cluster.kubectl(["api-resources", "--verbs=list", "-o", "name"]);
  const ignored = /^(events|leases|endpointslices|endpoints|componentstatuses|apiservices|flowschemas|prioritylevel)/;
  const kinds = stdout.split("\n").filter((name) => name !== "" && !ignored.test(name));
  const { items } = await cluster.get<{ items: Live[] }>(kinds.join(","), "--all-namespaces");
  return new Map(
    // Kubernetes writes there by itself, also a while after it is ready.
    items
      .filter(({ metadata }) => metadata.namespace !== "kube-system")
      .map((item) => [`${item.kind} ${item.metadata.namespace ?? ""}/${item.metadata.name}`, item] as const),
  );
}

/** Wait until the controllers have seen every DaemonSet as it is now, and written what follows from that. */
export async function untilSeen(cluster: RealCluster): Promise<void> {
  const deadline = performance.now() + 60_000;
  for (;;) {
    const { items } = await cluster.get<{ items: Live[] }>("daemonsets", "--all-namespaces");
    const late = items.filter(({ metadata, ...rest }) => {
      const { observedGeneration } = rest["status"] as { observedGeneration?: number };
      return observedGeneration !== metadata.generation;
    });
    if (late.length === 0) return;
    if (performance.now() > deadline)
      throw new Error(`no controller looks at ${late.map((one) => one.metadata.name).join()}`);
  }
}

/** Say what is different: names that are new (`+`), gone (`-`) or whose object was written again (`~`). */
export function difference(before: ReadonlyMap<string, Live>, after: ReadonlyMap<string, Live>): string[] {
  return [
    ...[...after.keys()].filter((name) => !before.has(name)).map((name) => `+ ${name}`),
    ...[...before].flatMap(([name, { metadata }]) => {
      const now = after.get(name)?.metadata;
      if (now === undefined) return [`- ${name}`];
      return now.resourceVersion === metadata.resourceVersion ? [] : [`~ ${name}`];
    }),
  ].sort();
}
