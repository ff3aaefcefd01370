import { groupName, groupThreads } from "@cdh/core/report/equal-stacks";
import { launchJson } from "@cdh/core/report/launch-json";
import { shownOf } from "@cdh/core/report/opening";
import { PLAIN } from "@cdh/core/report/paint";
import { orderRegisters } from "@cdh/core/report/registers-text";
import { placeThreads, type Report } from "@cdh/core/report/report";
import { stackLines } from "@cdh/core/report/stack-text";
import { factRows, headlines, logTitle, threadTitle } from "@cdh/core/report/text";
import { formatBytes } from "@cdh/core/units";
import type { Api } from "./api.ts";
import { append, h, type Children } from "./dom.ts";
import { download, saveBlob } from "./download.ts";

/** Rows of a table that are drawn at first; a button brings the rest. */
const ROWS_FIRST = 100;

/** Show one crash. */
export function drawCrash(
  api: Api,
  { namespace, name, report, now }: { namespace: string; name: string; report: Report; now: number },
  tell: (text: string) => void,
): HTMLElement {
  const { manifest } = report;
  const id = { namespace, name };
  const bundleName = manifest.bundle || `${name}.zip`;
  const parts = [
    {
      part: "bundle",
      words: `bundle, ${formatBytes(report.bundleBytes)}`,
      fileName: bundleName,
      sizeBytes: report.bundleBytes,
    },
    {
      part: "core",
      words: `core, ${formatBytes(manifest.core.sizeBytes)}`,
      fileName: bundleName.replace(/(\.zip)?$/, ".core"),
      sizeBytes: manifest.core.sizeBytes,
    },
  ] as const;
  const saveReport = async (): Promise<void> => {
    const answer = await api.ask(api.pathOf(id, "report"), { headers: { accept: "text/html" } });
    saveBlob(await answer.blob(), bundleName.replace(/(\.zip)?$/, ".html"));
  };
  return h(
    "article",
    { class: "crash" },
    h("a", { href: "#/crashes", id: "back" }, "← All crashes"),
    headlines(report).map((line, index) =>
      index === 0 ? h("h1", { tabindex: "-1" }, line) : h("p", { class: "who" }, line),
    ),
    h("p", { class: "meaning" }, report.signalMeaning ?? ""),
    h(
      "div",
      { class: "actions" },
      parts.map(({ words, ...wanted }, index) =>
        action(`Download ${words}`, index === 0, tell, () => download(api, { ...id, ...wanted })),
      ),
      action("Download report", false, tell, saveReport),
    ),
    h(
      "dl",
      { class: "facts" },
      factRows(report, PLAIN, now).flatMap(({ label, value }) => [h("dt", {}, label), h("dd", {}, value)]),
      h("dt", {}, "kubectl"),
      h("dd", {}, `kubectl coredump get -n ${namespace} ${name}`),
    ),
    launch(report),
    section(threadTitle(report), stackAndRegisters(report)),
    report.logs.map((log) =>
      section(
        logTitle(log, report.logs.length),
        log.lines.length > 0 && h("pre", { class: "log", tabindex: "0" }, log.lines.map(visible).join("\n")),
      ),
    ),
    section(
      "Problems while collecting",
      table(
        ["Step", "What", "Code"],
        manifest.problems.map(({ step, code, detail }) => [
          h("td", { class: "warn" }, step),
          h("td", {}, detail ?? ""),
          h("td", { class: "mono" }, code),
        ]),
      ),
    ),
    threads(report),
    modules(report),
  );
}

function action(words: string, isFirst: boolean, tell: (text: string) => void, work: () => Promise<void>): HTMLElement {
  const button = h("button", { type: "button", class: isFirst ? "first" : undefined }, words);
  button.addEventListener("click", () => {
    button.disabled = true;
    work()
      .catch((error: unknown) => tell(error instanceof Error ? error.message : String(error)))
      .finally(() => {
        button.disabled = false;
      });
  });
  return button;
}

function section(title: string, body: Children): HTMLElement | undefined {
  return body === undefined || body === false ? undefined : h("section", {}, h("h2", {}, title), body);
}

