import type { Report } from "@cdh/core/report/report";
import { Api, ApiError } from "./api.ts";
import { parseCrash, type Crash } from "./crash.ts";
import { drawCrash } from "./crash-view.ts";
import { byId, h } from "./dom.ts";
import { errorPanel, panel, tokenPanel } from "./panels.ts";
import { listenToKeys } from "./keys.ts";
import { ListView } from "./list-view.ts";
import { listHash, parseRoute } from "./route.ts";

const PAGE_ROWS = 500;
/** More than this is of no use to a person, and every row costs memory. */
const ROWS_MAX = 20_000;
/** While more is being loaded, the list is drawn again only so often. */
const REDRAW_MS = 400;

const api = new Api(document.baseURI.replace(/[#?].*$/, ""));
const main = byId("main");
const list = new ListView(
  () => Date.now(),
  (filter) => {
    history.replaceState(null, "", listHash(filter));
    if (filter.namespace !== scope && mustName) void loadList();
  },
);
let crashes: Crash[] | undefined;
/** The namespace that was loaded; empty for all. */
let scope = "";
/** All namespaces at once are refused: one must be named. */
let mustName = false;
let work = new AbortController();
let lastCrash: string | undefined;

async function show(): Promise<void> {
  const route = parseRoute(location.hash);
  work.abort();
  work = new AbortController();
  byId("sign-out").hidden = !api.hasToken;
  byId("status").textContent = "";
  if (route.view === "crash") {
    lastCrash = location.hash;
    return showCrash(route.namespace, route.name);
  }
  document.title = "Crashes";
  list.filterBy(route.filter);
  if (crashes === undefined || (mustName && route.filter.namespace !== scope)) return loadList();
  main.replaceChildren(list.element);
  list.update();
  list.focusOn(lastCrash);
}

async function loadList(): Promise<void> {
  work.abort();
  const { signal } = (work = new AbortController());
  const route = parseRoute(location.hash);
  const namespace = route.view === "list" && mustName ? route.filter.namespace : "";
  if (mustName && namespace === "") return put(list.element);
  if (crashes === undefined) put(panel("Loading …"));
  try {
    await loadPages(namespace, signal);
  } catch (error) {
    if (signal.aborted) return;
    if (!(error instanceof ApiError) || error.status !== 403 || namespace !== "")
      return fail(error, () => void loadList());
    // Not all, but perhaps one: the list stays, and asks for it.
    mustName = true;
    crashes = [];
    list.set({
      crashes,
      remaining: 0,
      isCut: false,
      warning: "You may not list all namespaces at once: name one above.",
    });
    put(list.element);
    if (route.view === "list" && route.filter.namespace !== "") await loadList();
    else document.getElementById("namespace")?.focus();
  }
}

async function loadPages(namespace: string, signal: AbortSignal): Promise<void> {
  const loaded: Crash[] = [];
  let from = "";
  let drawnAt = 0;
  do {
    const page = await api.list(namespace, PAGE_ROWS, from, signal);
    if (signal.aborted) return;
    loaded.push(...page.items.map(parseCrash));
    from = page.continue;
    const isCut = loaded.length >= ROWS_MAX && from !== "";
    if (isCut) from = "";
    if (from !== "" && Date.now() - drawnAt < REDRAW_MS) continue;
    drawnAt = Date.now();
    crashes = loaded;
    scope = namespace;
    list.set({
      crashes: loaded,
      remaining: from === "" ? 0 : Math.max(1, page.remaining),
      isCut,
      warning: page.warning,
    });
    if (!list.element.isConnected) put(list.element);
    list.update();
  } while (from !== "");
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
    api.forgetToken();
    put(tokenPanel(api, refused, () => void show()));
    main.querySelector("input")?.focus();
  } else {
    put(errorPanel(error, again));
    if (parseRoute(location.hash).view === "crash") main.prepend(h("a", { href: "#/" }, "← All crashes"));
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
  list: () => (list.element.isConnected ? list : undefined),
  back: () => {
    if (parseRoute(location.hash).view === "crash") location.hash = listHash(list.filter);
  },
  reload: () => {
    crashes = undefined;
    void show();
  },
});

byId("sign-out").addEventListener("click", () => {
  api.forgetToken();
  crashes = undefined;
  mustName = false;
  void show();
});
byId("help-button").addEventListener("click", () => byId<HTMLDialogElement>("help").showModal());
addEventListener("hashchange", () => void show());
addEventListener("scroll", () => list.element.isConnected && list.update(), { passive: true });
addEventListener("resize", () => list.element.isConnected && list.update());
void show();
