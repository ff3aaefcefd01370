import type { Bundle, BundleEntry } from "@cdh/core/bundle/reader";
import { containerIndexOf, entryRole } from "@cdh/core/bundle/reader-roles";
import { lastLines, reportOf, type LogReport, type Report } from "@cdh/core/report/report";
import { containerNames } from "./containers.ts";
import type { Subject } from "./subject.ts";

/** Logs larger than this are not read for the last lines of a screen; `logs` reads all of one. */
const LOG_MAX_BYTES = 1024 * 1024;

/**
 * Collect what one screen needs: no part of the core is read.
 * @param logLines how many lines of each log to keep
 */
export async function makeReport(subject: Subject, logLines: number): Promise<Report> {
  const { bundle } = subject;
  const logs = bundle === undefined ? [] : await readLogs(bundle, logLines);
  return reportOf(subject.manifest, {
    bundle: subject.label,
    kind: subject.kind,
    bundleBytes: subject.sizeBytes,
    logs,
    entries: (bundle?.entries ?? []).map(({ name, sizeBytes, storedBytes }) => ({
      name,
      role: entryRole(name, bundle?.name),
      sizeBytes,
      storedBytes,
    })),
    traffic: { ...subject.source.traffic },
  });
}

/** The entries that hold containers' logs, in the containers' order. */
export function logEntries(bundle: Bundle): BundleEntry[] {
  const base = bundle.name ?? "";
  return bundle.entries
    .filter((entry) => entryRole(entry.name, bundle.name) === "log")
    .toSorted((left, right) => (containerIndexOf(left.name, base) ?? 0) - (containerIndexOf(right.name, base) ?? 0));
}

async function readLogs(bundle: Bundle, logLines: number): Promise<LogReport[]> {
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
