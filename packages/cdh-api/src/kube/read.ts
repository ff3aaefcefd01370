import { Semaphore } from "@cdh/core/store/semaphore";
import { readStoredManifest } from "../index/store-reader.ts";
import type { DumpRecord } from "../index/dump-record.ts";
import type { Position } from "../index/dump-index.ts";
import { checkLoaded, permit, staleHeaders, type AppContext } from "../http/app-context.ts";
import type { Exchange } from "../http/exchange.ts";
import { Gate } from "../http/gate.ts";
import { sendInPieces, sendJson, sendText } from "../http/send.ts";
import { ApiError, badRequest, dumpNotFound } from "./api-error.ts";
import { detailOf, type Json } from "./coredump.ts";
import {
  chooseRepresentation,
  LIST_END,
  listItem,
  listStart,
  singleObject,
  type Representation,
} from "./representation.ts";
import { parseFieldSelector, parseLabelSelector, tryNameOfFieldSelector, type Selector } from "./selectors.ts";
import { watch } from "./watch.ts";

/**
 * Items that are written at once; the list of a hundred thousand is never a single text. Their text stays below 128 KiB:
 * V8 puts longer ones among the large objects, where garbage gathers until the whole heap is collected.
 */
const ITEMS_AT_ONCE = 40;

/** A list that long is held while it is sent: not many at a time, so that slow readers of everything take no memory. */
const LONG_LIST = 10_000;
const longLists = new Gate(16, "lists that long");

/** A manifest can have megabytes, and as an object several times as many. */
const manifestReads = new Semaphore(4);
const SLICE = 64 * 1024;

/** Where a page of a list begins, and of which revision its first page was. */
interface Continue {
  after: Position;
  revision: number;
}

/** Read the selectors of a request. @throws {ApiError} 400 */
export function selectorOf(query: URLSearchParams): Selector | undefined {
  const labels = query.get("labelSelector");
  const fields = query.get("fieldSelector");
  const selectors = [
    ...(labels === null || labels === "" ? [] : [parseLabelSelector(labels)]),
    ...(fields === null || fields === "" ? [] : [parseFieldSelector(fields)]),
  ];
  return selectors.length === 0 ? undefined : (record) => selectors.every((selects) => selects(record));
}

/** Answer a list or a watch, of one namespace or of all of them. */
export async function listOrWatch(app: AppContext, exchange: Exchange, namespace: string | undefined): Promise<void> {
  const { query } = exchange;
  const isWatch = ["1", "true"].includes(query.get("watch") ?? "");
  const name = tryNameOfFieldSelector(query.get("fieldSelector") ?? undefined);
  await permit(app, exchange, {
    verb: isWatch ? "watch" : "list",
    namespace: namespace ?? "",
    ...(name === undefined ? {} : { name }),
  });
  checkLoaded(app);
  const representation = chooseRepresentation(exchange.request.headers.accept, query);
  const selects = selectorOf(query);
  if (isWatch) return await watch(app, exchange, namespace, selects, representation);

  if (query.get("resourceVersion") !== "0") await app.dumps.freshen();
  const { index } = app.dumps;
  const limit = numberOf(query, "limit");
  const from = readContinue(query.get("continue"));
  const revision = from?.revision ?? index.log.last;
  const { isNewestFirst, since } = orderOf(query);
  const page: DumpRecord[] = [];
  let hasMore = false;
  const records = isNewestFirst ? index.newestFirst(namespace, from?.after, since) : index.list(namespace, from?.after);
  for (const record of records) {
    if (selects !== undefined && !selects(record)) continue;
    if (limit > 0 && page.length === limit) {
      hasMore = true;
      break;
    }
    page.push(record);
  }
  const last = page.at(-1);
  const metadata = {
    resourceVersion: String(revision),
    ...(hasMore && last !== undefined ? { continue: writeContinue({ after: positionOf(last), revision }) } : {}),
    ...(hasMore && selects === undefined && from === undefined
      ? { remainingItemCount: index.count(namespace, since) - page.length }
      : {}),
  };
  const headers = { ...staleHeaders(app), "content-type": "application/json" };
  const pieces = listPieces(representation, metadata, page, app.clock.now());
  const answer = (): Promise<void> => sendInPieces(exchange, headers, pieces, stallMs(app));
  await (page.length < LONG_LIST ? answer() : longLists.run(answer));
}

