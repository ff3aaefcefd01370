import { shortDuration } from "@cdh/core/short-duration";
import { formatBytes } from "@cdh/core/units";
import { GROUP } from "../group.ts";
import type { DumpRecord } from "../index/dump-record.ts";
import { crashesOf } from "../index/past-crashes.ts";
import { labelOf } from "./labels.ts";
import type { Column } from "./resource.ts";

/** What `kubectl get coredumps` prints. */
export const DUMP_COLUMNS: readonly Column<DumpRecord>[] = [
  {
    name: "Name",
    type: "string",
    format: "name",
    description: "The dump's id.",
    priority: 0,
    cell: (record) => record.name,
  },
  {
    name: "Pod",
    type: "string",
    description: "The crashed pod, which may be long gone.",
    priority: 0,
    cell: (record) => record.podName ?? "-",
  },
  {
    name: "Container",
    type: "string",
    description: "Its container.",
    priority: 0,
    cell: (record) => record.containerName ?? "-",
  },
  {
    name: "Signal",
    type: "string",
    description: "The signal that ended the process.",
    priority: 0,
    cell: (record) => record.signalName || "-",
  },
  {
    name: "Exe",
    type: "string",
    description: "The crashed program.",
    priority: 0,
    cell: (record) => labelOf(record, `${GROUP}/executable`) ?? "-",
  },
  {
    name: "Size",
    type: "string",
    description: "Size of the core.",
    priority: 0,
    cell: (record) => sizeOf(record.coreBytes),
  },
  {
    name: "Complete",
    type: "string",
    description: "Whether every byte that the kernel promised is there.",
    priority: 0,
    cell: completeCell,
  },
  {
    name: "Age",
    type: "string",
    description: "Time since the crash.",
    priority: 0,
    cell: (record, now) => shortDuration(now - record.crashedAt),
  },
  {
    name: "Where",
    type: "string",
    description: "The function that crashed, and its callers.",
    priority: 0,
    cell: (record) => record.where ?? "-",
  },
  {
    name: "Workload",
    type: "string",
    description: "What owns the pod.",
    priority: 1,
    cell: (record) => (record.ownerName === undefined ? "-" : `${record.ownerKind ?? "?"}/${record.ownerName}`),
  },
  { name: "Node", type: "string", description: "Where it ran.", priority: 1, cell: (record) => record.nodeName ?? "-" },
  {
    name: "Image",
    type: "string",
    description: "The container's image.",
    priority: 1,
    cell: (record) => record.imageRef ?? "-",
  },
  {
    name: "Bundle",
    type: "string",
    description: "Size of what is stored and downloaded.",
    priority: 1,
    cell: (record) => (record.bundleBytes === undefined ? "missing" : sizeOf(record.bundleBytes)),
  },
  {
    name: "Keep",
    type: "string",
    description: "Protected from retention.",
    priority: 1,
    cell: (record) => (record.keep ? "true" : "-"),
  },
];

/** A report of crashes that a limit left out says how many it stands for. */
function completeCell(record: DumpRecord): string {
  if (record.complete) return "true";
  return record.truncatedBy === "rateLimit" ? `${crashesOf(record)}-counted` : (record.truncatedBy ?? "false");
}

/** Without the blank: columns are cut at blanks by scripts. */
function sizeOf(bytes: number): string {
  return formatBytes(bytes).replace(" ", "");
}
