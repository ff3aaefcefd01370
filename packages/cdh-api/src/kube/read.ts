import { parseJson } from "@cdh/core/json";
import { chooseMeant, MEANT_MAX_LENGTH, type CrashNames } from "@cdh/core/report/meant";
import { checkLoaded, staleHeaders, type AppContext } from "../call/app-context.ts";
import type { Call } from "../call/call.ts";
import { ApiError, badRequest, dumpNotFound } from "../http/api-error.ts";
import { sendInPieces, sendJson, sendText } from "../http/send.ts";
import type { DumpRecord } from "../index/dump-record.ts";
import { byAge } from "../index/merge.ts";
import { bundleNameOf } from "../index/placement.ts";
import type { Position } from "../index/position.ts";
import { readManifestBytes } from "../index/store-reader.ts";
import { parseInThread } from "../manifests/thread.ts";
import { writeDetail } from "./coredump.ts";
import { dumpResource } from "./dump-resource.ts";
import type { Json } from "./json.ts";
import { chooseRepresentation, LIST_END, listItem, listStart, singleObject, type Shown } from "./representation.ts";
import type { Resource } from "./resource.ts";
import { parseFieldSelector, parseLabelSelector, type Selector } from "./selectors.ts";
import { watch } from "./watch.ts";

/**
 * Characters that are written at once, and one item more; the list of a hundred thousand is never a single text. Their text stays
 * below 128 KiB: V8 puts longer ones among the large objects, where garbage gathers until the whole heap is collected.
 */
const PIECE_CHARS = 32 * 1024;

/** A list of so many dumps is held while it is sent: not many at a time, so that slow readers of everything take no memory. */
export const LONG_LIST = 10_000;
const SLICE = 64 * 1024;

/** Where a page of a list begins, and of which revision its first page was. */
interface Continue {
  after: Position;
  revision: number;
}

/** Read the selectors of a request. @throws {ApiError} 400 */
export function selectorOf<Item>(query: URLSearchParams, resource: Resource<Item>): Selector<Item> | undefined {
  const labels = query.get("labelSelector");
  const fields = query.get("fieldSelector");
  const selectors = [
    ...(labels === null || labels === "" ? [] : [parseLabelSelector(labels, resource)]),
    ...(fields === null || fields === "" ? [] : [parseFieldSelector(fields, resource)]),
  ];
  return selectors.length === 0 ? undefined : (item) => selectors.every((selects) => selects(item));
}

/** Answer a watch, of one namespace or of all of them. */
export async function watchList({ app, exchange }: Call, namespace: string | undefined): Promise<void> {
  checkLoaded(app);
  const shown = shownOf(app, exchange);
  await watch(app, exchange, { namespace, selects: selectorOf(exchange.query, shown.resource), shown });
}

/** Answer a list, of one namespace or of all of them. */
export async function list({ app, exchange }: Call, namespace: string | undefined): Promise<void> {
  const { query } = exchange;
  checkLoaded(app);
  const shown = shownOf(app, exchange);
  const selects = selectorOf(query, shown.resource);
  if (query.get("resourceVersion") !== "0") await app.dumps.freshen();
  const { index } = app.dumps;
  const limit = numberOf(query, "limit");
  const from = readContinue(query.get("continue"));
  const revision = from?.revision ?? index.log.last;
  const { isNewestFirst, since } = orderOf(query);
  const match = matchOf(query);
  const page: DumpRecord[] = [];
  let hasMore = false;
  const isMeant = match !== undefined;
  const records = isMeant
    ? meantBy(app, namespace, match, from?.after)
    : isNewestFirst
      ? index.newestFirst(namespace, from?.after, since)
      : index.list(namespace, from?.after);
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
    ...(hasMore && !isMeant && selects === undefined && from === undefined
      ? { remainingItemCount: index.count(namespace, since) - page.length }
      : {}),
  };
  const headers = { ...staleHeaders(app), "content-type": "application/json" };
  const pieces = listPieces(shown, metadata, page, app.clock.now());
  const answer = (): Promise<void> => sendInPieces(app, exchange, headers, pieces);
  await (page.length < LONG_LIST ? answer() : app.gates.longLists.run(exchange.share, answer));
}

/** Find out in which form dumps are wanted. @throws {ApiError} 406 */
function shownOf(app: AppContext, { request, query }: Call["exchange"]): Shown<DumpRecord> {
  return { ...chooseRepresentation(request.headers.accept, query), resource: dumpResource(app) };
}

