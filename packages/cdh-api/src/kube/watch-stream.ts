import { Alarm } from "@cdh/core/async/alarm";
import { timerMs } from "@cdh/core/clock";
import type { AppContext } from "../call/app-context.ts";
import { ApiError, badRequest } from "../http/api-error.ts";
import type { Exchange } from "../http/exchange.ts";
import { begin, writePiece } from "../http/send.ts";
import { bookmarkObject, watchObject, type Shown } from "./representation.ts";

const BOOKMARK_MS = 60_000;
/** A watch ends after this at the latest: then the client's rights are asked for again. */
const LONGEST_MS = 30 * 60_000;
/** Characters of events that are written at once, and one event more: all that waits for a slow client is one such piece. */
const PIECE_CHARS = 16 * 1024;

/** What a client wants of a watch. */
export interface WatchWish {
  /** The revision that it knows; 0 for none. */
  since: number;
  /** The watch begins with what is there. */
  wantsInitial: boolean;
  /** And is told where that ends. */
  wantsEnd: boolean;
  wantsBookmarks: boolean;
  timeoutMs: number;
}

/** Read what is wanted. @throws {ApiError} 400 */
export function readWatch(query: URLSearchParams): WatchWish {
  const since = revisionOf(query.get("resourceVersion"));
  const wantsEnd = query.get("sendInitialEvents") === "true";
  return {
    since,
    wantsEnd,
    wantsInitial: wantsEnd || (since === 0 && !query.has("sendInitialEvents")),
    wantsBookmarks: ["1", "true"].includes(query.get("allowWatchBookmarks") ?? ""),
    timeoutMs: Math.min(LONGEST_MS, Number(query.get("timeoutSeconds") ?? 0) * 1000 || LONGEST_MS),
  };
}

/** A watch that is open. */
export interface WatchStream<Item> {
  /** Aborted when its time is over or the client is gone. */
  readonly over: AbortSignal;
  readonly alarm: Alarm<"change" | "bookmark">;
  /** Write an event; the first one carries a table's columns. */
  textOf(type: "ADDED" | "MODIFIED" | "DELETED", item: Item, revision: number): string;
  send<T>(items: readonly T[], toText: (item: T) => string): Promise<void>;
  bookmark(revision: number, annotations?: Record<string, string>): Promise<void>;
  /** Tell why the watch ends. */
  fail(error: ApiError): Promise<void>;
}

/**
 * Hold a watch open while its events are told. Nothing gathers for a slow client: it is written to at its own pace.
 * @throws {ApiError} 429
 */
export async function streamWatch<Item>(
  app: AppContext,
  exchange: Exchange,
  { timeoutMs, shown }: { timeoutMs: number; shown: Shown<Item> },
  tell: (stream: WatchStream<Item>) => Promise<void>,
): Promise<void> {
  const { response } = exchange;
  const leave = app.gates.watches.enter(exchange.share);
  response.once("close", leave);
  let isFirst = true;
  const write = (text: string): Promise<void> => writePiece(exchange, text, app.settings.stallTimeoutMs);
  begin(exchange, 200, { "content-type": "application/json" });
  response.flushHeaders();
  const timeUp = new AbortController();
  const timeout = setTimeout(() => timeUp.abort(), timerMs(timeoutMs));
  const alarm = new Alarm<"change" | "bookmark">();
  const timer = setInterval(() => alarm.ring("bookmark"), BOOKMARK_MS);
  try {
    await tell({
      over: AbortSignal.any([exchange.signal, app.stopSignal, timeUp.signal]),
      alarm,
      textOf: (type, item, revision) => {
        const object = watchObject(shown, item, { revision, now: app.clock.now(), isFirst });
        isFirst = false;
        return `${JSON.stringify({ type, object })}\n`;
      },
      send: async (items, toText) => {
        let piece = "";
        for (const item of items) {
          piece += toText(item);
          if (piece.length < PIECE_CHARS) continue;
          await write(piece);
          piece = "";
        }
        if (piece !== "") await write(piece);
      },
      bookmark: async (revision, annotations) => {
        const extra = annotations === undefined ? {} : { annotations };
        const metadata = { resourceVersion: String(revision), creationTimestamp: null, ...extra };
        await write(`${JSON.stringify({ type: "BOOKMARK", object: bookmarkObject(shown, metadata) })}\n`);
      },
      fail: (error) => write(`${JSON.stringify({ type: "ERROR", object: error.toStatus() })}\n`),
    });
  } catch (error) {
    if (!exchange.signal.aborted) throw error;
  } finally {
    clearInterval(timer);
    clearTimeout(timeout);
    leave();
    response.end();
  }
}

/** Say that what happened since a revision is not known any more. */
export function tooOld(revision: number): ApiError {
  return new ApiError(410, "Expired", `too old resource version: ${revision}`);
}

function revisionOf(text: string | null): number {
  if (text === null || text === "") return 0;
  if (!/^\d{1,16}$/.test(text)) throw badRequest("resourceVersion is not valid");
  return Number(text);
}