function stackAndRegisters(report: Report): Children {
  const stack = stackLines(report, PLAIN);
  const below = registers(report);
  if (stack.length === 0) return below;
  const lines = stack.map((line) => line.replace(/^ {2}/, "")).join("\n");
  return [h("pre", { class: "log stack", tabindex: "0" }, lines), below];
}

function registers({ crashedThread }: Report): HTMLElement | undefined {
  const shown = orderRegisters(crashedThread?.registers ?? []);
  if (shown.length === 0) return undefined;
  return h(
    "dl",
    { class: "registers" },
    shown.map(({ name, value, place }) =>
      h(
        "div",
        {},
        h("dt", {}, name),
        h("dd", {}, value, place !== undefined && " ", place !== undefined && h("span", {}, place)),
      ),
    ),
  );
}

function threads(report: Report): HTMLElement | undefined {
  const { manifest } = report;
  const rows = placeThreads(manifest).map(({ tid, crashed, pc, place }) => [
    h("td", { class: "mono" }, tid),
    h("td", { class: "mono" }, pc ?? ""),
    h("td", { class: "mono" }, place ?? ""),
    h("td", {}, crashed ? "crashed" : ""),
  ]);
  const body = table(["Thread", "Program counter", "Place", ""], rows);
  body
    ?.querySelector("tbody tr")
    ?.classList.toggle("crashed", manifest.threads?.some(({ crashed }) => crashed) === true);
  return section(`Threads (${rows.length})`, body && [equalStacks(report), body]);
}

function equalStacks({ manifest }: Report): HTMLElement | undefined {
  const rows = groupThreads(manifest).map((group) => [
    h("td", { class: "number" }, group.threads.length),
    h("td", { class: "mono" }, visible(groupName(group))),
    h("td", { class: "mono path" }, visible(group.stack)),
  ]);
  return table(["Threads", "Name", "Stack"], rows);
}

/** What VS Code needs to open the directory that the command for offline use writes. */
function launch({ open }: Report): HTMLElement | undefined {
  if (open === undefined) return undefined;
  return h(
    "details",
    { class: "launch" },
    h("summary", {}, "VS Code: .vscode/launch.json"),
    h("p", {}, "The command for offline use writes it into its directory. Open that directory with VS Code."),
    h("pre", { class: "log", tabindex: "0" }, launchJson()),
  );
}

function modules({ manifest, opensWith }: Report): HTMLElement | undefined {
  const isAsked = opensWith !== undefined;
  const rows = (manifest.modules ?? []).map(({ path, start, end, buildId }) => [
    h("td", { class: "mono path" }, path),
    h("td", { class: "mono" }, `${start}–${end}`),
    h("td", { class: "mono path" }, buildId ?? ""),
    ...(isAsked ? [h("td", {}, shownOf(opensWith, { path, buildId }))] : []),
  ]);
  const headers = ["File", "Addresses", "Build-id", ...(isAsked ? ["A debugger shows"] : [])];
  return section(`Modules (${rows.length})`, table(headers, rows));
}

function table(headers: readonly string[], rows: readonly HTMLElement[][]): HTMLElement | undefined {
  if (rows.length === 0) return undefined;
  const body = h(
    "tbody",
    {},
    rows.slice(0, ROWS_FIRST).map((cells) => h("tr", {}, cells)),
  );
  const rest = rows.slice(ROWS_FIRST);
  const more = h("button", { type: "button", class: "quiet" }, `Show ${rest.length} more`);
  more.addEventListener("click", () => {
    append(body, [rest.map((cells) => h("tr", {}, cells))]);
    more.remove();
  });
  return h(
    "div",
    { class: "scroll" },
    h(
      "table",
      { class: "plain" },
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          headers.map((header) => h("th", { scope: "col" }, header)),
        ),
      ),
      body,
    ),
    rest.length > 0 && more,
  );
}

/** Show what would act on a terminal, as the command line does; tabs stay. */
function visible(line: string): string {
  // eslint-disable-next-line no-control-regex -- control characters are exactly what is looked for
  return line.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069]/g, (char) => {
    const code = char.charCodeAt(0);
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u{${code.toString(16)}}`;
  });
}
