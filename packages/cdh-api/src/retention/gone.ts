import { type GoneLedger, emptyLedger } from "../manifests/ledger.ts";
import type { GoneFacts } from "./decide.ts";
import type { StoredBundle } from "./stored-bundle.ts";

/** A pod that somebody must ask for. */
export interface PodName {
  namespace: string;
  name: string;
  uid: string;
}

/** Tell pods of a namespace apart. */
export function podKey({ name, uid }: PodName): string {
  return `${name}/${uid}`;
}

/** What a look at the cluster said; what is in neither list was not asked. */
export interface ClusterAnswers {
  namespaces: ReadonlyMap<string, "there" | "gone">;
  /** By namespace, slash and {@link podKey}. */
  pods: ReadonlyMap<string, "there" | "gone">;
}

/** List the pods that the bundles of a cluster come from, each once. */
export function podsOf(bundles: readonly StoredBundle[], cluster: string): PodName[] {
  const pods = new Map<string, PodName>();
  for (const { facts } of bundles) {
    if (facts === undefined || facts === "garbage" || facts.pod === undefined || facts.cluster !== cluster) continue;
    pods.set(`${facts.pod.namespace}/${podKey(facts.pod)}`, facts.pod);
  }
  return [...pods.values()];
}

/**
 * Bring the ledger up to date. A namespace that came back is forgotten; what was gone keeps its first date; what no
 * bundle needs any more is dropped.
 */
export function updateLedger(
  before: GoneLedger,
  needed: readonly PodName[],
  answers: ClusterAnswers,
  now: number,
): GoneLedger {
  const after = emptyLedger();
  for (const pod of needed) {
    const { namespace } = pod;
    const key = podKey(pod);
    const podSaid = answers.pods.get(`${namespace}/${key}`);
    const said = answers.namespaces.get(namespace);
    const since = before.namespaces.get(namespace);
    if (said === "gone") after.namespaces.set(namespace, since ?? now);
    else if (said === undefined && since !== undefined) after.namespaces.set(namespace, since);
    const podSince = before.pods.get(namespace)?.get(key) ?? (podSaid === "gone" ? now : undefined);
    if (podSince === undefined || podSaid === "there") continue;
    const pods = after.pods.get(namespace) ?? new Map<string, number>();
    pods.set(key, podSince);
    after.pods.set(namespace, pods);
  }
  return after;
}

/** Say what is gone, as far as this look confirmed it: a namespace of that name may have come back, a pod cannot. */
export function goneFacts(ledger: GoneLedger, answers: ClusterAnswers): GoneFacts {
  return {
    namespaceSince: (namespace) =>
      answers.namespaces.get(namespace) === "gone" ? ledger.namespaces.get(namespace) : undefined,
    podSince: (pod) => ledger.pods.get(pod.namespace)?.get(podKey(pod)),
  };
}

/** Tell whether two ledgers say the same. */
export function sameLedger(a: GoneLedger, b: GoneLedger): boolean {
  return JSON.stringify(formatLedger(a)) === JSON.stringify(formatLedger(b));
}

/** Make JSON of a ledger, in one order. */
export function formatLedger({ namespaces, pods }: GoneLedger): object {
  const sorted = (map: ReadonlyMap<string, number>): Record<string, number> =>
    Object.fromEntries([...map].sort(([a], [b]) => (a < b ? -1 : 1)));
  return {
    schemaVersion: 1,
    namespaces: sorted(namespaces),
    pods: Object.fromEntries(
      [...pods].sort(([a], [b]) => (a < b ? -1 : 1)).map(([namespace, uids]) => [namespace, sorted(uids)]),
    ),
  };
}

/** Name pods for {@link parseLedger}. */
export function ledgerKeys(pods: readonly PodName[]): string[] {
  return pods.map((pod) => `${pod.namespace}/${podKey(pod)}`);
}