/** Write a list, some items at a time; how long one is is for the crashed programs to choose. */
export function* listPieces<Item>(
  shown: Shown<Item>,
  metadata: Json,
  page: readonly Item[],
  now: number,
): Generator<string> {
  yield listStart(shown, metadata);
  let piece = "";
  for (const [at, item] of page.entries()) {
    piece += `${at === 0 ? "" : ","}${JSON.stringify(listItem(shown, item, now))}`;
    if (piece.length < PIECE_CHARS) continue;
    yield piece;
    piece = "";
  }
  if (piece !== "") yield piece;
  yield LIST_END;
}

/** Answer one dump, with everything its manifest tells. */
export async function getOne({ app, exchange, param }: Call): Promise<void> {
  const name = param("name");
  const shown = shownOf(app, exchange);
  await app.dumps.freshen();
  const record = await findDump(app, param("namespace"), name);
  if (shown.form !== "object") {
    return sendJson(exchange, 200, singleObject(shown, record, {}, app.clock.now()), staleHeaders(app));
  }
  const bytes = await app.gates.manifests.run(exchange.share, async () => {
    const manifest = await readManifestBytes(app.dumps.store, record.stem, exchange.signal);
    if (manifest === undefined) return undefined;
    const group = app.groups.index.idOf(record);
    return Buffer.from(writeDetail(record, { group }, await parseInThread("detail", manifest, record.stem)));
  });
  if (bytes === undefined) throw dumpNotFound(name);
  if (bytes.length <= SLICE) return sendText(exchange, 200, "application/json", bytes, staleHeaders(app));
  const headers = { ...staleHeaders(app), "content-type": "application/json" };
  await sendInPieces(app, exchange, headers, slicesOf(bytes));
}

function* slicesOf(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += SLICE) yield bytes.subarray(at, at + SLICE);
}

/**
 * Look a dump up by its name, and once more in a fresh listing.
 * @throws {ApiError} 404, 503
 */
export async function findDump(app: AppContext, namespace: string, name: string): Promise<DumpRecord> {
  checkLoaded(app);
  const known = app.dumps.index.find(namespace, name);
  await (known === undefined ? app.dumps.freshen() : app.dumps.confirm(known.stem));
  const found = app.dumps.index.find(namespace, name);
  if (found === undefined || !(await app.dumps.prove(found.stem))) throw dumpNotFound(name);
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

/** Read what a person calls the dumps that they mean. @throws {ApiError} 400 */
function matchOf(query: URLSearchParams): string | undefined {
  const text = query.get("match") ?? "";
  if (text.length > MEANT_MAX_LENGTH) throw badRequest("match is too long");
  if (text !== "" && query.has("since")) throw badRequest("match and since do not go together");
  return text === "" ? undefined : text;
}

/** Choose the dumps that a person means, the newest first over all namespaces. */
function* meantBy(
  app: AppContext,
  namespace: string | undefined,
  text: string,
  after: Position | undefined,
): Generator<DumpRecord> {
  const namesOf = (record: DumpRecord): CrashNames => ({
    name: record.name,
    bundle: bundleNameOf(record),
    pod: record.podName,
    workload: record.ownerName,
  });
  const { crashes } = chooseMeant(app.dumps.index.newestFirst(namespace), text, namesOf);
  for (const record of crashes) if (after === undefined || byAge(record, after) > 0) yield record;
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
  return writeToken([1, revision, after.namespace, after.crashedAt, after.name]);
}

function readContinue(text: string | null): Continue | undefined {
  const parts = readToken(text);
  if (parts === undefined) return undefined;
  const [version, revision, namespace, crashedAt, name] = parts;
  if (
    version === 1 &&
    typeof revision === "number" &&
    typeof namespace === "string" &&
    typeof crashedAt === "number" &&
    typeof name === "string"
  ) {
    return { after: { namespace, crashedAt, name }, revision };
  }
  throw badToken();
}

/** Write where a list goes on. */
export function writeToken(parts: readonly (string | number)[]): string {
  return Buffer.from(JSON.stringify(parts)).toString("base64url");
}

/** Read what {@link writeToken} wrote; undefined where nothing is given. @throws {ApiError} 400 */
export function readToken(text: string | null): readonly unknown[] | undefined {
  if (text === null || text === "") return undefined;
  try {
    const parts = parseJson(Buffer.from(text, "base64url"));
    if (Array.isArray(parts)) return parts;
  } catch {
    // It is not ours: said below.
  }
  throw badToken();
}

/** Say that a token is none that a list has given. */
export function badToken(): ApiError {
  return new ApiError(400, "BadRequest", "continue key is not valid");
}
