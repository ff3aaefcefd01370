import { entryReports, readLogs } from "@cdh/core/report/bundle-logs";
import { reportOf, type Report } from "@cdh/core/report/report";
import type { Subject } from "./subject.ts";

/**
 * Collect what one screen needs: no part of the core is read.
 * @param logLines how many lines of each log to keep
 */
export async function makeReport(subject: Subject, logLines: number): Promise<Report> {
  const { bundle } = subject;
  return reportOf(subject.manifest, {
    bundle: subject.label,
    kind: subject.kind,
    bundleBytes: subject.sizeBytes,
    logs: bundle === undefined ? [] : await readLogs(bundle, logLines),
    entries: bundle === undefined ? [] : entryReports(bundle),
    traffic: { ...subject.source.traffic },
  });
}
