import type { AppContext } from "../call/app-context.ts";
import type { Exchange } from "../http/exchange.ts";
import type { Change } from "../index/change-log.ts";
import type { DumpRecord } from "../index/dump-record.ts";
import type { Shown } from "./representation.ts";
import type { Selector } from "./selectors.ts";
import { readWatch, streamWatch, tooOld } from "./watch-stream.ts";

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
  {
    namespace,
    selects,
    shown,
  }: { namespace: string | undefined; selects: Selector<DumpRecord> | undefined; shown: Shown<DumpRecord> },
): Promise<void> {
  const { index } = app.dumps;
  const { since, wantsEnd, wantsInitial, wantsBookmarks, timeoutMs } = readWatch(exchange.query);
  if (wantsInitial) await app.dumps.freshen();
  const missed = wantsInitial || since === 0 ? [] : index.log.since(since, app.clock.now());
  if (missed === undefined) throw tooOld(since);
  const meant = (record: DumpRecord | undefined): boolean =>
    record !== undefined &&
    (namespace === undefined || record.namespace === namespace) &&
    (selects === undefined || selects(record));

  await streamWatch(app, exchange, { timeoutMs, shown }, async ({ over, alarm, textOf, send, bookmark, fail }) => {
    const tell = ({ before, after, revision }: Change): string => {
      const was = meant(before);
      const is = meant(after);
      if (is && after !== undefined) return textOf(was ? "MODIFIED" : "ADDED", after, revision);
      return was && before !== undefined ? textOf("DELETED", before, revision) : "";
    };
    const unwatch = index.watch(() => alarm.ring("change"));
    // What changes while the beginning is being sent has a later revision: it is left out there, and told afterwards.
    let cursor = index.log.last;
    const isThere = (record: DumpRecord): boolean => meant(record) && record.revision <= cursor;
    try {
      for (let page = wantsInitial ? index.page(namespace, undefined, PAGE) : []; page.length > 0;) {
        await send(page.filter(isThere), (record) => textOf("ADDED", record, record.revision));
        page = index.page(namespace, page.at(-1), PAGE);
      }
      await send(missed, tell);
      if (wantsEnd) await bookmark(cursor, { "k8s.io/initial-events-end": "true" });
      while (!over.aborted) {
        const changes = index.log.after(cursor);
        if (changes === undefined) return await fail(tooOld(cursor));
        await send(changes, tell);
        cursor = changes.at(-1)?.revision ?? cursor;
        if (changes.length > 0) continue;
        cursor = Math.max(cursor, index.log.last);
        if ((await alarm.wait({ signal: over })) === "bookmark" && wantsBookmarks) await bookmark(cursor);
      }
    } finally {
      unwatch();
    }
  });
}