function* listPieces(
  representation: Representation,
  metadata: Json,
  page: readonly DumpRecord[],
  now: number,
): Generator<string> {
  yield listStart(representation, metadata);
  for (let at = 0; at < page.length; at += ITEMS_AT_ONCE) {
    const items = page
      .slice(at, at + ITEMS_AT_ONCE)
      .map((record) => JSON.stringify(listItem(representation, record, now)));
    yield `${at === 0 ? "" : ","}${items.join(",")}`;
  }
  yield LIST_END;
}

/** Answer one dump, with everything its manifest tells. */
export async function getOne(app: AppContext, exchange: Exchange, namespace: string, name: string): Promise<void> {
  await permit(app, exchange, { verb: "get", namespace, name });
  const representation = chooseRepresentation(exchange.request.headers.accept, exchange.query);
  const record = await findDump(app, namespace, name);
  if (representation.form !== "object") {
    return sendJson(exchange, 200, singleObject(representation, record, {}, app.clock.now()), staleHeaders(app));
  }
  const bytes = await manifestReads.run(async () => {
    const manifest = await readStoredManifest(app.dumps.store, record.stem, exchange.signal);
    return manifest === undefined ? undefined : Buffer.from(`${JSON.stringify(detailOf(record, manifest))}\n`);
  });
  if (bytes === undefined) throw dumpNotFound(name);
  if (bytes.length <= SLICE) return sendText(exchange, 200, "application/json", bytes, staleHeaders(app));
  const headers = { ...staleHeaders(app), "content-type": "application/json" };
  await sendInPieces(exchange, headers, slicesOf(bytes), stallMs(app));
}

function* slicesOf(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += SLICE) yield bytes.subarray(at, at + SLICE);
}

function stallMs(app: AppContext): number {
  return app.settings.stallTimeoutMs;
}

/**
 * Look a dump up by its name, and once more in a fresh listing.
 * @throws {ApiError} 404, 503
 */
export async function findDump(app: AppContext, namespace: string, name: string): Promise<DumpRecord> {
  checkLoaded(app);
  const known = app.dumps.index.find(namespace, name);
  if (known !== undefined) return known;
  await app.dumps.freshen();
  const found = app.dumps.index.find(namespace, name);
  if (found === undefined) throw dumpNotFound(name);
  return found;
}

/**
 * Read how a list is ordered: by namespace as everywhere in Kubernetes, or over all of them with the newest first, which a
 * person wants to see and may end at a time.
 * @throws {ApiError} 400
 */
function orderOf(query: URLSearchParams): { isNewestFirst: boolean; since: number | undefined } {
  const order = query.get("order") ?? "";
  const text = query.get("since") ?? "";
  const since = text === "" ? undefined : Date.parse(text);
  if (order !== "" && order !== "newest") throw badRequest('order is "newest" or not given');
  if (since !== undefined && (Number.isNaN(since) || !/^\d{4}-\d{2}-\d{2}T/.test(text))) {
    throw badRequest("since is not a time such as 2026-11-21T08:00:00Z");
  }
  return { isNewestFirst: order === "newest" || since !== undefined, since };
}

/** Read a number that is not negative; 0 when it is not there. @throws {ApiError} 400 */
export function numberOf(query: URLSearchParams, name: string): number {
  const text = query.get(name);
  if (text === null || text === "") return 0;
  if (!/^\d{1,15}$/.test(text)) throw badRequest(`${name} is not a number`);
  return Number(text);
}

function positionOf(record: DumpRecord): Position {
  return { namespace: record.namespace, crashedAt: record.crashedAt, name: record.name };
}

function writeContinue({ after, revision }: Continue): string {
  return Buffer.from(JSON.stringify([1, revision, after.namespace, after.crashedAt, after.name])).toString("base64url");
}

function readContinue(text: string | null): Continue | undefined {
  if (text === null || text === "") return undefined;
  try {
    const [version, revision, namespace, crashedAt, name] = JSON.parse(
      Buffer.from(text, "base64url").toString(),
    ) as unknown[];
    if (
      version === 1 &&
      typeof revision === "number" &&
      typeof namespace === "string" &&
      typeof crashedAt === "number" &&
      typeof name === "string"
    ) {
      return { after: { namespace, crashedAt, name }, revision };
    }
  } catch {
    // It is not ours: said below.
  }
  throw new ApiError(400, "BadRequest", "continue key is not valid");
}
