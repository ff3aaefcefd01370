import { reportOf, type Report } from "@cdh/core/report/report";
import { permit, type AppContext } from "../http/app-context.ts";
import type { Exchange } from "../http/exchange.ts";
import { sendJson } from "../http/send.ts";
import type { DumpRecord } from "../index/dump-record.ts";
import { ApiError } from "../kube/api-error.ts";
import { findDump } from "../kube/read.ts";
import { bundleNameOf } from "./bundle.ts";
import { withBundle } from "./core.ts";

/** Send the report on a crash. */
export async function sendReport(app: AppContext, exchange: Exchange, namespace: string, name: string): Promise<void> {
  await permit(app, exchange, { verb: "get", namespace, name, subresource: "report" });
  const record = await findDump(app, namespace, name);
  const report = await app.cores.run(() => makeReport(app, record, exchange.signal));
  sendJson(exchange, 200, report);
}

async function makeReport(app: AppContext, record: DumpRecord, signal: AbortSignal): Promise<Report> {
  return await withBundle(app, record, signal, async ({ manifest, sizeBytes }) => {
    if (manifest === undefined) throw new ApiError(404, "NotFound", "the bundle has no manifest to report on");
    return reportOf(manifest, { bundle: bundleNameOf(record), bundleBytes: sizeBytes });
  });
}
