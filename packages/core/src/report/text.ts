import { append } from "../base/lists.ts";
import { formatBytes, formatDuration } from "../base/units.ts";
import type { Manifest } from "../bundle/manifest.ts";
import { isRestricted } from "../bundle/restricted.ts";
import { printable } from "../cli/output.ts";
import { describeNoMemory, isCompletenessKnown, isSizeKnown } from "./completeness.ts";
import { crashHeadline } from "./crash-line.ts";
import { formatMoment } from "./moment.ts";
import { opensWithText } from "./opening.ts";
import type { Paint } from "./paint.ts";
import { registerLines } from "./registers-text.ts";
import type { LogReport, Report } from "./report.ts";
import { stackLines } from "./stack-text.ts";

/** Cuts that a person reads as a reason, after the word "cut". */
const CUT_WORDS: Record<string, string> = {
  rlimit: "by the process's RLIMIT_CORE",
  coreSizeMax: "by the limit CORE_SIZE_MAX",
  keepFree: "to leave the room that KEEP_FREE asks for",
  maxUse: "to leave the room that MAX_USE asks for",
  deadline: "by the composer's deadline",
  shortRead: "short: the kernel stopped sending",
  diskFull: "by a full disk",
};

/** Longest command line on the screen. */
const CMDLINE_MAX = 160;
const PROBLEMS_SHOWN = 8;
const SECOND = 1000;

/** One line of what is known: a word, and a text that is safe to print. */
export interface FactRow {
  label: string;
  value: string;
}

/**
 * Tell what is known of a crash, line by line, unknown things left out.
 * @param now epoch milliseconds, to say how long ago it was; left out for a text that is kept
 */
export function factRows(report: Report, paint: Paint, now?: number): FactRow[] {
  const { manifest } = report;
  const { cmdline } = manifest.process;
  const rows: [string, string | undefined][] = [
    ["Process", processText(manifest, paint)],
    ["Command", cmdline === undefined ? undefined : printable(shorten(cmdline.join(" "), CMDLINE_MAX))],
    ["Signal", signalText(report, paint)],
    ["Signs", signsText(manifest)],
    ["When", whenText(manifest, now)],
    ["Pod", podText(manifest)],
    ["Container", containerText(manifest)],
    ["Image", imageText(manifest)],
    ["Node", nodeText(manifest)],
    ["Core", coreText(report, paint)],
    [
      "Place",
      manifest.placeUnknown === undefined
        ? undefined
        : `not known, so KEEP_PER_SITE keeps every core: ${printable(manifest.placeUnknown)}`,
    ],
    ["Bundle", `${printable(report.bundle)}, ${formatBytes(report.bundleBytes)}`],
    ["Others", suppressedText(manifest)],
    ["Opens", report.opensWith === undefined ? undefined : opensWithText(report.opensWith)],
    ["Debug", report.open === undefined ? undefined : printable(report.open.debug)],
    ["Offline", report.open === undefined ? undefined : printable(report.open.unpack)],
  ];
  return rows.flatMap(([label, value]) => (value === undefined || value === "" ? [] : [{ label, value }]));
}

/** What the signal's line does not say already. */
function signsText({ signs = [] }: Manifest): string {
  return printable(signs.filter((sign) => sign !== "faultNull" && sign !== "faultNearNull").join(", "));
}

function suppressedText({ suppressed, counted }: Manifest): string | undefined {
  if (counted !== undefined || suppressed === undefined || suppressed.count <= 0) return undefined;
  return `${suppressed.count} more crashes of this workload, its pod or its namespace since ${formatMoment(suppressed.since)} were counted and not kept`;
}

