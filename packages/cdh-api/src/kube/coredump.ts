import { GROUP_VERSION, KIND } from "../group.ts";
import type { DumpRecord } from "../index/dump-record.ts";
import { crashesOf, firstOf } from "../index/past-crashes.ts";
import { isMadeName, uidOf } from "../index/placement.ts";
import { kubeTime, type Json } from "./json.ts";
import { labelsOf } from "./labels.ts";

/** A dump's place among others: its group's id, undefined when it has none, and the revision that is told. */
export interface Told {
  group: string | undefined;
  revision?: number | undefined;
}

/** Make the metadata of a dump. */
export function metadataOf(record: DumpRecord, { group, revision = record.revision }: Told): Json {
  return {
    name: record.name,
    namespace: record.namespace,
    uid: uidOf(record.stem, record.namespace),
    resourceVersion: String(revision),
    creationTimestamp: kubeTime(record.crashedAt),
    labels: labelsOf(record, group),
  };
}

/** Make the object as listings and watches show it: everything but what only the whole manifest tells. */
export function summaryOf(record: DumpRecord, told: Told): Json {
  return {
    apiVersion: GROUP_VERSION,
    kind: KIND,
    metadata: metadataOf(record, told),
    spec: specSummaryOf(record),
    status: statusOf(record),
  };
}

/**
 * Write the object as a single read shows it: the whole manifest is the spec.
 * @param texts JSON of the manifest's parts, which may be large
 */
export function writeDetail(
  record: DumpRecord,
  told: Told,
  { spec, problems }: { spec: string; problems: string },
): string {
  const head = JSON.stringify({ apiVersion: GROUP_VERSION, kind: KIND, metadata: metadataOf(record, told) });
  const status = JSON.stringify(statusOf(record));
  return `${head.slice(0, -1)},"spec":${spec},"status":${status.slice(0, -1)},"problems":${problems}}}\n`;
}

function specSummaryOf(record: DumpRecord): Json {
  const owner = record.ownerName === undefined ? undefined : { kind: record.ownerKind, name: record.ownerName };
  return {
    crashId: isMadeName(record.name) ? undefined : record.name,
    crashedAt: new Date(record.crashedAt).toISOString(),
    node: {
      nodeName: record.nodeName,
      clusterName: record.clusterName,
      architecture: record.architecture,
    },
    process: { pid: record.pid, uid: record.uid, comm: record.comm, exe: record.exe },
    signal: {
      number: record.signalNumber,
      name: record.signalName,
      codeName: record.codeName,
      faultAddress: record.faultAddress,
    },
    core: {
      compression: record.compression,
      sizeBytes: record.coreBytes,
      storedBytes: record.coreStoredBytes,
      expectedBytes: record.expectedBytes,
      complete: record.complete,
      truncatedBy: record.truncatedBy,
    },
    container: unlessEmpty({
      name: record.containerName,
      imageRef: record.imageRef,
      restartCount: record.restartCount,
    }),
    pod: unlessEmpty({ name: record.podName, namespace: record.podNamespace, uid: record.podUid, owner }),
    identity: unlessEmpty({ source: record.identitySource, verified: record.identityVerified }),
    restricted: record.restricted ? true : undefined,
    site: record.site,
    signature: record.signature,
    suppressed: unlessEmpty({ count: record.suppressedCount }),
    counted: countedOf(record),
  };
}

function countedOf(record: DumpRecord): Json | undefined {
  if (record.countedSince === undefined) return undefined;
  const time = (at: number): string => new Date(at).toISOString();
  return { count: crashesOf(record), first: time(firstOf(record)), last: time(record.crashedAt) };
}

function statusOf(record: DumpRecord): Json {
  return {
    summary: record.summary || undefined,
    where: record.where,
    bundle:
      record.bundleBytes === undefined
        ? undefined
        : {
            name: `${record.stem.slice(record.stem.lastIndexOf("/") + 1)}.zip`,
            sizeBytes: record.bundleBytes,
            storedAt: kubeTime(record.storedAt),
          },
    core: {
      sizeBytes: record.coreBytes,
      storedBytes: record.coreStoredBytes,
      expectedBytes: record.expectedBytes,
    },
    complete: record.complete,
    problemCount: record.problemCount,
  };
}

/** Leave an object out when nothing of it is known; single fields that are undefined are left out by JSON itself. */
function unlessEmpty(fields: Json): Json | undefined {
  for (const name in fields) if (fields[name] !== undefined) return fields;
  return undefined;
}
