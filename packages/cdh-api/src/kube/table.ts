import { formatBytes } from "@cdh/core/units";
import { GROUP } from "../group.ts";
import type { DumpRecord } from "../index/dump-record.ts";
import { metadataOf, summaryOf, type Json } from "./coredump.ts";
import { labelOf } from "./labels.ts";

/** A column of the table that kubectl prints. */
interface Column {
  name: string;
  type: string;
  format?: string;
  description: string;
  /** 0 always, 1 with `-o wide`. */
  priority: number;
  cell: (record: DumpRecord, now: number) => string;
}

const COLUMNS: readonly Column[] = [
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
    cell: (record) => (record.complete ? "true" : (record.truncatedBy ?? "false")),
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

/** How much of each object a table carries. */
export type IncludeObject = "None" | "Metadata" | "Object";

/** Describe the columns. */
export function columnDefinitions(): Json[] {
  return COLUMNS.map(({ name, type, format = "", description, priority }) => ({
    name,
    type,
    format,
    description,
    priority,
  }));
}

/** Make the row of a dump. */
export function rowOf(record: DumpRecord, include: IncludeObject, now: number, revision?: number): Json {
  return {
    cells: COLUMNS.map(({ cell }) => cell(record, now)),
    ...(include === "None"
      ? {}
      : { object: include === "Object" ? summaryOf(record, revision) : partialOf(record, revision) }),
  };
}

/** Make the object of which only the metadata is wanted. */
export function partialOf(record: DumpRecord, revision?: number): Json {
  return { kind: "PartialObjectMetadata", apiVersion: "meta.k8s.io/v1", metadata: metadataOf(record, revision) };
}

/** Write a duration in a few characters, as kubectl does: `45s`, `7m12s`, `3h`, `12d`. */
export function shortDuration(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  if (seconds < -1) return "<invalid>";
  if (seconds < 0) return "0s";
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 10) return join(minutes, "m", seconds % 60, "s");
  if (minutes < 180) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 8) return join(hours, "h", minutes % 60, "m");
  if (hours < 48) return `${hours}h`;
  const days = Math.floor(hours / 24);
  if (days < 8) return join(days, "d", hours % 24, "h");
  if (days < 730) return `${days}d`;
  const years = Math.floor(days / 365);
  return years < 8 ? join(years, "y", days % 365, "d") : `${years}y`;
}

function join(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${large}${largeUnit}` : `${large}${largeUnit}${small}${smallUnit}`;
}

/** Without the blank: columns are cut at blanks by scripts. */
function sizeOf(bytes: number): string {
  return formatBytes(bytes).replace(" ", "");
}
