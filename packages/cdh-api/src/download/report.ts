import { tellOpensWith } from "@cdh/core/debug-files/opens-with";
import { reasonOf } from "@cdh/core/errors";
import { entryReports, readLogs } from "@cdh/core/report/bundle-logs";
import { reportPolicy } from "@cdh/core/report/html";
import { pluginCommands } from "@cdh/core/report/opening";
import type { Call } from "../call/call.ts";
import { FILE_RESOURCE } from "../group.ts";
import { ApiError, badRequest } from "../http/api-error.ts";
import type { Exchange } from "../http/exchange.ts";
import { sendPacked, sendText } from "../http/send.ts";
import type { DumpRecord } from "../index/dump-record.ts";
import { bundleNameOf } from "../index/placement.ts";
import { readManifestBytes } from "../index/store-reader.ts";
import { findDump } from "../kube/read.ts";
import type { ReportFormat } from "../manifests/tasks.ts";
import { parseInThread } from "../manifests/thread.ts";
import { withBundle } from "./core.ts";

const FORMATS = ["json", "text", "html"] as const satisfies readonly ReportFormat[];

const TYPES: Readonly<Record<string, ReportFormat>> = {
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
export async function sendReport(call: Call): Promise<void> {
  const { app, exchange, param } = call;
  const format = chooseFormat(exchange);
  const record = await findDump(app, param("namespace"), param("name"));
  const report = await app.gates.cores.run(exchange.share, () => makeReport(call, record, format));
  if (format === "json") return await sendPacked(exchange, "application/json", report);
  if (format === "text") return sendText(exchange, 200, "text/plain; charset=utf-8", report);
  sendText(exchange, 200, "text/html; charset=utf-8", report, {
    "content-security-policy": `${reportPolicy()}; frame-ancestors 'none'`,
  });
}

/** The first that the client names and we have. @throws {ApiError} 400, 406 */
function chooseFormat(exchange: Exchange): ReportFormat {
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

async function makeReport(call: Call, record: DumpRecord, format: ReportFormat): Promise<string> {
  const { app } = call;
  const { signal } = call.exchange;
  return await withBundle(app, record, signal, async ({ bundle, readManifest, sizeBytes }) => {
    // IBM's bundles have none; the uploader made one beside them.
    const manifest = (await readManifest()) ?? (await readManifestBytes(app.dumps.store, record.stem, signal));
    if (manifest === undefined) throw new ApiError(404, "NotFound", "there is no manifest to report on");
    const logs = await readLogs(bundle, LOG_LINES, (bytes) => parseInThread("containers", bytes, record.stem));
    const entries = entryReports(bundle);
    // What the thread is given is gone afterwards, and the manifest is needed once more.
    const wanted = await parseInThread("modules", Buffer.from(manifest), record.stem);
    const trouble = await whyNotTold(call);
    const opensWith =
      trouble === undefined
        ? await tellOpensWith(wanted, (buildId) => app.keptParts(buildId), { signal })
        : { ...wanted, trouble };
    const open = pluginCommands(record.namespace, record.name);
    const extras = { bundle: bundleNameOf(record), bundleBytes: sizeBytes, logs, entries, opensWith, open };
    return await parseInThread("report", manifest, record.stem, { extras, format, now: app.clock.now() });
  });
}

/**
 * Say why the reader is not told which files of the crash are kept; undefined where they may read them. A process maps what it
 * likes, so that a build-id in a crash of one's own proves nothing: whoever may not read the files must not learn that they exist.
 */
async function whyNotTold({ app, caller }: Call): Promise<string | undefined> {
  const right = { verb: "get", namespace: "", resource: FILE_RESOURCE } as const;
  const may = async (subresource: string): Promise<boolean> =>
    caller !== undefined && (await app.rights.may(caller, { ...right, subresource }));
  try {
    const allowed = await Promise.all(["executable", "debuginfo"].map(may));
    return allowed.every(Boolean) ? undefined : "needs the right to get buildid/executable and buildid/debuginfo";
  } catch (error) {
    return `the right to files of programs is not known: ${reasonOf(error)}`;
  }
}
