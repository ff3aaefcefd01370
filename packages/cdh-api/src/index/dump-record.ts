import type { Manifest } from "@cdh/core/bundle/manifest";
import type { RecordPool } from "./packed-record.ts";

/** What the index keeps of one dump. Never changed once it is in the index: what changes is replaced. */
export interface DumpRecord {
  /** Key of the bundle in the store without `.zip`. */
  readonly stem: string;
  /** Opaque id: `metadata.name`. */
  readonly name: string;
  /** Where it is shown, which is not always where it claims to be from. */
  readonly namespace: string;
  /** Tells one state of the manifest's object from another. */
  readonly manifestStamp: string;
  /** Absent while the store shows no bundle beside the manifest. */
  readonly bundleBytes: number | undefined;
  /** Epoch milliseconds. */
  readonly storedAt: number;
  readonly keep: boolean;
  /** Kubernetes' resourceVersion. */
  readonly revision: number;
  /** Epoch milliseconds. */
  readonly crashedAt: number;
  readonly pid: number | undefined;
  readonly uid: number | undefined;
  readonly comm: string | undefined;
  readonly exe: string | undefined;
  readonly signalNumber: number;
  readonly signalName: string;
  readonly codeName: string | undefined;
  readonly faultAddress: string | undefined;
  readonly containerName: string | undefined;
  readonly imageRef: string | undefined;
  readonly restartCount: number | undefined;
  readonly podName: string | undefined;
  readonly podNamespace: string | undefined;
  readonly podUid: string | undefined;
  readonly ownerKind: string | undefined;
  readonly ownerName: string | undefined;
  readonly nodeName: string | undefined;
  readonly clusterName: string | undefined;
  readonly architecture: string | undefined;
  readonly compression: string;
  readonly coreBytes: number;
  readonly coreStoredBytes: number;
  readonly expectedBytes: number | undefined;
  readonly complete: boolean;
  readonly truncatedBy: string | undefined;
  readonly identitySource: string | undefined;
  readonly identityVerified: boolean | undefined;
  readonly restricted: boolean;
  readonly suppressedCount: number | undefined;
  readonly problemCount: number;
  /** The pod itself asked for it to be kept. */
  readonly keepByPod: boolean;
}

/** What the store tells of a dump beside its manifest. */
export interface StoreFacts {
  stem: string;
  manifestStamp: string;
  bundleBytes: number | undefined;
  storedAt: number;
  keep: boolean;
}

/** Make the record of a manifest, for its place in the index. */
export function recordOf(
  manifest: Manifest,
  store: StoreFacts,
  place: { name: string; namespace: string; revision: number; keepByPod: boolean },
  pool: RecordPool,
): DumpRecord {
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
    suppressedCount: manifest.suppressed?.count,
    problemCount: manifest.problems.length,
    keepByPod: place.keepByPod,
  });
}

/** Tell whether only administrators may see it: the process was not dumpable by its own user. @see core(5) %d */
export function isRestricted(manifest: Manifest): boolean {
  return manifest.restricted === true || manifest.process.dumpMode === 2;
}
