import { formatBytes, formatDuration } from "@cdh/core/units";
import { ruleFor, type RetentionPolicy } from "./policy.ts";
import type { ManifestFacts, StoredBundle } from "./stored-bundle.ts";

/** Why a bundle goes. */
export type RemovalReason = "age" | "count" | "bytes" | "namespaceGone" | "podGone" | "orphan";

/** Why a bundle stays. */
export type KeepReason = "withinLimits" | "keepLabel" | "garbageManifest" | "noManifest" | "otherCluster";

/** Since when things are known to be gone from the cluster, in epoch milliseconds; undefined: there, or not known. */
export interface GoneFacts {
  namespaceSince(namespace: string): number | undefined;
  podSince(pod: { namespace: string; name: string; uid: string }): number | undefined;
}

/** One bundle that goes. */
export interface Removal {
  stem: string;
  /** As the API shows it; `""` for a bundle without a manifest. */
  namespace: string;
  reason: RemovalReason;
  /** The reason with its figures, for people. */
  why: string;
  /** Bundle and manifest together. */
  sizeBytes: number;
  /** When it was stored, epoch milliseconds. */
  at: number;
}

/** What the policy says about a store. */
export interface Decision {
  /** Oldest first. */
  removals: Removal[];
  /** How many bundles stay, by reason. */
  kept: Record<KeepReason, number>;
  keptBytes: number;
}

/** No crash is older than this program: a node that says so never had its clock set. */
const CLOCK_SET_AT = Date.UTC(2020, 0, 1);

/** Nothing is known to be gone. */
export const NOTHING_GONE: GoneFacts = { namespaceSince: () => undefined, podSince: () => undefined };

interface Judged {
  bundle: StoredBundle;
  facts: ManifestFacts;
  /** When it was stored, epoch milliseconds: what its age is counted from. */
  at: number;
  /** What puts the newest first. */
  order: number;
  sizeBytes: number;
}

/**
 * Decide what goes and why. Pure: the same store, policy, facts and time give the same answer, and once its removals
 * are carried out it says that nothing goes.
 */
export function decide(
  bundles: readonly StoredBundle[],
  policy: RetentionPolicy,
  gone: GoneFacts,
  now: number,
): Decision {
  const kept: Decision["kept"] = {
    withinLimits: 0,
    keepLabel: 0,
    garbageManifest: 0,
    noManifest: 0,
    otherCluster: 0,
  };
  const going: { removal: Removal; order: number }[] = [];
  let keptBytes = 0;
  const byNamespace = new Map<string, Judged[]>();
  for (const bundle of bundles) {
    const sizeBytes = sizeOf(bundle);
    const orphaned = orphanRemoval(bundle, policy, now);
    if (orphaned !== undefined) {
      going.push({ removal: orphaned, order: orphaned.at });
      continue;
    }
    const { facts } = bundle;
    const why = whyKept(bundle, policy);
    if (why !== undefined || facts === undefined || facts === "garbage") {
      kept[why ?? "noManifest"] += 1;
      keptBytes += sizeBytes;
      continue;
    }
    const at = storedAt(bundle);
    const judged = { bundle, facts, at, order: orderOf(facts, at), sizeBytes };
    const group = byNamespace.get(facts.namespace);
    if (group === undefined) byNamespace.set(facts.namespace, [judged]);
    else group.push(judged);
  }
  for (const [namespace, group] of byNamespace) {
    for (const { judged, verdict } of judgeNamespace(namespace, group, policy, gone, now)) {
      if (verdict === undefined) {
        kept.withinLimits += 1;
        keptBytes += judged.sizeBytes;
      } else going.push({ removal: { ...removalOf(judged), ...verdict }, order: judged.order });
    }
  }
  // In the order in which they were judged, the least wanted first: cut short anywhere, the rest is still what goes next.
  going.sort((a, b) => a.order - b.order || (a.removal.stem < b.removal.stem ? -1 : 1));
  return { removals: going.map(({ removal }) => removal), kept, keptBytes };
}

type Verdict = Pick<Removal, "reason" | "why">;