/** Write a report for a person: one screen, what matters first. */
export function renderText(report: Report, paint: Paint, now: number): string {
  const { manifest } = report;
  const lines: string[] = [
    ...headlines(report).map((line, index) => paint.bold(index === 0 ? paint.red(line) : line)),
    "",
    ...factRows(report, paint, now).map(({ label, value }) => `${paint.dim(label.padEnd(9))} ${value}`),
  ];
  const stack = stackLines(report, paint);
  append(
    lines,
    section(paint, threadTitle(report), [...stack, ...(stack.length > 0 ? [""] : []), ...registerLines(report, paint)]),
  );
  for (const log of report.logs) {
    const body = log.lines.map((line) => `  ${printable(line)}`);
    append(lines, section(paint, logTitle(log, report.logs.length), body));
  }
  const problems = manifest.problems
    .slice(0, PROBLEMS_SHOWN)
    .map(
      ({ step, code, detail }) => `  ${paint.yellow(printable(step))}  ${printable(detail ?? "")} (${printable(code)})`,
    );
  if (manifest.problems.length > PROBLEMS_SHOWN)
    problems.push(`  … and ${manifest.problems.length - PROBLEMS_SHOWN} more: -o json has them all`);
  append(lines, section(paint, "Problems while collecting", problems));
  return `${lines.join("\n")}\n`;
}

/**
 * Say first what a person has to know, safe to print: where it crashed and why, where that is known; then what crashed, and
 * of what.
 */
export function headlines({ manifest }: Pick<Report, "manifest">): string[] {
  const { process, signal, pod, node } = manifest;
  const name = process.comm ?? process.exe?.split("/").at(-1) ?? "a process";
  const where =
    pod?.name === undefined
      ? node.nodeName === undefined
        ? ""
        : ` on ${node.nodeName}`
      : ` in ${pod.namespace ?? "?"}/${pod.name}`;
  const how = signal.name === "" ? "crashed" : `died of ${signal.name}`;
  const who = printable(`${name} ${how}${where}`);
  const line = crashHeadline(manifest);
  return line === undefined ? [who] : [line, who];
}

function processText({ process }: Manifest, paint: Paint): string {
  const ids = [
    process.pid === undefined ? undefined : `pid ${process.pid}`,
    process.pidInNamespace === undefined || process.pidInNamespace === process.pid
      ? undefined
      : `${process.pid === undefined ? "pid " : ""}${process.pidInNamespace} in its container`,
    process.uid === undefined ? undefined : `uid ${process.uid}`,
  ].filter((text) => text !== undefined);
  const build = process.exeBuildId === undefined ? "" : paint.dim(`  build-id ${printable(process.exeBuildId)}`);
  return `${printable(process.exe ?? process.comm ?? "unknown")}${ids.length === 0 ? "" : `  (${ids.join(", ")})`}${build}`;
}

function signalText({ manifest: { signal }, signalMeaning }: Report, paint: Paint): string | undefined {
  if (signal.name === "") return undefined;
  const code = signal.codeName ?? (signal.code === undefined ? undefined : `code ${signal.code}`);
  const meaning = signalMeaning === undefined ? "" : `: ${printable(signalMeaning)}`;
  return `${paint.bold(printable(signal.name))} (${signal.number})${code === undefined ? "" : `, ${printable(code)}`}${meaning}`;
}

/** The kernel tells the crash's time in whole seconds, so that the life of a process is not known better. */
function lifeText(ms: number): string {
  if (ms < 2 * SECOND) return "within 2 s of its start";
  return `after about ${ms < 60 * SECOND ? `${Math.round(ms / SECOND)} s` : formatDuration(ms)} of running`;
}

function whenText({ crashedAt, process }: Manifest, now: number | undefined): string | undefined {
  const time = Date.parse(crashedAt);
  if (Number.isNaN(time)) return undefined;
  const started = Date.parse(process.startedAt ?? "");
  const age = now !== undefined && now >= time ? `, ${formatDuration(now - time)} ago` : "";
  const life = Number.isNaN(started) || started - time >= SECOND ? "" : `, ${lifeText(time - started)}`;
  return `${printable(formatMoment(crashedAt))} UTC${age}${life}`;
}

function podText({ pod, identity }: Manifest): string | undefined {
  if (pod === undefined) return undefined;
  const owner = pod.owner === undefined ? "" : `  (${pod.owner.kind} ${pod.owner.name})`;
  const doubt = identity?.verified === false ? `  (not verified: known by ${identity.source} only)` : "";
  return printable(`${pod.namespace ?? "?"}/${pod.name ?? "?"}${owner}${doubt}`);
}

