import type { DumpRecord } from "./dump-record.ts";

/** What many dumps have in common, such as all those of one workload on one node: held once for all of them. */
export type CommonFacts = Pick<
  DumpRecord,
  | "namespace"
  | "uid"
  | "comm"
  | "exe"
  | "signalNumber"
  | "signalName"
  | "codeName"
  | "containerName"
  | "imageRef"
  | "restartCount"
  | "podNamespace"
  | "ownerKind"
  | "ownerName"
  | "nodeName"
  | "clusterName"
  | "architecture"
  | "compression"
  | "complete"
  | "truncatedBy"
  | "identitySource"
  | "identityVerified"
  | "restricted"
  | "suppressedCount"
  | "problemCount"
  | "keepByPod"
>;

/** Pick what a dump may have in common with others. @param share gives equal texts as one */
export function commonOf(record: DumpRecord, share: (text: string) => string): CommonFacts {
  const shared = (text: string | undefined): string | undefined =>
    text === undefined || text === "" ? undefined : share(text);
  return {
    namespace: share(record.namespace),
    uid: record.uid,
    comm: shared(record.comm),
    exe: shared(record.exe),
    signalNumber: record.signalNumber,
    signalName: share(record.signalName),
    codeName: shared(record.codeName),
    containerName: shared(record.containerName),
    imageRef: shared(record.imageRef),
    restartCount: record.restartCount,
    podNamespace: shared(record.podNamespace),
    ownerKind: shared(record.ownerKind),
    ownerName: shared(record.ownerName),
    nodeName: shared(record.nodeName),
    clusterName: shared(record.clusterName),
    architecture: shared(record.architecture),
    compression: share(record.compression),
    complete: record.complete,
    truncatedBy: shared(record.truncatedBy),
    identitySource: shared(record.identitySource),
    identityVerified: record.identityVerified,
    restricted: record.restricted,
    suppressedCount: record.suppressedCount,
    problemCount: record.problemCount,
    keepByPod: record.keepByPod,
  };
}

/** Tell whether two are the same in every fact. */
export function isSame(one: CommonFacts, other: CommonFacts): boolean {
  for (const key in one) {
    if (one[key as keyof CommonFacts] !== other[key as keyof CommonFacts]) return false;
  }
  return true;
}
