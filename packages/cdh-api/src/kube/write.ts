import { tryRecord } from "@cdh/core/base/records";
import { reasonOf } from "@cdh/core/errors";
import { checkLoaded, type AppContext } from "../call/app-context.ts";
import type { Call } from "../call/call.ts";
import { GROUP, KEEP_LABEL, KIND, RESOURCE } from "../group.ts";
import { ApiError, badRequest, dumpNotFound } from "../http/api-error.ts";
import { readJson, type Exchange } from "../http/exchange.ts";
import { sendJson } from "../http/send.ts";
import type { DumpRecord } from "../index/dump-record.ts";
import { uidOf } from "../index/placement.ts";
import { BUNDLE_SUFFIX, KEEP_SUFFIX, MANIFEST_SUFFIX } from "../index/store-reader.ts";
import { dumpResource } from "./dump-resource.ts";
import { findDump, selectorOf } from "./read.ts";

/** Delete one dump. */
export async function deleteOne({ app, exchange, param, who }: Call): Promise<void> {
  const name = param("name");
  const options = tryRecord(await readJson(exchange));
  const record = await findDump(app, param("namespace"), name);
  checkPreconditions(record, options);
  if (!isDryRun(exchange, options)) {
    await removeDump(app, record);
    audit(app, exchange, "deleted", who.user, record);
  }
  sendJson(exchange, 200, {
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Success",
    details: { name, group: GROUP, kind: RESOURCE, uid: uidOf(record.stem, record.namespace) },
  });
}