function containerText({ container }: Manifest): string | undefined {
  if (container === undefined) return undefined;
  const restarts =
    container.restartCount === undefined || container.restartCount === 0
      ? ""
      : `, restarted ${container.restartCount} times before`;
  const id =
    container.id === ""
      ? ""
      : `  ${container.runtime ?? ""}${container.runtime === undefined ? "" : "://"}${container.id.slice(0, 12)}`;
  return printable(`${container.name ?? "?"}${id}${restarts}`);
}

function imageText({ container }: Manifest): string | undefined {
  const parts = [container?.imageRef, container?.imageId].filter((part) => part !== undefined && part !== "");
  return parts.length === 0 ? undefined : printable([...new Set(parts)].join("  "));
}

function nodeText({ node }: Manifest): string | undefined {
  const machine = [node.architecture, node.kernelRelease === undefined ? undefined : `Linux ${node.kernelRelease}`]
    .filter((part) => part !== undefined)
    .join(", ");
  const name = node.nodeName ?? "";
  return printable(machine === "" ? name : `${name}  (${machine})`.trim());
}

function coreText({ manifest, kind }: Report, paint: Paint): string {
  const { core, process } = manifest;
  const size = isSizeKnown(manifest) ? formatBytes(core.sizeBytes) : "size not known before it is read";
  const stored =
    core.storedBytes === core.sizeBytes
      ? ""
      : `, ${formatBytes(core.storedBytes)} compressed${kind === "core" ? "" : ` (${printable(core.compression)})`}`;
  const rest = isRestricted(manifest) ? "; restricted: the process was not dumpable by its own user" : "";
  if (core.complete) return `${size}${stored}, ${paint.green("whole")}${rest}`;
  if (!isCompletenessKnown(manifest))
    return `${size}${stored}, ${paint.yellow("not known to be whole: verify reads it")}${rest}`;
  const none = describeNoMemory(manifest);
  if (none !== undefined) return `${paint.yellow(none.finding)}; ${none.advice}${rest}`;
  const how =
    core.truncatedBy === undefined ? "" : ` ${CUT_WORDS[core.truncatedBy] ?? `by ${printable(core.truncatedBy)}`}`;
  const limit =
    core.truncatedBy === "rlimit" && process.rlimitCoreBytes !== undefined
      ? ` (${formatBytes(process.rlimitCoreBytes)})`
      : "";
  const isMissing = isSizeKnown(manifest) && core.expectedBytes !== undefined && core.expectedBytes > core.sizeBytes;
  const missing = isMissing ? `, ${formatBytes((core.expectedBytes ?? 0) - core.sizeBytes)} missing` : "";
  return `${size}${stored}, ${paint.yellow(`cut${how}${limit}${missing}`)}${rest}`;
}

/** Say which thread crashed; empty when it is not known. */
export function threadTitle({ crashedThread, manifest }: Pick<Report, "crashedThread" | "manifest">): string {
  if (crashedThread === undefined) return "";
  const total = manifest.threads?.length ?? 1;
  const name = manifest.threads?.find(({ tid }) => tid === crashedThread.tid)?.name;
  return `Thread ${crashedThread.tid}${name === undefined ? "" : ` (${printable(name)})`} crashed${total > 1 ? `, ${total - 1} more ${total === 2 ? "thread" : "threads"}` : ", the only one"}`;
}

/** Say whose log it is and how much of it there is. */
export function logTitle(log: LogReport, count: number): string {
  const name =
    log.container ?? (count > 1 ? log.entry.slice(log.entry.lastIndexOf("-") + 1).replace(".log", "") : undefined);
  const lines = log.lines.length === 1 ? "last line" : `last ${log.lines.length} lines`;
  return `Log${name === undefined ? "" : ` of ${printable(name)}`}, ${lines}`;
}

function section(paint: Paint, title: string, body: readonly string[]): string[] {
  return body.length === 0 ? [] : ["", paint.bold(title), ...body];
}

function shorten(text: string, max: number): string {
  return text.length <= max ? text : `${text.slice(0, max - 1)}…`;
}
