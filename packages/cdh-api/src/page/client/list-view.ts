import { formatBytes } from "@cdh/core/units";
import { drawChart } from "./chart.ts";
import { formatTime, stateOf, type Crash } from "./crash.ts";
import { append, h } from "./dom.ts";
import { choose, EVERYTHING, sinceOf, TIMES, valuesOf, type Filter } from "./filter.ts";
import { panel } from "./panels.ts";
import { crashHash } from "./route.ts";
import { VirtualRows } from "./virtual-rows.ts";

/** What the list shows: what is loaded so far, and what is said about it. */
export interface ListState {
  crashes: readonly Crash[];
  /** Still to come, at most; 0 when nothing is being loaded any more. */
  remaining: number;
  /** Whether it is known how many come. */
  isCounted: boolean;
  /** More are there than this page takes: so many in all, or undefined when the server does not say how many. */
  cut: { total: number | undefined } | undefined;
  warning: string;
}

/** The list of crashes with its filters and its chart. */
export class ListView {
  readonly element: HTMLElement = h("div");
  readonly #now: () => number;
  readonly #onFilter: (filter: Filter) => void;
  readonly #rows = new VirtualRows<Crash>((crash, index) => drawRow(crash, index));
  readonly #fields: { [Key in keyof Filter]: HTMLInputElement | HTMLSelectElement };
  readonly #lists = { namespace: h("datalist", { id: "namespaces" }), workload: h("datalist", { id: "workloads" }) };
  readonly #chart = h("div");
  readonly #notice = h("p", { class: "notice", hidden: true, "aria-live": "polite" });
  readonly #count = h("p", { class: "count", "aria-live": "polite" });
  readonly #table = h(
    "table",
    { class: "crashes", "aria-label": "Crashes, newest first" },
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        (
          [
            ["time", "Time (UTC)"],
            ["where", "Namespace/pod"],
            ["container", "Container"],
            ["program", "Program"],
            ["signal", "Signal"],
            ["place", "Where"],
            ["size", "Core"],
            ["state", "State"],
          ] as const
        ).map(([name, title]) => h("th", { scope: "col", class: name }, title)),
      ),
    ),
    this.#rows.body,
  );
  readonly #none = h("div");
  #state: ListState = { crashes: [], remaining: 0, isCounted: true, cut: undefined, warning: "" };
  /** What was seen so far: a list that was filtered by the server does not know what else there is. */
  readonly #known = { namespace: new Set<string>(), workload: new Set<string>(), signal: new Set<string>() };
  #filter: Filter = EVERYTHING;

  constructor(now: () => number, onFilter: (filter: Filter) => void) {
    this.#now = now;
    this.#onFilter = onFilter;
    this.#fields = {
      search: h("input", {
        type: "search",
        id: "search",
        placeholder: "pod, program, function …",
        "aria-keyshortcuts": "/",
      }),
      namespace: h("input", { list: "namespaces", id: "namespace", placeholder: "all", autocomplete: "off" }),
      workload: h("input", { list: "workloads", id: "workload", placeholder: "all", autocomplete: "off" }),
      signal: h("select", { id: "signal" }, h("option", { value: "" }, "all")),
      group: h("input", { id: "group", placeholder: "all", autocomplete: "off" }),
      time: h(
        "select",
        { id: "time" },
        h("option", { value: "" }, "ever"),
        TIMES.map(({ value, words }) => h("option", { value }, words)),
      ),
    };
    for (const field of Object.values(this.#fields)) field.addEventListener("input", () => this.#changed());
    this.element.append(
      h("h1", { class: "unseen" }, "Crashes"),
      h(
        "form",
        { class: "filters", role: "search", on: { submit: (event) => event.preventDefault() } },
        h("label", { class: "wide" }, "Search", this.#fields.search),
        h("label", {}, "Namespace", this.#fields.namespace),
        h("label", {}, "Workload", this.#fields.workload),
        h("label", {}, "Signal", this.#fields.signal),
        h("label", {}, "Bug", this.#fields.group),
        h("label", {}, "Time", this.#fields.time),
        this.#lists.namespace,
        this.#lists.workload,
      ),
      this.#notice,
      this.#chart,
      this.#count,
      this.#table,
      this.#none,
    );
  }

  /** Show other crashes. */
  set(state: ListState): void {
    this.#state = state;
    for (const column of ["namespace", "workload", "signal"] as const)
      for (const value of valuesOf(state.crashes, column)) this.#known[column].add(value);
    fillOptions(this.#lists.namespace, this.#known.namespace);
    fillOptions(this.#lists.workload, this.#known.workload);
    const { signal } = this.#fields;
    const signals = new Set([...this.#known.signal, this.#filter.signal].filter(Boolean));
    const options = [...signals].toSorted().map((name) => h("option", { value: name }, name));
    signal.replaceChildren();
    append(signal, [h("option", { value: "" }, "all"), options]);
    signal.value = this.#filter.signal;
    this.#render();
  }

  /** Others are being asked for: that none is here says nothing yet. */
  expectMore(): void {
    this.#state = { ...this.#state, remaining: Number.POSITIVE_INFINITY, isCounted: false };
    this.#render();
  }

  /** Go on showing what is there, and say what is wrong with it. */
  warn(warning: string): void {
    this.#state = { ...this.#state, remaining: 0, warning };
    this.#render();
  }

  /** Apply a filter from the address. */
  filterBy(filter: Filter): void {
    this.#filter = filter;
    for (const [key, field] of Object.entries(this.#fields)) {
      const value = filter[key as keyof Filter];
      if (field instanceof HTMLSelectElement && value !== "" && ![...field.options].some((one) => one.value === value))
        field.append(h("option", { value }, value));
      if (field.value !== value) field.value = value;
    }
    this.#render();
  }

  /** What is shown. */
  get state(): ListState {
    return this.#state;
  }

  /** What is filtered by now. */
  get filter(): Filter {
    return this.#filter;
  }

  /** Draw what scrolling brought into sight. */
  update(): void {
    this.#rows.update();
  }

  /** Move the focus by so many rows; from outside of the rows, to the first. */
  move(by: number): void {
    const last = choose(this.#state.crashes, this.#filter, this.#now()).length - 1;
    if (last < 0) return;
    const at = this.#rows.focused();
    this.#rows.focus(at === -1 ? (by > 1e6 ? last : 0) : Math.min(last, Math.max(0, at + by)));
  }

  /** Put the focus on the row of a crash; the first when it is not there. */
  focusOn(hash: string | undefined): void {
    const index = choose(this.#state.crashes, this.#filter, this.#now()).findIndex(
      (crash) => crashHash(crash) === hash,
    );
    if (index !== -1) this.#rows.focus(index);
  }

  focusSearch(): void {
    this.#fields.search.focus();
    (this.#fields.search as HTMLInputElement).select();
  }

  #changed(): void {
    this.#filter = Object.fromEntries(
      Object.entries(this.#fields).map(([key, field]) => [key, field.value.trim()]),
    ) as unknown as Filter;
    this.#onFilter(this.#filter);
    this.#render();
  }

  #render(): void {
    const now = this.#now();
    const { crashes, remaining, isCounted, cut, warning } = this.#state;
    const chosen = choose(crashes, this.#filter, now);
    const hasAny = chosen.length > 0;
    this.#notice.hidden = warning === "" && cut === undefined;
    this.#notice.textContent = [warning, cut === undefined ? "" : cutWords(crashes, cut.total)]
      .filter(Boolean)
      .join(" ");
    this.#chart.replaceChildren(...(hasAny ? [drawChart(chosen, sinceOf(this.#filter, now), now)] : []));
    const more = isCounted ? `${remaining.toLocaleString("en")} more` : "more";
    const loading = remaining > 0 ? `, ${more} are being loaded` : "";
    const all = crashes.length.toLocaleString("en");
    this.#count.textContent =
      chosen.length === crashes.length
        ? `${all} ${crashes.length === 1 ? "crash" : "crashes"}${loading}`
        : `${chosen.length.toLocaleString("en")} of ${cut === undefined ? "" : "the newest "}${all} crashes${loading}`;
    this.#count.hidden = crashes.length === 0;
    this.#table.hidden = !hasAny;
    this.#table.setAttribute("aria-rowcount", String(chosen.length + 1));
    this.#none.replaceChildren(...(hasAny || remaining > 0 ? [] : [this.#nothing()]));
    this.#rows.set(chosen);
  }

  #nothing(): HTMLElement {
    if (this.#state.crashes.length === 0 && isEverywhere(this.#filter)) {
      const where = this.#filter.namespace === "" ? "" : ` in ${this.#filter.namespace}`;
      return panel(
        `No crash${where}`,
        h("p", { class: "dim" }, "Nothing has crashed here, or retention has cleaned up."),
      );
    }
    const clear = (): void => {
      this.filterBy(EVERYTHING);
      this.#onFilter(EVERYTHING);
    };
    return panel(
      "None is like that",
      h("p", { class: "dim" }, noneWords(this.#state)),
      h("button", { type: "button", on: { click: clear } }, "Show all"),
    );
  }
}

/** Whether nothing but a namespace is asked for. */
function isEverywhere({ namespace: _namespace, ...others }: Filter): boolean {
  return Object.values(others).every((value) => value === "");
}

function noneWords({ crashes, cut }: ListState): string {
  if (crashes.length === 0) return "No crash fits the filters.";
  const all = crashes.length.toLocaleString("en");
  return `None of ${cut === undefined ? "" : "the newest "}${all} crashes fits the filters.`;
}

/** Say plainly that not everything is here, and how the rest is found. */
function cutWords(crashes: readonly Crash[], total: number | undefined): string {
  const shown = crashes.length.toLocaleString("en");
  const there = total === undefined ? `More than ${shown}` : total.toLocaleString("en");
  const oldest = formatTime(crashes.at(-1)?.time ?? 0).slice(0, 16);
  return `${there} crashes are there. These are the newest ${shown}, back to ${oldest}. Namespace, workload, signal and time ask the server for others; the search looks through these only.`;
}

function fillOptions(list: HTMLDataListElement, values: ReadonlySet<string>): void {
  list.replaceChildren();
  append(list, [[...values].toSorted().map((value) => h("option", { value }))]);
}

function drawRow(crash: Crash, index: number): HTMLTableRowElement {
  const href = crashHash(crash);
  const where = crash.pod === "" ? crash.node || crash.namespace : `${crash.namespace}/${crash.pod}`;
  const row = h(
    "tr",
    { "aria-rowindex": index + 2 },
    h("td", { class: "time" }, h("a", { href }, formatTime(crash.time))),
    h("td", { class: "where", title: `${where}${crash.workload === crash.pod ? "" : ` (${crash.workload})`}` }, where),
    h("td", { class: "container" }, crash.container || "–"),
    h("td", { class: "program", title: crash.program }, crash.program || "–"),
    h("td", { class: "signal" }, crash.signal || "–"),
    h("td", { class: "place", title: crash.place }, crash.place || "–"),
    h("td", { class: "size" }, crash.coreBytes === 0 ? "–" : formatBytes(crash.coreBytes)),
    h("td", { class: `state ${crash.complete ? "good" : "warn"}` }, `${stateOf(crash)}${crash.keep ? " · kept" : ""}`),
  );
  row.addEventListener("click", (event) => {
    if (getSelection()?.isCollapsed !== false && !event.ctrlKey && !event.metaKey) location.hash = href;
  });
  return row;
}
