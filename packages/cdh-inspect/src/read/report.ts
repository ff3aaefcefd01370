import { entryReports, parseContainerNames, readLogs } from "@cdh/core/report/bundle-logs";
import { reportOf, type Report } from "@cdh/core/report/report";
import type { OpenedFile } from "./opened-file.ts";

/**
 * Collect what one screen needs: no part of the core is read.
 * @param logLines how many lines of each log to keep
 */
export async function makeReport(opened: OpenedFile, logLines: number): Promise<Report> {
  const { bundle } = opened;
  return reportOf(opened.manifest, {
    bundle: opened.label,
    kind: opened.kind,
    bundleBytes: opened.sizeBytes,
    logs: bundle === undefined ? [] : await readLogs(bundle, logLines, parseContainerNames),
    entries: bundle === undefined ? [] : entryReports(bundle),
    traffic: { ...opened.source.traffic },
  });
}
