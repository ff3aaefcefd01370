import type { Bundle, BundleEntry } from "@cdh/core/bundle/reader";
import { containerIndexOf, entryRole } from "@cdh/core/bundle/reader-roles";
import type { Manifest, ThreadFacts } from "@cdh/core/bundle/manifest";
import { formatPlace, makeAddressMap } from "./address-map.ts";
import { containerNames } from "./containers.ts";
import { describeSignal, tryParseAddress } from "./signal-words.ts";
import type { Subject } from "./subject.ts";

/** A register of the crashed thread, and where its value points. */
export interface RegisterReport {
  name: string;
  value: string;
  /** `libc.so.6+0x9e12c`, when the value is an address in a module. */
  place?: string;
}

/** The end of one container's log. */
export interface LogReport {
  entry: string;
  /** Name of the container, where it is known. */
  container?: string;
  sizeBytes: number;
  lines: string[];
}

/** Everything `show` says; `-o json` prints it as it is. @see docs/json-output.md */
export interface Report {
  bundle: string;
  kind: Subject["kind"];
  bundleBytes: number;
  signalMeaning?: string;
  crashedThread?: { tid: number; registers: RegisterReport[] };
  logs: LogReport[];
  entries: { name: string; role: string; sizeBytes: number; storedBytes: number }[];
  manifest: Manifest;
  /** What reading this report took from the file or the store. */
  traffic: { requests: number; bytes: number };
}

/** Logs larger than this are not read for the last lines of a screen; `logs` reads all of one. */
const LOG_MAX_BYTES = 1024 * 1024;

/**
 * Collect what one screen needs: no part of the core is read.
 * @param logLines how many lines of each log to keep
 */
export async function makeReport(subject: Subject, logLines: number): Promise<Report> {
  const { manifest, bundle } = subject;
  const crashed = manifest.threads?.find((thread) => thread.crashed === true) ?? manifest.threads?.[0];
  const meaning = describeSignal(manifest.signal, crashed === undefined ? undefined : programCounter(crashed));
  return {
    bundle: subject.label,
    kind: subject.kind,
    bundleBytes: subject.sizeBytes,
    ...(meaning === undefined ? {} : { signalMeaning: meaning }),
    ...(crashed === undefined
      ? {}
      : { crashedThread: { tid: crashed.tid, registers: placeRegisters(manifest, crashed) } }),
    logs: bundle === undefined ? [] : await readLogs(bundle, logLines),
    entries: (bundle?.entries ?? []).map(({ name, sizeBytes, storedBytes }) => ({
      name,
      role: entryRole(name, bundle?.name),
      sizeBytes,
      storedBytes,
    })),
    manifest,
    traffic: { ...subject.source.traffic },
  };
}

function placeRegisters(manifest: Manifest, thread: ThreadFacts): RegisterReport[] {
  const map = makeAddressMap(manifest.modules ?? []);
  return Object.entries(thread.registers).map(([name, value]) => {
    const address = tryParseAddress(value);
    const place = address === undefined ? undefined : map.find(address);
    return { name, value, ...(place === undefined ? {} : { place: formatPlace(place) }) };
  });
}

/** The program counter under the name that its machine has for it. */
export function programCounter(thread: ThreadFacts): string | undefined {
  return thread.registers["pc"] ?? thread.registers["rip"] ?? thread.registers["eip"];
}

/** The entries that hold containers' logs, in the containers' order. */
export function logEntries(bundle: Bundle): BundleEntry[] {
  const base = bundle.name ?? "";
  return bundle.entries
    .filter((entry) => entryRole(entry.name, bundle.name) === "log")
    .toSorted((left, right) => (containerIndexOf(left.name, base) ?? 0) - (containerIndexOf(right.name, base) ?? 0));
}

async function readLogs(bundle: Bundle, logLines: number): Promise<LogReport[]> {
  const reports: LogReport[] = [];
  const names = await containerNames(bundle);
  for (const entry of logEntries(bundle)) {
    if (entry.sizeBytes === 0 || logLines === 0) continue;
    const { name, sizeBytes } = entry;
    const lines = sizeBytes > LOG_MAX_BYTES ? [] : lastLines((await bundle.read(entry)).toString("utf8"), logLines);
    const container = names[containerIndexOf(name, bundle.name ?? "") ?? 0];
    reports.push({ entry: name, ...(container === undefined ? {} : { container }), sizeBytes, lines });
  }
  return reports;
}

/** Take the last lines of a text. */
export function lastLines(text: string, count: number): string[] {
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  return count === 0 ? [] : lines.slice(-count);
}
