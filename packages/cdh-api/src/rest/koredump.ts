import { findCoreEntry } from "@cdh/core/bundle/core-reader";
import type { DumpRight } from "../auth/access-review.ts";
import { checkLoaded, staleHeaders } from "../call/app-context.ts";
import type { Call } from "../call/call.ts";
import { PIECE_BYTES } from "../download/bundle.ts";
import { headOfBundle, sendCoreOf, withBundle } from "../download/core.ts";
import { sendBody } from "../download/send-body.ts";
import { ApiError, dumpNotFound, unauthorized } from "../http/api-error.ts";
import { sendInPieces, sendJson } from "../http/send.ts";
import type { DumpRecord } from "../index/dump-record.ts";
import { readManifestBytes } from "../index/store-reader.ts";
import { LONG_LIST } from "../kube/read.ts";
import { removeDump } from "../kube/write.ts";
import { parseInThread } from "../manifests/thread.ts";
import { coreNameOf, koredumpRecord, NO_NODE } from "./koredump-record.ts";

/** Records that are written at once. */
const RECORDS_AT_ONCE = 200;

/** The list of one namespace, or of all when the caller may see them; oldest first, as koredump's is. */
export async function listCores({ app, exchange }: Call): Promise<void> {
  const namespace = exchange.query.get("namespace") ?? "";
  const pod = exchange.query.get("pod");
  checkLoaded(app);
  await app.dumps.freshen();
  const records = [...app.dumps.index.list(namespace === "" ? undefined : namespace)]
    .filter((record) => pod === null || pod === "" || record.podName === pod)
    .sort((a, b) => a.crashedAt - b.crashedAt);
  const headers = { ...staleHeaders(app), "content-type": "application/json" };
  const answer = (): Promise<void> => sendInPieces(app, exchange, headers, recordPieces(records));
  await (records.length < LONG_LIST ? answer() : app.gates.longLists.run(exchange.share, answer));
}

function* recordPieces(records: readonly DumpRecord[]): Generator<string> {
  yield "[";
  for (let at = 0; at < records.length; at += RECORDS_AT_ONCE) {
    const texts = records.slice(at, at + RECORDS_AT_ONCE).map((record) => JSON.stringify(koredumpRecord(record)));
    yield `${at === 0 ? "" : ","}${texts.join(",")}`;
  }
  yield "]\n";
}

/** What is known of one core. */
export async function sendMetadata(call: Call): Promise<void> {
  const { app, exchange } = call;
  const record = await findPermitted(call);
  const more = await app.gates.manifests.run(exchange.share, async () => {
    const manifest = await readManifestBytes(app.dumps.store, record.stem, exchange.signal);
    return manifest === undefined ? undefined : await parseInThread("koredump", manifest, record.stem);
  });
  if (more === undefined) throw dumpNotFound(record.name);
  sendJson(exchange, 200, koredumpRecord(record, more), staleHeaders(app));
}

/** The core as it lies in the bundle, or decompressed. */
export async function downloadCore(call: Call): Promise<void> {
  const { app, exchange, who } = call;
  const wantsDecompressed = ["true", "1"].includes((exchange.query.get("decompress") ?? "").toLowerCase());
  const record = await findPermitted(call);
  const name = coreNameOf(record);
  if (wantsDecompressed && record.compression !== "zstd") {
    throw new ApiError(415, "UnsupportedMediaType", "the core is not compressed");
  }
  if (wantsDecompressed || record.compression !== "zstd") {
    return await sendCoreOf(app, exchange, record, who, name.replace(/\.zst$/, ""));
  }
  await app.gates.downloads.run(exchange.share, () =>
    withBundle(app, record, exchange.signal, async (open) => {
      const { bundle, validators } = open;
      const entry = findCoreEntry(bundle, await headOfBundle(open, record.stem));
      if (entry === undefined) throw dumpNotFound(record.name, "holds no core");
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

/** Delete one core, bundle and all. */
export async function removeCore(call: Call): Promise<void> {
  const { app, exchange, who } = call;
  const record = await findPermitted(call);
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
 * @throws {ApiError} 401, 404, 429
 */
async function findPermitted({ app, exchange, route, param, caller }: Call): Promise<DumpRecord> {
  const { right } = route;
  if (caller === undefined || right.asked !== "found") throw unauthorized();
  const id = param("id");
  checkLoaded(app);
  const known = app.dumps.index.byName(id);
  await (known === undefined ? app.dumps.freshen() : app.dumps.confirm(known.stem));
  const record = app.dumps.index.byName(id);
  if (record !== undefined && !(await app.dumps.prove(record.stem))) throw dumpNotFound(id);
  if (record === undefined || (record.nodeName ?? NO_NODE) !== param("node")) throw dumpNotFound(id);
  if (!(await app.rights.may(caller, rightOn(record, right)))) {
    const error = dumpNotFound(id);
    app.refusals.note(exchange, error);
    throw error;
  }
  return record;
}

function rightOn(record: DumpRecord, { verb, subresource }: Pick<DumpRight, "verb" | "subresource">): DumpRight {
  const { namespace, name } = record;
  return { verb, namespace, name, ...(subresource === undefined ? {} : { subresource }) };
}
