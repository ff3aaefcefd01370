import { GROUP, GROUP_LABEL, KEEP_LABEL, LABELS, type DumpLabel } from "../group.ts";
import type { DumpRecord } from "../index/dump-record.ts";

const VALID = /^[A-Za-z0-9](?:[\w.-]{0,61}[A-Za-z0-9])?$/;

/** Make a text a label's value: at most 63 of `[A-Za-z0-9_.-]`, beginning and ending with a letter or digit. */
export function labelValue(text: string | undefined): string | undefined {
  if (text === undefined || VALID.test(text)) return text;
  const value = text
    .replaceAll(/[^A-Za-z0-9_.-]/g, "-")
    .replace(/^[^A-Za-z0-9]+/, "")
    .slice(0, 63)
    .replace(/[^A-Za-z0-9]+$/, "");
  return value === "" ? undefined : value;
}

const READERS: Readonly<Record<DumpLabel, (record: DumpRecord) => string | undefined>> = {
  pod: (record) => record.podName,
  container: (record) => record.containerName,
  signal: (record) => record.signalName,
  node: (record) => record.nodeName,
  executable: (record) => record.exe?.slice(record.exe.lastIndexOf("/") + 1) ?? record.comm,
  workload: (record) => record.ownerName,
};

const KEYED = LABELS.map((name) => [`${GROUP}/${name}`, READERS[name]] as const);

/** Read one label of a dump, but for its group; undefined when it does not have it. */
export function labelOf(record: DumpRecord, key: string): string | undefined {
  if (key === KEEP_LABEL) return record.keep ? "true" : undefined;
  if (!key.startsWith(`${GROUP}/`)) return undefined;
  const name = key.slice(GROUP.length + 1);
  return Object.hasOwn(READERS, name) ? labelValue(READERS[name as DumpLabel](record)) : undefined;
}

/** Give all labels of a dump. @param group its group's id */
export function labelsOf(record: DumpRecord, group: string | undefined): Record<string, string> {
  const labels: Record<string, string> = {};
  for (const [key, read] of KEYED) {
    const value = labelValue(read(record));
    if (value !== undefined) labels[key] = value;
  }
  if (group !== undefined) labels[GROUP_LABEL] = group;
  if (record.keep) labels[KEEP_LABEL] = "true";
  return labels;
}
