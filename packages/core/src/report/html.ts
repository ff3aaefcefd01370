import { createHash } from "node:crypto";
import { formatBytes } from "../base/units.ts";
import type { Manifest } from "../bundle/manifest.ts";
import { printable } from "../cli/output.ts";
import { groupName, groupThreads } from "./equal-stacks.ts";
import { REPORT_STYLE } from "./html-style.ts";
import { shownOf } from "./opening.ts";
import { PLAIN } from "./paint.ts";
import { orderRegisters } from "./registers-text.ts";
import { placeThreads, type Report } from "./report.ts";
import { stackLines } from "./stack-text.ts";
import { factRows, headlines, logTitle, threadTitle } from "./text.ts";

/** A table longer than this helps nobody on a page; the JSON has all of it. */
const ROWS_MAX = 1000;

/**
 * Write a report as one HTML file that needs nothing else: no script, no request to anywhere, and a policy that forbids
 * both. It reads well in light and dark and on paper. Every text is escaped; control characters are made visible.
 * @see https://www.w3.org/TR/CSP3/
 */
export function renderHtml(report: Report): string {
  const [title = "", ...more] = headlines(report).map(escapeHtml);
  const { manifest, signalMeaning } = report;
  const body = [
    `<h1>${title}</h1>`,
    ...more.map((line) => `<p class="who">${line}</p>`),
    signalMeaning === undefined
      ? ""
      : `<p class="meaning">${text(manifest.signal.codeName ?? manifest.signal.name)}: ${text(signalMeaning)}</p>`,
    facts(report),
    section(text(threadTitle(report)), `${stack(report)}${registers(report)}`),
    ...report.logs.map((log) => section(text(logTitle(log, report.logs.length)), logBlock(log.lines))),
    problems(report),
    threads(report),
    modules(report),
    entries(report),
    footer(report),
  ];
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${reportPolicy()}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>${title}</title>
<style>${REPORT_STYLE}</style>
</head>
<body>
<main>
${body.filter((part) => part !== "").join("\n")}
</main>
</body>
</html>
`;
}

/** The policy of a report: its own style and nothing else. A server may send it as a header too. */
export function reportPolicy(): string {
  const hash = createHash("sha256").update(REPORT_STYLE).digest("base64");
  return `default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'`;
}

/** Make text safe between tags and in quoted attributes. */
export function escapeHtml(value: string): string {
  return value.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
}

function text(value: string): string {
  return escapeHtml(printable(value));
}

function section(title: string, body: string): string {
  return body === "" ? "" : `<section>\n<h2>${title}</h2>\n${body}\n</section>`;
}

function facts(report: Report): string {
  const rows = factRows(report, PLAIN).map(({ label, value }) => `<dt>${text(label)}</dt><dd>${text(value)}</dd>`);
  return `<dl>\n${rows.join("\n")}\n</dl>`;
}

function stack(report: Report): string {
  const lines = stackLines(report, PLAIN);
  return lines.length === 0
    ? ""
    : `<pre>${lines.map((line) => escapeHtml(line.replace(/^ {2}/, ""))).join("\n")}</pre>\n`;
}

function registers({ crashedThread }: Report): string {
  const cells = orderRegisters(crashedThread?.registers ?? []).map(
    ({ name, value, place }) =>
      `<div><dt>${text(name)}</dt><dd>${text(value)}${place === undefined ? "" : ` <span>${text(place)}</span>`}</dd></div>`,
  );
  return cells.length === 0 ? "" : `<dl class="registers">\n${cells.join("\n")}\n</dl>`;
}

function logBlock(lines: readonly string[]): string {
  // Tabs are layout, not control.
  const shown = lines.map((line) => line.split("\t").map(text).join("\t"));
  return shown.length === 0 ? "" : `<pre>${shown.join("\n")}</pre>`;
}

function problems({ manifest }: Report): string {
  const rows = manifest.problems.map(
    ({ step, code, detail }) =>
      `<tr><td class="problem">${text(step)}</td><td>${text(detail ?? "")}</td><td class="mono">${text(code)}</td></tr>`,
  );
  return section("Problems while collecting", table(["Step", "What", "Code"], rows));
}

function threads({ manifest }: Report): string {
  const rows = placeThreads(manifest).map(
    ({ tid, crashed, pc, place }) =>
      `<tr${crashed ? ' class="crashed"' : ""}><td class="mono">${tid}</td><td class="mono">${text(pc ?? "")}</td>` +
      `<td class="mono">${text(place ?? "")}</td><td>${crashed ? "crashed" : ""}</td></tr>`,
  );
  return section(
    `Threads (${rows.length})`,
    `${equalStacks(manifest)}${table(["Thread", "Program counter", "Place", ""], rows)}`,
  );
}

function equalStacks(manifest: Manifest): string {
  const rows = groupThreads(manifest).map(
    (group) =>
      `<tr${group.crashed ? ' class="crashed"' : ""}><td class="number">${group.threads.length}</td>` +
      `<td class="mono">${text(groupName(group))}</td><td class="mono path">${text(group.stack)}</td></tr>`,
  );
  return rows.length === 0 ? "" : `${table(["Threads", "Name", "Stack"], rows)}\n`;
}

function modules({ manifest, opensWith }: Report): string {
  const isAsked = opensWith !== undefined;
  const rows = (manifest.modules ?? []).map(
    ({ path, start, end, buildId }) =>
      `<tr><td class="mono path">${text(path)}</td><td class="mono">${text(start)}–${text(end)}</td>` +
      `<td class="mono path">${text(buildId ?? "")}</td>` +
      `${isAsked ? `<td>${shownOf(opensWith, { path, buildId })}</td>` : ""}</tr>`,
  );
  const headers = ["File", "Addresses", "Build-id", ...(isAsked ? ["A debugger shows"] : [])];
  return section(`Modules (${rows.length})`, table(headers, rows));
}

function entries({ entries: all }: Report): string {
  const rows = all.map(
    ({ name, role, sizeBytes, storedBytes }) =>
      `<tr><td class="mono path">${text(name)}</td><td>${text(role)}</td><td class="number">${formatBytes(sizeBytes)}</td>` +
      `<td class="number">${formatBytes(storedBytes)}</td></tr>`,
  );
  return section("In the bundle", table(["Entry", "What it is", "Size", "Stored"], rows));
}

function footer({ manifest: { crashId, composer } }: Report): string {
  const parts = [
    crashId === "" ? [] : `crash ${text(crashId)}`,
    composer.version === "" ? [] : `cdc ${text(composer.version)}`,
  ];
  return parts.flat().length === 0 ? "" : `<footer>${parts.flat().join(", ")}</footer>`;
}

function table(headers: readonly string[], rows: readonly string[]): string {
  if (rows.length === 0) return "";
  const more = rows.length - ROWS_MAX;
  const head = headers.map((header) => `<th scope="col">${header}</th>`).join("");
  const note = more > 0 ? `\n<p>and ${more} more: the report as JSON has them all</p>` : "";
  return `<div class="scroll"><table>\n<thead><tr>${head}</tr></thead>\n<tbody>\n${rows.slice(0, ROWS_MAX).join("\n")}\n</tbody></table></div>${note}`;
}
