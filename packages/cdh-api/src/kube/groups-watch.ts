import type { AppContext } from "../call/app-context.ts";
import { viewOf, type ViewedGroup } from "../groups/groups.ts";
import type { Exchange } from "../http/exchange.ts";
import type { Shown } from "./representation.ts";
import type { Selector } from "./selectors.ts";
import { readWatch, streamWatch, tooOld } from "./watch-stream.ts";

/** Groups are looked at this often: a crash loop changes one many times a second, and nobody reads that fast. */
const LOOK_MS = 1000;
/** And all of them, also where nothing has happened: time alone makes an open group of a new one. */
const PHASES_MS = 60_000;

/**
 * Tell a client how groups change until it leaves, or its time is over. What is told is how a group is now; of changes that
 * follow each other within a second the last is told.
 * @throws {ApiError} 410 when it is not known any more which groups are gone since its resource version
 */
export async function watchGroupsOf(
  app: AppContext,
  exchange: Exchange,
  {
    namespace,
    selects,
    shown,
  }: { namespace: string | undefined; selects: Selector<ViewedGroup> | undefined; shown: Shown<ViewedGroup> },
): Promise<void> {
  const { log } = app.dumps.index;
  const { index } = app.groups;
  const { since, wantsEnd, wantsInitial, wantsBookmarks, timeoutMs } = readWatch(exchange.query);
  if (wantsInitial) await Promise.all([app.dumps.freshen(), app.groups.states.freshen()]);
  const now = app.clock.now();
  if (!wantsInitial && since !== 0 && log.since(since, now) === undefined) throw tooOld(since);

  await streamWatch(app, exchange, { timeoutMs, shown }, async (stream) => {
    const { over, alarm, textOf, send, bookmark, fail } = stream;
    const placeOf = ({ group }: ViewedGroup): string => `${group.namespace}/${group.id}`;
    const views = (): ViewedGroup[] => index.list(namespace).map((group) => viewOf(app.groups, group, app.clock.now()));
    const meant = (view: ViewedGroup): boolean => selects === undefined || selects(view);
    // What the client has: which of them it was told, and in which phase, since time alone changes that.
    const told = new Map<string, ViewedGroup["phase"]>();
    let cursor = wantsInitial || since === 0 ? log.last : log.ownOf(since, now);
    const isNews = (view: ViewedGroup): boolean => {
      const before = told.get(placeOf(view));
      return view.group.revision > cursor || (before !== undefined && before !== view.phase);
    };
    const tell = (view: ViewedGroup): string => {
      const place = placeOf(view);
      const was = told.has(place);
      const { revision } = view.group;
      if (meant(view)) {
        told.set(place, view.phase);
        return textOf(was ? "MODIFIED" : "ADDED", view, Math.max(revision, cursor));
      }
      return told.delete(place) ? textOf("DELETED", view, Math.max(revision, cursor)) : "";
    };
    const wait = async (): Promise<void> => {
      const why = await alarm.wait({ signal: over, timeout: { clock: app.clock, ms: LOOK_MS } });
      if (why === "bookmark" && wantsBookmarks) await bookmark(cursor);
    };
    const there = views();
    if (wantsInitial) await send(there.filter(meant), tell);
    else
      for (const view of there)
        if (view.group.createdRevision <= cursor && meant(view)) told.set(placeOf(view), view.phase);
    if (wantsEnd) await bookmark(cursor, { "k8s.io/initial-events-end": "true" });
    // While somebody watches, the store's notices are followed each second.
    const unwatch = app.dumps.index.watch(() => {});
    try {
      let allAt = app.clock.monotonic();
      let seen = 0;
      while (!over.aborted) {
        const isDue = app.clock.monotonic() - allAt >= PHASES_MS;
        if (log.last === seen && !isDue && !index.isBehind(namespace)) {
          await wait();
          continue;
        }
        if (isDue) allAt = app.clock.monotonic();
        seen = log.last;
        const gone = index.goneSince(cursor);
        if (gone === undefined) return await fail(tooOld(cursor));
        const last = log.last;
        const isHere = (one: { group: { namespace: string } }): boolean =>
          namespace === undefined || one.group.namespace === namespace;
        await send(gone.filter(isHere), ({ group, revision }) => {
          const view = viewOf(app.groups, group, app.clock.now());
          return told.delete(placeOf(view)) ? textOf("DELETED", view, revision) : "";
        });
        const changed = index.list(namespace).filter(({ revision }) => isDue || revision > cursor);
        await send(changed.map((group) => viewOf(app.groups, group, app.clock.now())).filter(isNews), tell);
        cursor = Math.max(cursor, last);
        await wait();
      }
    } finally {
      unwatch();
    }
  });
}