/** Delete everything of a namespace that selectors mean. */
export async function deleteCollection({ app, exchange, param, who }: Call): Promise<void> {
  const selects = selectorOf(exchange.query, dumpResource(app));
  const options = tryRecord(await readJson(exchange));
  checkLoaded(app);
  await app.dumps.freshen();
  const dryRun = isDryRun(exchange, options);
  for (const record of app.dumps.index.list(param("namespace"))) {
    if (selects !== undefined && !selects(record)) continue;
    if (dryRun) continue;
    exchange.signal.throwIfAborted();
    if (!(await app.dumps.prove(record.stem))) continue;
    await removeDump(app, record);
    audit(app, exchange, "deleted", who.user, record);
  }
  sendJson(exchange, 200, { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success" });
}

/** Change the one thing that can be changed: whether retention may remove it. */
export async function patchOne({ app, exchange, param, who }: Call): Promise<void> {
  const name = param("name");
  checkPatchType(exchange);
  const keep = readKeep(await readJson(exchange), name);
  const record = await findDump(app, param("namespace"), name);
  if (keep === false && record.keepByPod) throw invalid(name, "the crashed pod's own label keeps it");
  let after = record;
  if (keep !== undefined && keep !== record.keep && !isDryRun(exchange, undefined)) {
    after = await writeKeep(app, record, keep, who.user);
    audit(app, exchange, keep ? "kept" : "not kept any more", who.user, record);
  }
  sendJson(exchange, 200, dumpResource(app).summaryOf(after));
}

/** @throws {ApiError} 415 */
export function checkPatchType({ request }: Exchange): void {
  const type = (request.headers["content-type"] ?? "").split(";")[0]?.trim();
  if (type === "application/merge-patch+json") return;
  throw new ApiError(415, "UnsupportedMediaType", "only application/merge-patch+json is supported", {
    headers: { "accept-patch": "application/merge-patch+json" },
  });
}

/** Remove a dump from the store, the manifest first: no listing ever shows what is half gone. */
export async function removeDump(app: AppContext, record: DumpRecord): Promise<void> {
  const { store, index } = app.dumps;
  await app.board?.post({ kind: "removed", stem: record.stem });
  await store.delete(`${record.stem}${MANIFEST_SUFFIX}`);
  index.remove(record.stem, index.log.next(app.clock.now()));
  try {
    await store.delete(`${record.stem}${BUNDLE_SUFFIX}`);
    await store.delete(`${record.stem}${KEEP_SUFFIX}`);
  } catch (error) {
    // Nobody sees it any more, but its bytes are still there: whoever runs this must know.
    app.log.error("a deleted dump's bundle is left in the store", {
      key: `${record.stem}${BUNDLE_SUFFIX}`,
      reason: reasonOf(error),
    });
    throw error;
  }
}

async function writeKeep(app: AppContext, record: DumpRecord, keep: boolean, user: string): Promise<DumpRecord> {
  const { store, index } = app.dumps;
  const key = `${record.stem}${KEEP_SUFFIX}`;
  await app.board?.post({ kind: keep ? "kept" : "released", stem: record.stem });
  if (keep) {
    const body = Buffer.from(`${JSON.stringify({ by: user, at: new Date(app.clock.now()).toISOString() })}\n`);
    await store.putBytes(key, body, { contentType: "application/json", overwrite: true });
    // Retention looks for the mark right before it deletes: what was gone before the mark was there stays gone.
    if ((await store.head(`${record.stem}${MANIFEST_SUFFIX}`)) === undefined) {
      await store.delete(key);
      throw dumpNotFound(record.name);
    }
  } else await store.delete(key);
  const after = index.pool.changed(record, { keep, revision: index.log.next(app.clock.now()) });
  if (index.byStem(record.stem) !== undefined) index.put(after);
  return after;
}

/** @returns true or false when the patch sets it, undefined when it changes nothing @throws {ApiError} 400, 422 */
function readKeep(body: unknown, name: string): boolean | undefined {
  const patch = tryRecord(body);
  if (patch === undefined) throw badRequest("the patch is no object");
  const { metadata, apiVersion: _version, kind: _kind, ...others } = patch;
  const { labels, name: _name, namespace: _namespace, ...otherMetadata } = tryRecord(metadata) ?? {};
  const { [KEEP_LABEL]: keep, ...otherLabels } = tryRecord(labels) ?? {};
  const [refused] = [...Object.keys(others), ...Object.keys(otherMetadata), ...Object.keys(otherLabels)];
  if (refused !== undefined) throw invalid(name, `only the label ${KEEP_LABEL} can be changed, not ${refused}`);
  if (keep === undefined) return undefined;
  if (keep === null) return false;
  if (keep === "true") return true;
  throw invalid(name, `the label ${KEEP_LABEL} is "true" or not there`);
}

function invalid(name: string, why: string): ApiError {
  return new ApiError(422, "Invalid", `${KIND}.${GROUP} ${JSON.stringify(name)} is invalid: ${why}`, {
    // kubectl shows nothing but the causes.
    details: {
      name,
      group: GROUP,
      kind: KIND,
      causes: [{ reason: "FieldValueForbidden", message: why, field: "metadata" }],
    },
  });
}

/** Whether a request only wants to know what it would do. */
export function isDryRun(exchange: Exchange, options: Record<string, unknown> | undefined): boolean {
  return exchange.query.has("dryRun") || Array.isArray(options?.["dryRun"]);
}

function checkPreconditions(record: DumpRecord, options: Record<string, unknown> | undefined): void {
  const { uid, resourceVersion } = tryRecord(options?.["preconditions"]) ?? {};
  const isOther =
    (uid !== undefined && uid !== null && uid !== uidOf(record.stem, record.namespace)) ||
    (resourceVersion !== undefined && resourceVersion !== null && resourceVersion !== String(record.revision));
  if (isOther) throw new ApiError(409, "Conflict", `precondition failed for ${record.name}: it is another one by now`);
}

/** Say who changed what. */
function audit(app: AppContext, exchange: Exchange, msg: string, user: string, record: DumpRecord): void {
  app.log.info(msg, {
    audit: true,
    user,
    namespace: record.namespace,
    name: record.name,
    from: exchange.remoteAddress,
  });
}
