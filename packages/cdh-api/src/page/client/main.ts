import type { Report } from "@cdh/core/report/report";
import { Api, ApiError } from "./api.ts";
import { BUG_CRASHES, drawBug } from "./bug-view.ts";
import { parseBug, type Bug } from "./bug.ts";
import { BugsPage } from "./bugs-page.ts";
import { drawCrash } from "./crash-view.ts";
import { parseCrash, type Crash } from "./crash.ts";
import { byId, h } from "./dom.ts";
import { covers, queryOf, type Query } from "./filter.ts";
import { listenToKeys } from "./keys.ts";
import { ListView, type ListState } from "./list-view.ts";
import { errorPanel, panel, tokenPanel } from "./panels.ts";
import { bugsHash, crashesHash, parseRoute } from "./route.ts";

/** The first page is small, so that something shows at once. */
const FIRST_ROWS = 500;
const PAGE_ROWS = 2500;
/** More than this is of no use to a person, and every row costs memory. */
const ROWS_MAX = 20_000;
/** While more is being loaded: shortest time between two drawings of the list. */
const REDRAW_MS = 400;
/** A name is typed letter by letter: the server is asked when the hand rests. */
const REST_MS = 350;

const api = new Api(document.baseURI.replace(/[#?].*$/, ""));
const main = byId("main");
let resting: ReturnType<typeof setTimeout> | undefined;
const list = new ListView(
  () => Date.now(),
  (filter) => {
    history.replaceState(null, "", crashesHash(filter));
    clearTimeout(resting);
    if (isHere(queryOf(filter))) return present();
    list.expectMore();
    resting = setTimeout(() => void loadList(), REST_MS);
  },
);
const bugs = new BugsPage(
  api,
  () => Date.now(),
  (error) => fail(error, () => void show()),
);
/** What is loaded, and what the server was asked for then. */
let loaded: { query: Query; state: ListState } | undefined;
let work = new AbortController();
let lastCrash: string | undefined;
let lastBug: string | undefined;

/** Whether what is wanted is among what is loaded. */
function isHere(wanted: Query): boolean {
  if (loaded === undefined) return false;
  return loaded.state.cut !== undefined
    ? JSON.stringify(loaded.query) === JSON.stringify(wanted)
    : covers(loaded.query, wanted);
}

/** Show what is loaded, in place of what was on its way. */
function present(): void {
  work.abort();
  if (loaded !== undefined && list.state !== loaded.state) list.set(loaded.state);
}

async function show(): Promise<void> {
  const route = parseRoute(location.hash);
  clearTimeout(resting);
  work.abort();
  work = new AbortController();
  byId("sign-out").hidden = !api.hasToken;
  byId("status").textContent = "";
  bugs.leave();
  markTab(route.view);
  if (route.view === "crash") {
    lastCrash = location.hash;
    return showCrash(route.namespace, route.name);
  }
  if (route.view === "bug") {
    lastBug = location.hash;
    return showBug(route.namespace, route.name);
  }
  if (route.view === "bugs") {
    document.title = "Bugs";
    main.replaceChildren(bugs.view.element);
    await bugs.show(route.filter);
    if (location.hash !== lastBug) bugs.view.focusOn(lastBug);
    return;
  }
  document.title = "Crashes";
  list.filterBy(route.filter);
  if (!isHere(queryOf(route.filter))) return loadList();
  present();
  main.replaceChildren(list.element);
  list.update();
  list.focusOn(lastCrash);
}

async function loadList(): Promise<void> {
  work.abort();
  const { signal } = (work = new AbortController());
  const route = parseRoute(location.hash);
  if (route.view !== "list") return;
  const query = queryOf(route.filter);
  if (loaded === undefined && !list.element.isConnected) put(panel("Loading …"));
  try {
    await loadPages(query, signal);
  } catch (error) {
    if (signal.aborted) return;
    if (error instanceof ApiError && error.status === 403) refuse(query.namespace);
    else if (loaded !== undefined && error instanceof ApiError && error.status !== 401) list.warn(staleWords(error));
    else fail(error, () => void show());
  }
}

/** Not this, but perhaps another namespace: the list stays, and asks for it. */
function refuse(namespace: string): void {
  loaded = undefined;
  const all = "You may not list all namespaces at once: name one above.";
  const one = `You may not list the crashes of ${namespace}: name another namespace above.`;
  list.set({ crashes: [], remaining: 0, isCounted: true, cut: undefined, warning: namespace === "" ? all : one });
  if (list.element.isConnected) return;
  put(list.element);
  document.getElementById("namespace")?.focus();
}

function staleWords(error: ApiError): string {
  return `${error.message.replace(/[.]?$/, ".")} This is what was loaded before.`;
}

async function loadPages(query: Query, signal: AbortSignal): Promise<void> {
  const crashes: Crash[] = [];
  const now = Date.now();
  let from = "";
  let drawnAt = 0;
  let total: number | undefined;
  do {
    const limit = from === "" ? FIRST_ROWS : Math.min(PAGE_ROWS, ROWS_MAX - crashes.length);
    const page = await api.list({ query, limit, from, now }, signal);
    if (signal.aborted) return;
    for (const item of page.items) crashes.push(parseCrash(item));
    if (page.remaining !== undefined) total = crashes.length + page.remaining;
    from = page.continue;
    const isCut = crashes.length >= ROWS_MAX && from !== "";
    if (isCut) from = "";
    if (from !== "" && Date.now() - drawnAt < REDRAW_MS) continue;
    drawnAt = Date.now();
    const state = {
      crashes,
      remaining: from === "" ? 0 : Math.min(total ?? Number.POSITIVE_INFINITY, ROWS_MAX) - crashes.length,
      isCounted: total !== undefined,
      cut: isCut ? { total } : undefined,
      warning: page.warning,
    };
    if (from === "") loaded = { query, state };
    list.set(state);
    if (!list.element.isConnected) put(list.element);
    list.update();
  } while (from !== "");
}

/** Say which of the two lists is shown. */
function markTab(view: string): void {
  for (const [id, isShown] of [
    ["bugs-tab", view === "bugs" || view === "bug"],
    ["crashes-tab", view === "list" || view === "crash"],
  ] as const)
    byId(id).toggleAttribute("data-here", isShown);
}

async function showBug(namespace: string, name: string): Promise<void> {
  const { signal } = work;
  put(panel("Loading …"));
  try {
    const answer = await api.ask(api.bugPathOf({ namespace, name }), {
      headers: { accept: "application/json" },
      signal,
    });
    const bug = parseBug(await answer.json());
    const crashes = await newestOf(bug, signal);
    const draw = (now: Bug): void => {
      // What is said about it stands in the list too: it is loaded anew.
      if (now !== bug) bugs.reset();
      put(drawBug(api, { bug: now, crashes, now: Date.now() }, draw, tell));
    };
    draw(bug);
    const title = main.querySelector("h1");
    document.title = title?.textContent ?? "Bug";
    title?.focus();
  } catch (error) {
    if (!signal.aborted) fail(error, () => void show());
  }
}

/** Crashes and groups are different rights: who may not list crashes sees the bug without them. */
async function newestOf({ namespace, name }: Bug, signal: AbortSignal): Promise<unknown[]> {
  const query = { namespace, workload: "", signal: "", group: name, time: "" };
  try {
    return (await api.list({ query, limit: BUG_CRASHES, from: "", now: Date.now() }, signal)).items;
  } catch (error) {
    if (error instanceof ApiError && error.status === 403) return [];
    throw error;
  }
}

async function showCrash(namespace: string, name: string): Promise<void> {
  const { signal } = work;
  put(panel("Loading …"));
  try {
    const answer = await api.ask(api.pathOf({ namespace, name }, "report"), {
      headers: { accept: "application/json" },
      signal,
    });
    const report = (await answer.json()) as Report;
    const view = drawCrash(api, { namespace, name, report, now: Date.now() }, tell);
    put(view);
    const title = view.querySelector("h1");
    document.title = title?.textContent ?? "Crash";
    title?.focus();
  } catch (error) {
    if (!signal.aborted) fail(error, () => void show());
  }
}

function fail(error: unknown, again: () => void): void {
  if (error instanceof ApiError && error.status === 401) {
    const refused = api.hasToken;
    // Whoever comes next must not see what was loaded for the one before.
    loaded = undefined;
    bugs.reset();
    api.forgetToken();
    put(tokenPanel(api, refused, () => void show()));
    main.querySelector("input")?.focus();
  } else {
    put(errorPanel(error, again));
    const { view } = parseRoute(location.hash);
    if (view === "crash") main.prepend(h("a", { href: crashesHash({}) }, "← All crashes"));
    if (view === "bug") main.prepend(h("a", { href: "#/" }, "← All bugs"));
  }
  byId("sign-out").hidden = !api.hasToken;
}

function put(element: HTMLElement): void {
  main.replaceChildren(element);
  scrollTo({ top: 0 });
}

function tell(text: string): void {
  byId("status").textContent = text;
}

listenToKeys({
  list: () => (list.element.isConnected ? list : bugs.view.element.isConnected ? bugs.view : undefined),
  back: () => {
    const { view } = parseRoute(location.hash);
    if (view === "crash") location.hash = crashesHash(list.filter);
    if (view === "bug") location.hash = bugsHash(bugs.view.filter);
  },
  reload: () => {
    loaded = undefined;
    bugs.reset();
    void show();
  },
});

byId("sign-out").addEventListener("click", () => {
  api.forgetToken();
  loaded = undefined;
  bugs.reset();
  void show();
});
byId("help-button").addEventListener("click", () => byId<HTMLDialogElement>("help").showModal());
addEventListener("hashchange", () => void show());
const redraw = (): void => {
  if (list.element.isConnected) list.update();
  if (bugs.view.element.isConnected) bugs.view.update();
};
addEventListener("scroll", redraw, { passive: true });
addEventListener("resize", redraw);
void show();
