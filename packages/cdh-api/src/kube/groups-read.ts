import { checkLoaded, staleHeaders, type AppContext } from "../call/app-context.ts";
import type { Call } from "../call/call.ts";
import { viewOf, type ViewedGroup } from "../groups/groups.ts";
import { groupNotFound, unavailable } from "../http/api-error.ts";
import { sendInPieces, sendJson } from "../http/send.ts";
import { groupObjectOf } from "./crashgroup.ts";
import { GROUPS } from "./group-resource.ts";
import { watchGroupsOf } from "./groups-watch.ts";
import { badToken, listPieces, numberOf, readToken, selectorOf, writeToken } from "./read.ts";
import { chooseRepresentation, singleObject, type Shown } from "./representation.ts";

/** Where a page of a list begins, and of which revision its first page was. */
interface Continue {
  namespace: string;
  /** Of the group before it: whole seconds since the epoch. */
  last: number;
  id: string;
  revision: number;
}

/** Answer a list of groups, of one namespace or of all of them; in each those seen last come first. */
export async function listGroups({ app, exchange }: Call, namespace: string | undefined): Promise<void> {
  const { query } = exchange;
  checkLoaded(app);
  const shown = shownOf(exchange);
  const selects = selectorOf(query, GROUPS);
  if (query.get("resourceVersion") !== "0") await freshen(app);
  checkStates(app);
  const limit = numberOf(query, "limit");
  const from = readContinue(query.get("continue"));
  const revision = from?.revision ?? app.dumps.index.log.last;
  const chosen = groupsOf(app, namespace)
    .filter((view) => selects === undefined || selects(view))
    .sort(inOrder)
    .filter((view) => from === undefined || isAfter(view, from));
  const page = limit > 0 ? chosen.slice(0, limit) : chosen;
  const last = page.at(-1);
  const remaining = chosen.length - page.length;
  const metadata = {
    resourceVersion: String(revision),
    ...(remaining > 0 && last !== undefined
      ? { continue: writeContinue(last, revision), ...(selects === undefined ? { remainingItemCount: remaining } : {}) }
      : {}),
  };
  const headers = { ...staleHeaders(app), "content-type": "application/json" };
  await sendInPieces(app, exchange, headers, listPieces(shown, metadata, page, app.clock.now()));
}

/** Answer one group. */
export async function getGroup({ app, exchange, param }: Call): Promise<void> {
  checkLoaded(app);
  const shown = shownOf(exchange);
  await freshen(app);
  checkStates(app);
  const view = findGroup(app, param("namespace"), param("name"));
  sendJson(exchange, 200, singleObject(shown, view, groupObjectOf(view), app.clock.now()), staleHeaders(app));
}

/** Answer a watch of groups, of one namespace or of all of them. */
export async function watchGroups({ app, exchange }: Call, namespace: string | undefined): Promise<void> {
  checkLoaded(app);
  const selects = selectorOf(exchange.query, GROUPS);
  if (!app.groups.states.isLoaded) await freshen(app);
  checkStates(app);
  await watchGroupsOf(app, exchange, { namespace, selects, shown: shownOf(exchange) });
}

/** @throws {ApiError} 404 */
export function findGroup(app: AppContext, namespace: string, name: string): ViewedGroup {
  const group = app.groups.index.find(namespace, name);
  if (group === undefined) throw groupNotFound(name);
  return viewOf(app.groups, group, app.clock.now());
}

/** See all groups of a namespace, of all with `undefined`, as they are; in no order. */
export function groupsOf(app: AppContext, namespace: string | undefined): ViewedGroup[] {
  const now = app.clock.now();
  return app.groups.index.list(namespace).map((group) => viewOf(app.groups, group, now));
}

/** What was muted or resolved is never told as open because it was not read yet. @throws {ApiError} 503 */
function checkStates(app: AppContext): void {
  if (!app.groups.states.isLoaded) throw unavailable("what people say about groups is still being read");
}

async function freshen(app: AppContext): Promise<void> {
  await Promise.all([app.dumps.freshen(), app.groups.states.freshen()]);
}

function shownOf({ request, query }: Call["exchange"]): Shown<ViewedGroup> {
  return { ...chooseRepresentation(request.headers.accept, query), resource: GROUPS };
}

type Place = Pick<Continue, "namespace" | "last" | "id">;

const placeOf = ({ group }: ViewedGroup): Place => ({
  namespace: group.namespace,
  last: group.tally.last,
  id: group.id,
});

function compare(a: Place, b: Place): number {
  if (a.namespace !== b.namespace) return a.namespace < b.namespace ? -1 : 1;
  if (a.last !== b.last) return b.last - a.last;
  return a.id === b.id ? 0 : a.id < b.id ? -1 : 1;
}

function inOrder(a: ViewedGroup, b: ViewedGroup): number {
  return compare(placeOf(a), placeOf(b));
}

function isAfter(view: ViewedGroup, from: Continue): boolean {
  return compare(placeOf(view), from) > 0;
}

function writeContinue(view: ViewedGroup, revision: number): string {
  const { namespace, last, id } = placeOf(view);
  return writeToken(["groups", revision, namespace, last, id]);
}

function readContinue(text: string | null): Continue | undefined {
  const parts = readToken(text);
  if (parts === undefined) return undefined;
  const [kind, revision, namespace, last, id] = parts;
  if (
    kind === "groups" &&
    typeof revision === "number" &&
    typeof namespace === "string" &&
    typeof last === "number" &&
    typeof id === "string"
  ) {
    return { revision, namespace, last, id };
  }
  throw badToken();
}
