import { entryReports, readLogs } from "@cdh/core/report/bundle-logs";
import { renderHtml, reportPolicy } from "@cdh/core/report/html";
import { PLAIN } from "@cdh/core/report/paint";
import { reportOf, type Report } from "@cdh/core/report/report";
import { renderText } from "@cdh/core/report/text";
import { permit, type AppContext } from "../http/app-context.ts";
import type { Exchange } from "../http/exchange.ts";
import { sendJson, sendText } from "../http/send.ts";
import type { DumpRecord } from "../index/dump-record.ts";
import { readStoredManifest } from "../index/store-reader.ts";
import { ApiError, badRequest } from "../kube/api-error.ts";
import { findDump } from "../kube/read.ts";
import { bundleNameOf } from "./bundle.ts";
import { withBundle } from "./core.ts";

const FORMATS = ["json", "text", "html"] as const;
type Format = (typeof FORMATS)[number];

const TYPES: Readonly<Record<string, Format>> = {
  "application/json": "json",
  "text/plain": "text",
  "text/html": "html",
  "*/*": "json",
  "application/*": "json",
  "text/*": "text",
};

/** Lines of each log that a report shows. */
const LOG_LINES = 100;

/** Send the report on a crash: as JSON, as text, or as a page of its own. */
export async function sendReport(app: AppContext, exchange: Exchange, namespace: string, name: string): Promise<void> {
  await permit(app, exchange, { verb: "get", namespace, name, subresource: "report" });
  const format = chooseFormat(exchange);
  const record = await findDump(app, namespace, name);
  const report = await app.cores.run(() => makeReport(app, record, exchange.signal));
  if (format === "json") return sendJson(exchange, 200, report);
  if (format === "text") {
    return sendText(exchange, 200, "text/plain; charset=utf-8", renderText(report, PLAIN, app.clock.now()));
  }
  sendText(exchange, 200, "text/html; charset=utf-8", renderHtml(report), {
    "content-security-policy": `${reportPolicy()}; frame-ancestors 'none'`,
  });
}

/** The first that the client names and we have. @throws {ApiError} 400, 406 */
function chooseFormat(exchange: Exchange): Format {
  const asked = exchange.query.get("format");
  if (asked !== null) {
    const found = FORMATS.find((format) => format === asked);
    if (found === undefined) throw badRequest(`format is one of ${FORMATS.join(", ")}`);
    return found;
  }
  for (const range of (exchange.request.headers.accept ?? "*/*").split(",")) {
    const type = range.split(";")[0]?.trim().toLowerCase() ?? "";
    if (Object.hasOwn(TYPES, type)) return TYPES[type] ?? "json";
  }
  throw new ApiError(406, "NotAcceptable", "a report is application/json, text/plain or text/html");
}

async function makeReport(app: AppContext, record: DumpRecord, signal: AbortSignal): Promise<Report> {
  return await withBundle(app, record, signal, async ({ bundle, manifest: own, sizeBytes }) => {
    // IBM's bundles have none; the uploader made one beside them.
    const manifest = own ?? (await readStoredManifest(app.dumps.store, record.stem, signal));
    if (manifest === undefined) throw new ApiError(404, "NotFound", "there is no manifest to report on");
    const logs = await readLogs(bundle, LOG_LINES);
    const entries = entryReports(bundle);
    return reportOf(manifest, { bundle: bundleNameOf(record), bundleBytes: sizeBytes, logs, entries });
  });
}