function* judgeNamespace(
  namespace: string,
  group: Judged[],
  policy: RetentionPolicy,
  gone: GoneFacts,
  now: number,
): Iterable<{ judged: Judged; verdict: Verdict | undefined }> {
  const { maxAgeMs, maxCount, maxBytes } = ruleFor(policy, namespace);
  // Newest first; the key decides between equals, so that the order never depends on the listing's.
  group.sort((a, b) => b.order - a.order || (a.bundle.stem < b.bundle.stem ? 1 : -1));
  let count = 0;
  let bytes = 0;
  // Once a bundle does not fit, none of the older ones may take the room that it left.
  let isFull = false;
  for (const judged of group) {
    const early = goneVerdict(judged, policy, gone, now) ?? ageVerdict(judged, maxAgeMs, now);
    if (early !== undefined) {
      yield { judged, verdict: early };
      continue;
    }
    if (maxCount !== undefined && count >= maxCount) {
      yield { judged, verdict: { reason: "count", why: `${namespace} has ${maxCount} newer ones` } };
      continue;
    }
    isFull ||= maxBytes !== undefined && count > 0 && bytes + judged.sizeBytes > maxBytes;
    if (isFull) {
      const why = `${namespace} has newer ones up to ${formatBytes(maxBytes ?? 0)}`;
      yield { judged, verdict: { reason: "bytes", why } };
      continue;
    }
    count += 1;
    bytes += judged.sizeBytes;
    yield { judged, verdict: undefined };
  }
}

function goneVerdict({ facts }: Judged, policy: RetentionPolicy, gone: GoneFacts, now: number): Verdict | undefined {
  const { pod } = facts;
  if (pod === undefined) return undefined;
  const { namespaceGoneGraceMs, podGoneGraceMs } = policy;
  const namespaceSince = gone.namespaceSince(pod.namespace);
  if (isOver(namespaceSince, namespaceGoneGraceMs, now)) {
    const why = `namespace ${pod.namespace} seen gone ${formatDuration(now - namespaceSince)} ago`;
    return { reason: "namespaceGone", why };
  }
  const podSince = gone.podSince(pod) ?? namespaceSince;
  if (isOver(podSince, podGoneGraceMs, now)) {
    return { reason: "podGone", why: `pod ${pod.name} seen gone ${formatDuration(now - podSince)} ago` };
  }
  return undefined;
}

function isOver(since: number | undefined, graceMs: number | undefined, now: number): since is number {
  return since !== undefined && graceMs !== undefined && now - since >= graceMs;
}

function ageVerdict({ at }: Judged, maxAgeMs: number | undefined, now: number): Verdict | undefined {
  if (maxAgeMs === undefined || now - at <= maxAgeMs) return undefined;
  return { reason: "age", why: `${formatDuration(now - at)} old, more than ${formatDuration(maxAgeMs)}` };
}

function whyKept(bundle: StoredBundle, policy: RetentionPolicy): KeepReason | undefined {
  if (bundle.isKept) return "keepLabel";
  if (bundle.manifest === undefined || bundle.facts === undefined) return "noManifest";
  if (bundle.facts === "garbage") return "garbageManifest";
  if (bundle.facts.isKept) return "keepLabel";
  if (bundle.facts.cluster !== policy.cluster) return "otherCluster";
  return undefined;
}

function orphanRemoval(bundle: StoredBundle, policy: RetentionPolicy, now: number): Removal | undefined {
  if (policy.orphanGraceMs === undefined || bundle.isKept) return undefined;
  if (bundle.manifest !== undefined || bundle.bundle === undefined) return undefined;
  const at = bundle.bundle.modifiedAt;
  if (now - at < policy.orphanGraceMs) return undefined;
  const why = `no manifest for ${formatDuration(now - at)}`;
  return { stem: bundle.stem, namespace: "", reason: "orphan", why, sizeBytes: sizeOf(bundle), at };
}

/**
 * Tell when a bundle was stored, by the store's clock. Ages count from then, not from the crash: a node with a clock of
 * its own, or one that was cut off for weeks, must not have its bundles removed the moment they arrive.
 */
function storedAt({ bundle, manifest }: StoredBundle): number {
  return Math.max(bundle?.modifiedAt ?? 0, manifest?.modifiedAt ?? 0);
}

/** Order by the crash, unless the node's clock cannot have been right: a store that was copied has one date for all. */
function orderOf({ crashedAt }: ManifestFacts, at: number): number {
  return crashedAt >= CLOCK_SET_AT && crashedAt <= at ? crashedAt : at;
}

function removalOf({ bundle, facts, at, sizeBytes }: Judged): Omit<Removal, "reason" | "why"> {
  return { stem: bundle.stem, namespace: facts.namespace, sizeBytes, at };
}

function sizeOf({ bundle, manifest }: StoredBundle): number {
  return (bundle?.sizeBytes ?? 0) + (manifest?.sizeBytes ?? 0);
}
