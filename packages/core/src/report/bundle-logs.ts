import { tryParseBoundedJson } from "../bundle/bounded-json.ts";
import { containerIndexOf, entryRole } from "../bundle/reader-roles.ts";
import type { Bundle, BundleEntry } from "../bundle/reader.ts";
import { lastLines, type EntryReport, type LogReport } from "./report.ts";

/** Logs larger than this are not read for the last lines of a screen. */
const LOG_MAX_BYTES = 1024 * 1024;
const PS_INFO_MAX_BYTES = 4 * 1024 * 1024;

/**
 * Name the pod's containers by their number in the bundle, from crictl's `ps`.
 * @returns holes and an empty list where it is not known
 */
export async function containerNames(bundle: Bundle): Promise<(string | undefined)[]> {
  const entry = bundle.findRole("ps-info");
  if (entry === undefined || entry.sizeBytes > PS_INFO_MAX_BYTES) return [];
  const value = tryParseBoundedJson(await bundle.read(entry));
  const list = isRecord(value) && Array.isArray(value["containers"]) ? value["containers"] : [];
  return list.map((item: unknown) => {
    const metadata = isRecord(item) ? item["metadata"] : undefined;
    return isRecord(metadata) && typeof metadata["name"] === "string" ? metadata["name"] : undefined;
  });
}

/** The entries that hold containers' logs, in the containers' order. */
export function logEntries(bundle: Bundle): BundleEntry[] {
  const base = bundle.name ?? "";
  return bundle.entries
    .filter((entry) => entryRole(entry.name, bundle.name) === "log")
    .toSorted((left, right) => (containerIndexOf(left.name, base) ?? 0) - (containerIndexOf(right.name, base) ?? 0));
}

/** Read the last lines of each container's log. */
export async function readLogs(bundle: Bundle, logLines: number): Promise<LogReport[]> {
  const reports: LogReport[] = [];
  const names = await containerNames(bundle);
  for (const entry of logEntries(bundle)) {
    if (entry.sizeBytes === 0 || logLines === 0) continue;
    const { name, sizeBytes } = entry;
    const lines = sizeBytes > LOG_MAX_BYTES ? [] : lastLines((await bundle.read(entry)).toString("utf8"), logLines);
    const container = names[containerIndexOf(name, bundle.name ?? "") ?? 0];
    reports.push({ entry: name, ...(container === undefined ? {} : { container }), sizeBytes, lines });
  }
  return reports;
}

/** Tell what each entry of a bundle is. */
export function entryReports(bundle: Bundle): EntryReport[] {
  return bundle.entries.map(({ name, sizeBytes, storedBytes }) => ({
    name,
    role: entryRole(name, bundle.name),
    sizeBytes,
    storedBytes,
  }));
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
