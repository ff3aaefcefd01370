import { existsSync, readFileSync } from "node:fs";
import type { Measurement } from "../helpers/composer-install.ts";
import type { HandlerName } from "./options.ts";

/** A core handler that is ready to be put into the core pattern. */
export interface Handler extends AsyncDisposable {
  readonly name: HandlerName;
  /** What is being run, for the table's legend. */
  readonly command: string;
  /** The core pattern that starts it. */
  readonly pattern: string;
  /** Wait until it is done with the core of this process; what it cost, and how many bytes it wrote. Removes what it wrote. */
  finish(pid: number): Promise<HandlerOutcome>;
}

/** What one run of a handler came to. */
export interface HandlerOutcome {
  /** CLOCK_MONOTONIC when its last process ended, ns. */
  endedNs: number;
  outputBytes: number;
  /** Highest resident set of any one of its processes. */
  peakRssBytes: number;
  cpuMs: number;
}

/** A handler, or why it can't be measured here. */
export type HandlerOrReason = Handler | { name: HandlerName; unavailable: string };

/** Read the lines that `test/programs/measure.c` wrote to a report. */
export function readMeasurements(report: string): Measurement[] {
  if (!existsSync(report)) return [];
  return readFileSync(report, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Measurement);
}

/** Wait until `look` gives something. @throws {Error} naming `what` after `timeoutMs` */
export async function until<T>(what: string, timeoutMs: number, look: () => T | undefined): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const found = look();
    if (found !== undefined) return found;
    if (performance.now() > deadline) throw new Error(`${what}: nothing after ${timeoutMs / 1000} s`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Add up the measurements of the processes that handled one core. */
export function outcomeOf(measurements: readonly Measurement[], outputBytes: number): HandlerOutcome {
  for (const { exitCode, signal } of measurements) {
    if (exitCode !== 0) throw new Error(`a handler ended with status ${exitCode}, signal ${signal}`);
  }
  return {
    endedNs: Math.max(...measurements.map(({ endedNs }) => endedNs)),
    outputBytes,
    peakRssBytes: Math.max(...measurements.map(({ maxRssBytes }) => maxRssBytes)),
    cpuMs: measurements.reduce((sum, { userMs, systemMs }) => sum + userMs + systemMs, 0),
  };
}
