import { agoWords } from "./ago.ts";
import { ApiError, type Api } from "./api.ts";
import { parseBug, type Bug, type Seen } from "./bug.ts";
import { formatTime, parseCrash, stateOf } from "./crash.ts";
import { h, type Child } from "./dom.ts";
import { bugsHash, crashesHash, crashHash } from "./route.ts";
import { drawSparkline } from "./sparkline.ts";

const DAYS = 90;
/** Crashes that are listed below a group. */
export const BUG_CRASHES = 20;

/** What a group's page is made of. */
export interface BugPage {
  bug: Bug;
  /** Objects of its newest crashes. */
  crashes: readonly unknown[];
  now: number;
}

/** Draw a group: what it is, what people say about it, its versions, nodes and newest crashes. @param tell says something to the person */
export function drawBug(api: Api, page: BugPage, again: (bug: Bug) => void, tell: (text: string) => void): HTMLElement {
  const { bug, now } = page;
  const best = bug.newestWhole || bug.newest;
  return h(
    "article",
    { class: "crash" },
    h("a", { href: bugsHash({ namespace: "" }) }, "← All bugs"),
    h("h1", { tabindex: -1 }, bug.what),
    h("p", { class: "who" }, h("span", { class: `badge ${bug.phase}` }, bug.phase), ` ${bug.namespace} · ${bug.name}`),
    bug.summary === "" ? undefined : h("p", { class: "meaning" }, bug.summary),
    h(
      "div",
      { class: "actions" },
      best === ""
        ? undefined
        : h(
            "a",
            { class: "button first", href: crashHash({ namespace: bug.namespace, name: best }) },
            bug.newestWhole === "" ? "Newest crash" : "Newest whole core",
          ),
      best === ""
        ? undefined
        : h(
            "a",
            { class: "button", href: crashesHash({ namespace: bug.namespace, group: bug.name }) },
            `Its ${bug.count.toLocaleString("en")} crashes`,
          ),
    ),
    drawState(api, bug, again, tell),
    h("h2", {}, "Seen"),
    drawSparkline(bug.days, DAYS, now),
    h("dl", { class: "facts" }, factsOf(bug, now)),
    drawSeen(bug, "Versions", "Image", bug.images, now),
    drawSeen(bug, "Nodes", "Node", bug.nodes, now),
    drawSeen(bug, "Workloads", "Workload", bug.workloads, now),
    drawCrashes(page),
  );
}

function factsOf(bug: Bug, now: number): Child[] {
  const when = (time: number): string => (time === 0 ? "not known" : `${formatTime(time)} UTC, ${agoWords(time, now)}`);
  const facts: [string, string][] = [
    ["First", when(bug.first)],
    ["Last", when(bug.last)],
    ["Back after", bug.quietDays === 0 ? "" : `${bug.quietDays} days without it`],
    ["Crashes", `${bug.count.toLocaleString("en")}, ${bug.wholeCores.toLocaleString("en")} with a whole core`],
    [
      "Only counted",
      bug.countedOnly === 0 ? "" : `${bug.countedOnly.toLocaleString("en")}: enough cores of the same place are kept`,
    ],
    ["Signals", bug.signals.map(({ name }) => name).join(", ")],
    ["Programs", bug.executables.map(({ name }) => name).join(", ")],
    ["Said by", bug.stateBy === "" ? "" : `${bug.stateBy}, ${bug.stateAt}`],
    ["Note", bug.note],
  ];
  return facts.filter(([, value]) => value !== "").flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]);
}

/** Buttons for whoever may use them; who may not is told by the server. */
function drawState(api: Api, bug: Bug, again: (bug: Bug) => void, tell: (text: string) => void): HTMLElement {
  const version = h("input", {
    id: "resolved-in",
    placeholder: "version, such as 1.10",
    value: bug.resolvedIn,
    autocomplete: "off",
  });
  const say = async (state: string, resolvedIn: string | null): Promise<void> => {
    try {
      again(parseBug(await api.patchBug(bug, { state, resolvedIn })));
      tell(`${bug.name} is ${state} now.`);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      tell(error.status === 403 ? `You may not change it: ${error.message}` : error.message);
    }
  };
  const button = (words: string, state: string, resolvedIn: () => string | null = () => null): HTMLElement =>
    h("button", { type: "button", on: { click: () => void say(state, resolvedIn()) } }, words);
  return h(
    "form",
    {
      class: "actions state-form",
      "aria-label": "What is to be said about it",
      on: { submit: (event) => event.preventDefault() },
    },
    h("label", {}, "Resolved in ", version),
    button("Resolve", "resolved", () => version.value.trim() || null),
    bug.phase === "muted" ? undefined : button("Mute", "muted"),
    bug.phase === "open" || bug.phase === "new" ? undefined : button("Open again", "open"),
  );
}

function drawSeen(
  bug: Bug,
  title: string,
  column: string,
  seen: readonly Seen[],
  now: number,
): HTMLElement | undefined {
  if (seen.length === 0) return undefined;
  const rows = seen.map(({ name, count, first, last }) =>
    h(
      "tr",
      {},
      h(
        "td",
        { class: "path" },
        h("a", { href: crashesHash({ namespace: bug.namespace, group: bug.name, search: name }) }, name),
      ),
      h("td", { class: "number" }, count.toLocaleString("en")),
      h("td", {}, `${formatTime(first)} (${agoWords(first, now)})`),
      h("td", {}, `${formatTime(last)} (${agoWords(last, now)})`),
    ),
  );
  return h(
    "section",
    {},
    h("h2", {}, title),
    h(
      "div",
      { class: "scroll", tabindex: 0, role: "region", "aria-label": title },
      h(
        "table",
        { class: "plain" },
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            [column, "Crashes", "First (UTC)", "Last (UTC)"].map((name) => h("th", { scope: "col" }, name)),
          ),
        ),
        h("tbody", {}, rows),
      ),
    ),
  );
}

function drawCrashes({ bug, crashes, now }: BugPage): HTMLElement {
  const rows = crashes
    .map(parseCrash)
    .map((crash) =>
      h(
        "tr",
        {},
        h("td", {}, h("a", { href: crashHash(crash) }, `${formatTime(crash.time)} (${agoWords(crash.time, now)})`)),
        h("td", {}, crash.pod || crash.node || "–"),
        h("td", { class: "path" }, crash.image || "–"),
        h("td", { class: crash.complete ? "good" : "warn" }, stateOf(crash)),
      ),
    );
  if (crashes.length === 0) return h("section", {}, h("h2", {}, "None of its crashes is in the store any more"));
  return h(
    "section",
    {},
    h("h2", {}, crashes.length < bug.count ? `The newest ${crashes.length} crashes` : "Its crashes"),
    h(
      "div",
      { class: "scroll", tabindex: 0, role: "region", "aria-label": "Its newest crashes" },
      h(
        "table",
        { class: "plain" },
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            ["Time (UTC)", "Pod", "Image", "Core"].map((name) => h("th", { scope: "col" }, name)),
          ),
        ),
        h("tbody", {}, rows),
      ),
    ),
  );
}
