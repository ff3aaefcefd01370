import { isRestricted } from "@cdh/core/bundle/restricted";
import { crashCount } from "@cdh/core/groups/crash-count";
import type { ManifestHead } from "../manifests/head.ts";
import type { PackedRecord } from "./packed-record.ts";
import type { RecordPool } from "./record-pool.ts";

/** What the store tells of a dump beside its manifest. */
export interface StoreFacts {
  stem: string;
  manifestStamp: string;
  bundleBytes: number | undefined;
  storedAt: number;
  keep: boolean;
}

/** Crashes that a manifest tells of beside its own: those that it stands for, else those that a limit left out before. */
function othersOf(manifest: ManifestHead): Pick<PackedRecord, "suppressedCount" | "countedSince"> {
  if (manifest.counted === undefined) return { suppressedCount: manifest.suppressed?.count, countedSince: undefined };
  const { count, firstAt } = crashCount(manifest);
  const since = Date.parse(firstAt);
  return { suppressedCount: count - 1, countedSince: Number.isNaN(since) ? undefined : since };
}

/** Make the record of a manifest, for its place in the index. */
export function recordOf(
  manifest: ManifestHead,
  store: StoreFacts,
  place: { name: string; namespace: string; revision: number; keepByPod: boolean },
  pool: RecordPool,
): PackedRecord {
  const { process: crashed, signal, container, pod, node, core, identity } = manifest;
  const crashedAt = Date.parse(manifest.crashedAt);
  return pool.pack({
    stem: store.stem,
    name: place.name,
    namespace: place.namespace,
    manifestStamp: store.manifestStamp,
    bundleBytes: store.bundleBytes,
    storedAt: store.storedAt,
    keep: store.keep || place.keepByPod,
    revision: place.revision,
    crashedAt: Number.isNaN(crashedAt) ? store.storedAt : crashedAt,
    pid: crashed.pid,
    uid: crashed.uid,
    comm: crashed.comm,
    exe: crashed.exe,
    signalNumber: signal.number,
    signalName: signal.name,
    codeName: signal.codeName,
    faultAddress: signal.faultAddress,
    containerName: container?.name,
    imageRef: container?.imageRef,
    restartCount: container?.restartCount,
    podName: pod?.name,
    podNamespace: pod?.namespace,
    podUid: pod?.uid,
    ownerKind: pod?.owner?.kind,
    ownerName: pod?.owner?.name,
    nodeName: node.nodeName,
    clusterName: node.clusterName,
    architecture: node.architecture,
    compression: core.compression,
    coreBytes: core.sizeBytes,
    coreStoredBytes: core.storedBytes,
    expectedBytes: core.expectedBytes,
    complete: core.complete,
    truncatedBy: core.truncatedBy,
    identitySource: identity?.source,
    identityVerified: identity?.verified,
    restricted: isRestricted(manifest),
    ...othersOf(manifest),
    problemCount: manifest.problemCount,
    summary: manifest.summary,
    where: manifest.where,
    site: manifest.site,
    signature: manifest.signature,
    keepByPod: place.keepByPod,
  });
}
