import type { Change } from "../index/change-log.ts";
import type { DumpRecord } from "../index/dump-record.ts";
import type { AppContext } from "../http/app-context.ts";
import type { Exchange } from "../http/exchange.ts";
import { begin, writePiece } from "../http/send.ts";
import { ApiError, badRequest, tooManyRequests } from "./api-error.ts";
import { bookmarkObject, watchObject, type Representation } from "./representation.ts";
import type { Selector } from "./selectors.ts";

const BOOKMARK_MS = 60_000;
/** A watch ends after this at the latest: then the client's rights are asked for again. */
const LONGEST_MS = 30 * 60_000;
/** What may wait for a slow client before it is cut off. */
const BACKLOG_MAX_BYTES = 8 * 1024 * 1024;
const WATCHES_MAX = 1000;

let open = 0;

/**
 * Tell a client of each change until it leaves, or its time is over.
 * @throws {ApiError} 410 when what happened since its resource version is not known any more
 * @see https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
 */
export async function watch(
  app: AppContext,
  exchange: Exchange,
  namespace: string | undefined,
  selects: Selector | undefined,
  representation: Representation,
): Promise<void> {
  const { query, response } = exchange;
  const { index } = app.dumps;
  const since = revisionOf(query.get("resourceVersion"));
  const wantsInitial = query.get("sendInitialEvents") === "true" || (since === 0 && !query.has("sendInitialEvents"));
  const wantsBookmarks = ["1", "true"].includes(query.get("allowWatchBookmarks") ?? "");
  const timeoutMs = Math.min(LONGEST_MS, Number(query.get("timeoutSeconds") ?? 0) * 1000 || LONGEST_MS);
  if (wantsInitial) await app.dumps.freshen();
  const missed = wantsInitial ? [] : since === 0 ? [] : index.log.since(since);
  if (missed === undefined) throw new ApiError(410, "Expired", `too old resource version: ${since}`);
  if (open >= WATCHES_MAX) throw tooManyRequests("too many watches", 5);

  const meant = (record: DumpRecord | undefined): boolean =>
    record !== undefined &&
    (namespace === undefined || record.namespace === namespace) &&
    (selects === undefined || selects(record));
  let isFirst = true;
  const send = (type: string, object: unknown): void => {
    if (response.writableLength > BACKLOG_MAX_BYTES) response.destroy();
    else response.write(`${JSON.stringify({ type, object })}\n`);
  };
  const sendRecord = (type: string, record: DumpRecord, revision: number): void => {
    send(type, watchObject(representation, record, revision, app.clock.now(), isFirst));
    isFirst = false;
  };
  const tell = ({ before, after, revision }: Change): void => {
    const was = meant(before);
    const is = meant(after);
    if (is && after !== undefined) sendRecord(was ? "MODIFIED" : "ADDED", after, revision);
    else if (was && before !== undefined) sendRecord("DELETED", before, revision);
  };
  const bookmark = (annotations?: Record<string, string>): void => {
    const metadata = {
      resourceVersion: String(index.log.last),
      creationTimestamp: null,
      ...(annotations === undefined ? {} : { annotations }),
    };
    send("BOOKMARK", bookmarkObject(representation, metadata));
  };

  open += 1;
  app.metrics.watchers(1);
  begin(exchange, 200, { "content-type": "application/json", "transfer-encoding": "chunked" });
  response.flushHeaders();
  const timer = setInterval(() => {
    if (wantsBookmarks) bookmark();
  }, BOOKMARK_MS);
  // What changes while the beginning is being sent waits for its end. No pause between this and the list: nothing is
  // missed, and nothing comes twice.
  let waiting: Change[] | undefined = [];
  const unwatch = index.watch((change) => {
    if (waiting === undefined) tell(change);
    else waiting.push(change);
  });
  const initial = wantsInitial ? [...index.list(namespace)].filter(meant) : [];
  try {
    for (const [at, record] of initial.entries()) {
      sendRecord("ADDED", record, record.revision);
      if (at % 100 === 99) await writePiece(exchange, "", app.settings.stallTimeoutMs);
    }
    for (const change of missed) tell(change);
    for (const change of waiting) tell(change);
    waiting = undefined;
    if (query.get("sendInitialEvents") === "true") bookmark({ "k8s.io/initial-events-end": "true" });
    await untilOver(app, exchange, timeoutMs);
  } finally {
    unwatch();
    clearInterval(timer);
    open -= 1;
    app.metrics.watchers(-1);
    response.end();
  }
}

async function untilOver(app: AppContext, exchange: Exchange, timeoutMs: number): Promise<void> {
  const over = AbortSignal.any([exchange.signal, app.stopSignal]);
  await app.clock.sleep(timeoutMs, over).catch(() => {});
}

function revisionOf(text: string | null): number {
  if (text === null || text === "") return 0;
  if (!/^\d{1,16}$/.test(text)) throw badRequest("resourceVersion is not valid");
  return Number(text);
}
