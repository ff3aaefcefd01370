import { agoWords } from "./ago.ts";
import { ANY_BUG, chooseBugs, isSettled, PHASES, type Bug, type BugFilter, type Seen } from "./bug.ts";
import { append, h } from "./dom.ts";
import { panel } from "./panels.ts";
import { bugHash, crashesHash } from "./route.ts";
import { drawSparkline } from "./sparkline.ts";
import { VirtualRows } from "./virtual-rows.ts";

/** Days of a sparkline. */
const DAYS = 30;

/** What the list of groups shows. */
export interface BugsState {
  bugs: readonly Bug[];
  isLoading: boolean;
  /** More are there than this page takes. */
  isCut: boolean;
  warning: string;
}

const COLUMNS = [
  ["phase", "State"],
  ["what", "What"],
  ["spark", `${DAYS} days`],
  ["count", "Crashes"],
  ["seen", "Last seen"],
  ["seen first", "First seen"],
  ["signal", "Signal"],
  ["workload", "Workload"],
  ["image", "First image"],
  ["node", "Nodes"],
] as const;

/** The list of groups: one line for each bug. */
export class BugsView {
  readonly element: HTMLElement = h("div");
  readonly #now: () => number;
  readonly #onFilter: (filter: BugFilter) => void;
  readonly #rows = new VirtualRows<Bug>((bug, index) => drawRow(bug, index, this.#now()));
  readonly #fields: { [Key in keyof BugFilter]: HTMLInputElement | HTMLSelectElement };
  readonly #namespaces = h("datalist", { id: "bug-namespaces" });
  readonly #notice = h("p", { class: "notice", hidden: true, "aria-live": "polite" });
  readonly #count = h("p", { class: "count", "aria-live": "polite" });
  readonly #table = h(
    "table",
    { class: "crashes bugs", "aria-label": "Bugs: those that came back and new ones first" },
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        COLUMNS.map(([name, title]) => h("th", { scope: "col", class: name }, title)),
      ),
    ),
    this.#rows.body,
  );
  readonly #none = h("div");
  #state: BugsState = { bugs: [], isLoading: true, isCut: false, warning: "" };
  #filter: BugFilter = ANY_BUG;
  #known = new Set<string>();

  constructor(now: () => number, onFilter: (filter: BugFilter) => void) {
    this.#now = now;
    this.#onFilter = onFilter;
    this.#fields = {
      search: h("input", {
        type: "search",
        id: "search",
        placeholder: "function, program, image, node …",
        "aria-keyshortcuts": "/",
      }),
      namespace: h("input", { list: "bug-namespaces", id: "namespace", placeholder: "all", autocomplete: "off" }),
      phase: h(
        "select",
        { id: "phase" },
        h("option", { value: "" }, "not settled"),
        PHASES.map((phase) => h("option", { value: phase }, phase)),
        h("option", { value: "all" }, "all"),
      ),
    };
    for (const field of Object.values(this.#fields)) field.addEventListener("input", () => this.#changed());
    this.element.append(
      h("h1", { class: "unseen" }, "Bugs"),
      h(
        "form",
        { class: "filters", role: "search", on: { submit: (event) => event.preventDefault() } },
        h("label", { class: "wide" }, "Search", this.#fields.search),
        h("label", {}, "Namespace", this.#fields.namespace),
        h("label", {}, "State", this.#fields.phase),
        this.#namespaces,
      ),
      this.#notice,
      this.#count,
      this.#table,
      this.#none,
    );
  }

  /** Show other groups. */
  set(state: BugsState): void {
    this.#state = state;
    for (const { namespace } of state.bugs) this.#known.add(namespace);
    this.#namespaces.replaceChildren();
    append(this.#namespaces, [[...this.#known].toSorted().map((value) => h("option", { value }))]);
    this.#render();
  }

  /** Go on showing what is there, and say what is wrong with it. */
  warn(warning: string): void {
    this.set({ ...this.#state, isLoading: false, warning });
  }

  /** Others are being asked for: that none is here says nothing yet. */
  expectMore(): void {
    this.set({ ...this.#state, isLoading: true });
  }

  /** Apply a filter from the address. */
  filterBy(filter: BugFilter): void {
    this.#filter = filter;
    for (const [key, field] of Object.entries(this.#fields)) {
      const value = filter[key as keyof BugFilter];
      if (field.value !== value) field.value = value;
    }
    this.#render();
  }

  /** What is filtered by now. */
  get filter(): BugFilter {
    return this.#filter;
  }

  /** Draw what scrolling brought into sight. */
  update(): void {
    this.#rows.update();
  }

  /** Move the focus by so many rows; from outside of the rows, to the first. */
  move(by: number): void {
    const last = this.#chosen().length - 1;
    if (last < 0) return;
    const at = this.#rows.focused();
    this.#rows.focus(at === -1 ? (by > 1e6 ? last : 0) : Math.min(last, Math.max(0, at + by)));
  }

  /** Put the focus on the row of a group. */
  focusOn(hash: string | undefined): void {
    const index = this.#chosen().findIndex((bug) => bugHash(bug) === hash);
    if (index !== -1) this.#rows.focus(index);
  }

  focusSearch(): void {
    this.#fields.search.focus();
    (this.#fields.search as HTMLInputElement).select();
  }

  #chosen(): Bug[] {
    return chooseBugs(this.#state.bugs, this.#filter);
  }

  #changed(): void {
    this.#filter = Object.fromEntries(
      Object.entries(this.#fields).map(([key, field]) => [key, field.value.trim()]),
    ) as unknown as BugFilter;
    this.#onFilter(this.#filter);
    this.#render();
  }

  #render(): void {
    const { bugs, isLoading, isCut, warning } = this.#state;
    const chosen = this.#chosen();
    const cut = isCut
      ? `More bugs are there: these are ${bugs.length.toLocaleString("en")}. A namespace asks the server for others.`
      : "";
    this.#notice.textContent = [warning, cut].filter(Boolean).join(" ");
    this.#notice.hidden = this.#notice.textContent === "";
    this.#count.textContent = countWords(bugs, chosen, this.#filter) + (isLoading ? ", more are being loaded" : "");
    this.#count.hidden = bugs.length === 0;
    this.#table.hidden = chosen.length === 0;
    this.#table.setAttribute("aria-rowcount", String(chosen.length + 1));
    this.#none.replaceChildren(...(chosen.length > 0 || isLoading ? [] : [this.#nothing()]));
    this.#rows.set(chosen);
  }

  #nothing(): HTMLElement {
    const crashes = h(
      "p",
      {},
      h("a", { href: crashesHash({ namespace: this.#filter.namespace }) }, "All crashes, one by one"),
    );
    if (this.#state.bugs.length === 0) {
      const where = this.#filter.namespace === "" ? "" : ` in ${this.#filter.namespace}`;
      return panel(
        `No crash${where}`,
        h("p", { class: "dim" }, "Nothing has crashed here, or retention has cleaned up."),
        crashes,
      );
    }
    const clear = (): void => {
      const all = { ...ANY_BUG, phase: "all" };
      this.filterBy(all);
      this.#onFilter(all);
    };
    return panel("None is like that", h("button", { type: "button", on: { click: clear } }, "Show all"), crashes);
  }
}

function countWords(bugs: readonly Bug[], chosen: readonly Bug[], { phase }: BugFilter): string {
  const words = (count: number): string => `${count.toLocaleString("en")} ${count === 1 ? "bug" : "bugs"}`;
  const shown =
    chosen.length === bugs.length
      ? words(bugs.length)
      : `${chosen.length.toLocaleString("en")} of ${words(bugs.length)}`;
  const settled = phase === "" ? bugs.filter(isSettled).length : 0;
  return settled === 0 ? shown : `${shown}; ${settled} resolved or muted`;
}

function drawRow(bug: Bug, index: number, now: number): HTMLTableRowElement {
  const href = bugHash(bug);
  const row = h(
    "tr",
    { "aria-rowindex": index + 2 },
    h("td", { class: "phase" }, h("span", { class: `badge ${bug.phase}` }, bug.phase)),
    h(
      "td",
      { class: "what", title: bug.summary },
      h("a", { href }, bug.what),
      " ",
      h("span", { class: "dim" }, bug.namespace),
    ),
    h("td", { class: "spark" }, drawSparkline(bug.days, DAYS, now)),
    h("td", { class: "count" }, bug.count.toLocaleString("en")),
    h("td", { class: "seen", title: timeTitle(bug.last) }, agoWords(bug.last, now)),
    h("td", { class: "seen first", title: timeTitle(bug.first) }, agoWords(bug.first, now)),
    h("td", { class: "signal" }, firstOf(bug.signals)),
    h("td", { class: "workload" }, firstOf(bug.workloads)),
    h("td", { class: "image", title: bug.images[0]?.name ?? "" }, shortImage(firstOf(bug.images))),
    h("td", { class: "node" }, firstOf(bug.nodes)),
  );
  row.addEventListener("click", (event) => {
    if (getSelection()?.isCollapsed !== false && !event.ctrlKey && !event.metaKey) location.hash = href;
  });
  return row;
}

function timeTitle(time: number): string {
  return time === 0 ? "" : new Date(time).toISOString();
}

/** The first of a list, and how many more there are. */
function firstOf(seen: readonly Seen[]): string {
  const [first] = seen;
  if (first === undefined) return "–";
  return seen.length === 1 ? first.name : `${first.name} +${seen.length - 1}`;
}

/** An image's name without its registry and folders: the version tells. */
function shortImage(image: string): string {
  return image.slice(image.lastIndexOf("/") + 1);
}
