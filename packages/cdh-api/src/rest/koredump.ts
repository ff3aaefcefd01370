import { findCoreEntry } from "@cdh/core/bundle/core-reader";
import type { DumpRecord } from "../index/dump-record.ts";
import { readStoredManifest } from "../index/store-reader.ts";
import { checkLoaded, permit, staleHeaders, type AppContext } from "../http/app-context.ts";
import type { Exchange } from "../http/exchange.ts";
import { begin, sendJson, writePiece } from "../http/send.ts";
import { ApiError, dumpNotFound } from "../kube/api-error.ts";
import { removeDump } from "../kube/write.ts";
import { PIECE_BYTES } from "../download/bundle.ts";
import { sendCoreOf, withBundle } from "../download/core.ts";
import { sendBody } from "../download/send-body.ts";
import { coreNameOf, koredumpRecord, NO_NODE } from "./koredump-record.ts";
import { koredumpOpenApi } from "./koredump-openapi.ts";

/** Records that are written at once. */
const RECORDS_AT_ONCE = 200;

/** Answer koredump's routes below `/apiv1`, with the cluster's rights. @throws {ApiError} 404 for what is none of them */
export async function koredump(app: AppContext, exchange: Exchange): Promise<void> {
  const [, first, verb, node = "", id = "", ...more] = exchange.segments;
  const { method } = exchange;
  const reads = method === "GET" || method === "HEAD";
  if (first === "openapi.json" && verb === undefined && reads) return sendJson(exchange, 200, koredumpOpenApi());
  if (first === "cores" && more.length === 0) {
    if (verb === undefined && reads) return await listCores(app, exchange);
    if (id !== "") {
      if (verb === "metadata" && reads) return await sendMetadata(app, exchange, node, id);
      if (verb === "download" && reads) return await download(app, exchange, node, id);
      if (verb === "delete" && method === "DELETE") return await remove(app, exchange, node, id);
    }
  }
  throw new ApiError(404, "NotFound", "no such route");
}

/** The list of one namespace, or of all when the caller may see them; oldest first, as koredump's is. */
async function listCores(app: AppContext, exchange: Exchange): Promise<void> {
  const namespace = exchange.query.get("namespace") ?? "";
  const pod = exchange.query.get("pod");
  await permit(app, exchange, { verb: "list", namespace });
  checkLoaded(app);
  await app.dumps.freshen();
  const records = [...app.dumps.index.list(namespace === "" ? undefined : namespace)]
    .filter((record) => pod === null || pod === "" || record.podName === pod)
    .sort((a, b) => a.crashedAt - b.crashedAt);
  begin(exchange, 200, { ...staleHeaders(app), "content-type": "application/json" });
  if (exchange.method === "HEAD") return void exchange.response.end();
  for (let at = 0; at < records.length; at += RECORDS_AT_ONCE) {
    const texts = records.slice(at, at + RECORDS_AT_ONCE).map((record) => JSON.stringify(koredumpRecord(record)));
    await writePiece(exchange, `${at === 0 ? "[" : ","}${texts.join(",")}`, app.settings.stallTimeoutMs);
  }
  exchange.response.end(records.length === 0 ? "[]\n" : "]\n");
}

async function sendMetadata(app: AppContext, exchange: Exchange, node: string, id: string): Promise<void> {
  const { record } = await findPermitted(app, exchange, node, id, { verb: "get" });
  const manifest = await readStoredManifest(app.dumps.store, record.stem, exchange.signal);
  if (manifest === undefined) throw dumpNotFound(id);
  sendJson(exchange, 200, koredumpRecord(record, manifest), staleHeaders(app));
}

/** The core as it lies in the bundle, or decompressed. */
async function download(app: AppContext, exchange: Exchange, node: string, id: string): Promise<void> {
  const wantsDecompressed = ["true", "1"].includes((exchange.query.get("decompress") ?? "").toLowerCase());
  const { record, who } = await findPermitted(app, exchange, node, id, { verb: "get", subresource: "core" });
  const name = coreNameOf(record);
  if (wantsDecompressed && record.compression !== "zstd") {
    throw new ApiError(415, "UnsupportedMediaType", "the core is not compressed");
  }
  if (wantsDecompressed || record.compression !== "zstd") {
    return await sendCoreOf(app, exchange, record, who, name.replace(/\.zst$/, ""));
  }
  await app.downloads.run(() =>
    withBundle(app, record, exchange.signal, async ({ bundle, manifest, validators }) => {
      const entry = findCoreEntry(bundle, manifest);
      if (entry === undefined) throw dumpNotFound(id, "holds no core");
      await sendBody(app, exchange, {
        ...who,
        record,
        subresource: "core",
        contentType: "application/octet-stream",
        fileName: name,
        validators: { ...validators, etag: validators.etag.replace(/"$/, '-stored"') },
        sizeBytes: entry.storedBytes,
        open: async function* ({ start, end }, signal) {
          for (let at = start; at < end; at += PIECE_BYTES) {
            yield await bundle.readStored(entry, at, Math.min(PIECE_BYTES, end - at), signal);
          }
        },
      });
    }),
  );
}

async function remove(app: AppContext, exchange: Exchange, node: string, id: string): Promise<void> {
  const { record, who } = await findPermitted(app, exchange, node, id, { verb: "delete" });
  await removeDump(app, record);
  app.log.info("deleted", {
    audit: true,
    user: who.user,
    namespace: record.namespace,
    name: record.name,
    from: exchange.remoteAddress,
  });
  sendJson(exchange, 200, {});
}

/**
 * Find a core that the caller may have. These paths name no namespace, so the right can be asked for only when the core is
 * known; what a caller may not have does not exist for them.
 * @throws {ApiError} 401, 404
 */
async function findPermitted(
  app: AppContext,
  exchange: Exchange,
  node: string,
  id: string,
  right: { verb: "get" | "delete"; subresource?: string },
): Promise<{ record: DumpRecord; who: { user: string; via: string } }> {
  const caller = await app.authenticate(exchange);
  checkLoaded(app);
  if (app.dumps.index.byName(id) === undefined) await app.dumps.freshen();
  const record = app.dumps.index.byName(id);
  if (record === undefined || (record.nodeName ?? NO_NODE) !== node) throw dumpNotFound(id);
  if (!(await app.rights.may(caller, { ...right, namespace: record.namespace, name: record.name }))) {
    throw dumpNotFound(id);
  }
  return { record, who: { user: caller.user, via: caller.via } };
}
