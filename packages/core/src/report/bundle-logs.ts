import { tryParseJson } from "../base/json.ts";
import { isRecord } from "../base/records.ts";
import { READ_LIMITS } from "../bundle/limits.ts";
import { containerIndexOf } from "../bundle/reader-roles.ts";
import type { Bundle, BundleEntry } from "../bundle/reader.ts";
import { lastLines, type EntryReport, type LogReport } from "./report.ts";

/** Logs larger than this are not read for the last lines of a screen. */
const LOG_MAX_BYTES = 1024 * 1024;
/** All lines of a report together: once there are so many, further logs are left in the bundle. */
const LINES_MAX_BYTES = 1024 * 1024;
const PS_INFO_MAX_BYTES = 4 * 1024 * 1024;
/** Kubernetes takes 63 characters; other managers of pods some more. */
const NAME_MAX = 253;

/**
 * Name the pod's containers by their number in the bundle, from crictl's `ps`.
 * @returns holes and an empty list where it is not known
 */
export async function containerNames(bundle: Bundle, parse: ParseNames): Promise<(string | undefined)[]> {
  const entry = bundle.findRole("ps-info");
  if (entry === undefined || entry.sizeBytes > PS_INFO_MAX_BYTES) return [];
  return await parse(await bundle.read(entry));
}

/** Parses crictl's `ps`: {@link parseContainerNames}, here or in another thread. */
export type ParseNames = (bytes: Buffer) => (string | undefined)[] | Promise<(string | undefined)[]>;

/** Take the names of containers from crictl's `ps`, in its order. */
export function parseContainerNames(bytes: Uint8Array): (string | undefined)[] {
  const value = tryParseJson(bytes);
  const list = isRecord(value) && Array.isArray(value["containers"]) ? value["containers"] : [];
  return list.slice(0, READ_LIMITS.entries).map((item: unknown) => {
    const metadata = isRecord(item) ? item["metadata"] : undefined;
    const name = isRecord(metadata) ? metadata["name"] : undefined;
    return typeof name === "string" && name.length <= NAME_MAX ? name : undefined;
  });
}

/** The entries that hold containers' logs, in the containers' order. */
export function logEntries(bundle: Bundle): BundleEntry[] {
  const base = bundle.name ?? "";
  return bundle.entries
    .filter((entry) => bundle.roleOf(entry) === "log")
    .toSorted((left, right) => (containerIndexOf(left.name, base) ?? 0) - (containerIndexOf(right.name, base) ?? 0));
}

/** Read the last lines of each container's log. */
export async function readLogs(bundle: Bundle, logLines: number, parse: ParseNames): Promise<LogReport[]> {
  const reports: LogReport[] = [];
  let left = LINES_MAX_BYTES;
  const names = await containerNames(bundle, parse);
  for (const entry of logEntries(bundle)) {
    if (entry.sizeBytes === 0 || logLines === 0) continue;
    const { name, sizeBytes } = entry;
    const isLeftOut = sizeBytes > LOG_MAX_BYTES || left <= 0;
    const lines = isLeftOut ? [] : lastLines((await bundle.read(entry)).toString("utf8"), logLines);
    for (const line of lines) left -= line.length;
    const container = names[containerIndexOf(name, bundle.name ?? "") ?? 0];
    reports.push({ entry: name, ...(container === undefined ? {} : { container }), sizeBytes, lines });
  }
  return reports;
}

/** Tell what each entry of a bundle is. */
export function entryReports(bundle: Bundle): EntryReport[] {
  return bundle.entries.map((entry) => {
    const { name, sizeBytes, storedBytes } = entry;
    return { name, role: bundle.roleOf(entry), sizeBytes, storedBytes };
  });
}
