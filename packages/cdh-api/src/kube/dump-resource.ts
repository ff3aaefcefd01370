import { GROUP_LABEL, KIND, LIST_KIND } from "../group.ts";
import type { GroupIndex } from "../groups/group-index.ts";
import type { DumpRecord } from "../index/dump-record.ts";
import { metadataOf, summaryOf } from "./coredump.ts";
import { DUMP_COLUMNS } from "./dump-columns.ts";
import { labelOf } from "./labels.ts";
import type { Resource } from "./resource.ts";

const FIELDS: Resource<DumpRecord>["fields"] = {
  "metadata.name": (record) => record.name,
  "metadata.namespace": (record) => record.namespace,
  "spec.pod.name": (record) => record.podName ?? "",
  "spec.container.name": (record) => record.containerName ?? "",
  "spec.signal.name": (record) => record.signalName,
  "spec.process.comm": (record) => record.comm ?? "",
  "spec.process.exe": (record) => record.exe ?? "",
  "spec.node.nodeName": (record) => record.nodeName ?? "",
  "status.complete": (record) => String(record.complete),
};

/** What of a server dumps need: the groups that they belong to. */
export interface DumpSources {
  groups: { index: Pick<GroupIndex, "idOf"> };
}

/** Describe dumps. */
export function dumpResource({ groups }: DumpSources): Resource<DumpRecord> {
  const groupOf = (record: DumpRecord): string | undefined => groups.index.idOf(record);
  return {
    kind: KIND,
    listKind: LIST_KIND,
    columns: DUMP_COLUMNS,
    fields: FIELDS,
    labelOf: (record, key) => (key === GROUP_LABEL ? groupOf(record) : labelOf(record, key)),
    metadataOf: (record, revision) => metadataOf(record, { group: groupOf(record), revision }),
    summaryOf: (record, revision) => summaryOf(record, { group: groupOf(record), revision }),
    revisionOf: ({ revision }) => revision,
  };
}
