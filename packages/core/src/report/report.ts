import type { Manifest, ThreadFacts } from "../bundle/manifest.ts";
import type { OpensWith } from "../debug-files/opens-with.ts";
import { ABORT_IN_PID1, isAbortInPid1 } from "./abort-in-pid1.ts";
import { formatPlace, makeAddressMap } from "./address-map.ts";
import { crashLine } from "./crash-line.ts";
import type { OpenCommands } from "./opening.ts";
import { describeSignal, tryParseAddress } from "./signal-words.ts";

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

/** One entry of the bundle. */
export interface EntryReport {
  name: string;
  role: string;
  sizeBytes: number;
  storedBytes: number;
}

/** Everything that is said about one crash; as JSON it is what `cdh-inspect show -o json` prints. @see docs/json-output.md */
export interface Report {
  /** Path, URL or name of the bundle. */
  bundle: string;
  kind: "bundle" | "older" | "core";
  bundleBytes: number;
  signalMeaning?: string;
  /** Why and where, in one line: `SIGSEGV (null pointer) in pay() at pay.go:41 ← main()`. */
  summary?: string;
  crashedThread?: { tid: number; registers: RegisterReport[] };
  logs: LogReport[];
  entries: EntryReport[];
  manifest: Manifest;
  /** With what a debugger opens it: which of its files the store has. Absent: no store was asked. */
  opensWith?: OpensWith;
  /** What to paste for it. */
  open?: OpenCommands;
  /** What reading took from the file or the store. */
  traffic?: { requests: number; bytes: number };
}

/** What a report needs beside the manifest. */
export type ReportExtras = Pick<Report, "bundle" | "bundleBytes"> &
  Partial<Pick<Report, "kind" | "logs" | "entries" | "opensWith" | "open" | "traffic">>;

/** Tell everything about a crash from its manifest. */
export function reportOf(manifest: Manifest, extras: ReportExtras): Report {
  const crashed = manifest.threads?.find((thread) => thread.crashed === true) ?? manifest.threads?.[0];
  const meaning = isAbortInPid1(manifest, crashed)
    ? ABORT_IN_PID1
    : describeSignal(manifest.signal, crashed === undefined ? undefined : programCounter(crashed));
  const summary = crashLine(manifest);
  return {
    bundle: extras.bundle,
    kind: extras.kind ?? "bundle",
    bundleBytes: extras.bundleBytes,
    ...(meaning === undefined ? {} : { signalMeaning: meaning }),
    ...(summary === "" ? {} : { summary }),
    ...(crashed === undefined
      ? {}
      : { crashedThread: { tid: crashed.tid, registers: placeRegisters(manifest, crashed) } }),
    logs: extras.logs ?? [],
    entries: extras.entries ?? [],
    manifest,
    ...(extras.opensWith === undefined ? {} : { opensWith: extras.opensWith }),
    ...(extras.open === undefined ? {} : { open: extras.open }),
    ...(extras.traffic === undefined ? {} : { traffic: extras.traffic }),
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

/** Where a thread was when the process crashed. */
export interface ThreadPlace {
  tid: number;
  crashed: boolean;
  pc?: string;
  /** `libc.so.6+0x9e12c`. */
  place?: string;
}

/** Tell for each thread where it was, the crashed one first. */
export function placeThreads(manifest: Pick<Manifest, "threads" | "modules">): ThreadPlace[] {
  const map = makeAddressMap(manifest.modules ?? []);
  return (manifest.threads ?? [])
    .map((thread) => {
      const pc = programCounter(thread);
      const address = pc === undefined ? undefined : tryParseAddress(pc);
      const place = address === undefined ? undefined : map.find(address);
      return {
        tid: thread.tid,
        crashed: thread.crashed === true,
        ...(pc === undefined ? {} : { pc }),
        ...(place === undefined ? {} : { place: formatPlace(place) }),
      };
    })
    .toSorted((left, right) => Number(right.crashed) - Number(left.crashed));
}

/** The program counter under the name that its machine has for it. */
export function programCounter(thread: ThreadFacts): string | undefined {
  return thread.registers["pc"] ?? thread.registers["rip"] ?? thread.registers["eip"];
}

/** Take the last lines of a text. */
export function lastLines(text: string, count: number): string[] {
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  return count === 0 ? [] : lines.slice(-count);
}
