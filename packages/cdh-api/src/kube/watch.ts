import { Alarm } from "@cdh/core/async/alarm";
import { timerMs } from "@cdh/core/clock";
import type { AppContext } from "../call/app-context.ts";
import { ApiError, badRequest } from "../http/api-error.ts";
import type { Exchange } from "../http/exchange.ts";
import { begin, writePiece } from "../http/send.ts";
import type { Change } from "../index/change-log.ts";
import type { DumpRecord } from "../index/dump-record.ts";
import { bookmarkObject, watchObject, type Representation } from "./representation.ts";
import type { Selector } from "./selectors.ts";

const BOOKMARK_MS = 60_000;
/** A watch ends after this at the latest: then the client's rights are asked for again. */
const LONGEST_MS = 30 * 60_000;
/** Events that are written at once; all that waits for a slow client is one such piece. */
const EVENTS_AT_ONCE = 20;

/** Dumps of the beginning that are looked at together: nobody holds a copy of the whole list. */
const PAGE = 200;

/**
 * Tell a client of each change until it leaves, or its time is over. Nothing gathers for a slow one: it reads the index's
 * own log at its own pace, and one that falls behind even that is told so (410).
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
  const wantsEnd = query.get("sendInitialEvents") === "true";
  const wantsInitial = wantsEnd || (since === 0 && !query.has("sendInitialEvents"));
  const wantsBookmarks = ["1", "true"].includes(query.get("allowWatchBookmarks") ?? "");
  const timeoutMs = Math.min(LONGEST_MS, Number(query.get("timeoutSeconds") ?? 0) * 1000 || LONGEST_MS);
  if (wantsInitial) await app.dumps.freshen();
  const missed = wantsInitial || since === 0 ? [] : index.log.since(since, app.clock.now());
  if (missed === undefined) throw tooOld(since);
  const leave = app.gates.watches.enter(exchange.share);
  response.once("close", leave);

  const meant = (record: DumpRecord | undefined): boolean =>
    record !== undefined &&
    (namespace === undefined || record.namespace === namespace) &&
    (selects === undefined || selects(record));
  let isFirst = true;
  const textOf = (type: string, record: DumpRecord, revision: number): string => {
    const object = watchObject(representation, record, revision, app.clock.now(), isFirst);
    isFirst = false;
    return `${JSON.stringify({ type, object })}\n`;
  };
  const tell = ({ before, after, revision }: Change): string => {
    const was = meant(before);
    const is = meant(after);
    if (is && after !== undefined) return textOf(was ? "MODIFIED" : "ADDED", after, revision);
    return was && before !== undefined ? textOf("DELETED", before, revision) : "";
  };
  const send = async <T>(items: readonly T[], toText: (item: T) => string): Promise<void> => {
    for (let at = 0; at < items.length; at += EVENTS_AT_ONCE) {
      const text = items
        .slice(at, at + EVENTS_AT_ONCE)
        .map(toText)
        .join("");
      if (text !== "") await writePiece(exchange, text, app.settings.stallTimeoutMs);
    }
  };
  const bookmark = async (annotations?: Record<string, string>): Promise<void> => {
    const extra = annotations === undefined ? {} : { annotations };
    const metadata = { resourceVersion: String(cursor), creationTimestamp: null, ...extra };
    const event = { type: "BOOKMARK", object: bookmarkObject(representation, metadata) };
    await writePiece(exchange, `${JSON.stringify(event)}\n`, app.settings.stallTimeoutMs);
  };

  begin(exchange, 200, { "content-type": "application/json" });
  response.flushHeaders();
  const timeUp = new AbortController();
  const timeout = setTimeout(() => timeUp.abort(), timerMs(timeoutMs));
  const over = AbortSignal.any([exchange.signal, app.stopSignal, timeUp.signal]);
  const alarm = new Alarm<"change" | "bookmark">();
  const unwatch = index.watch(() => alarm.ring("change"));
  const timer = setInterval(() => alarm.ring("bookmark"), BOOKMARK_MS);
  // What changes while the beginning is being sent has a later revision: it is left out there, and told afterwards.
  let cursor = index.log.last;
  const isThere = (record: DumpRecord): boolean => meant(record) && record.revision <= cursor;
  try {
    for (let page = wantsInitial ? index.page(namespace, undefined, PAGE) : []; page.length > 0;) {
      await send(page.filter(isThere), (record) => textOf("ADDED", record, record.revision));
      page = index.page(namespace, page.at(-1), PAGE);
    }
    await send(missed, tell);
    if (wantsEnd) await bookmark({ "k8s.io/initial-events-end": "true" });
    while (!over.aborted) {
      const changes = index.log.after(cursor);
      if (changes === undefined) {
        const event = { type: "ERROR", object: tooOld(cursor).toStatus() };
        return void (await writePiece(exchange, `${JSON.stringify(event)}\n`, app.settings.stallTimeoutMs));
      }
      await send(changes, tell);
      cursor = changes.at(-1)?.revision ?? cursor;
      if (changes.length > 0) continue;
      cursor = Math.max(cursor, index.log.last);
      if ((await alarm.wait({ signal: over })) === "bookmark" && wantsBookmarks) await bookmark();
    }
  } catch (error) {
    if (!exchange.signal.aborted) throw error;
  } finally {
    unwatch();
    clearInterval(timer);
    clearTimeout(timeout);
    leave();
    response.end();
  }
}

function tooOld(revision: number): ApiError {
  return new ApiError(410, "Expired", `too old resource version: ${revision}`);
}

function revisionOf(text: string | null): number {
  if (text === null || text === "") return 0;
  if (!/^\d{1,16}$/.test(text)) throw badRequest("resourceVersion is not valid");
  return Number(text);
}
