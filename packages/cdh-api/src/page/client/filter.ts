import type { Crash } from "./crash.ts";

/** What a person wants to see; an empty text wants everything. */
export interface Filter {
  search: string;
  namespace: string;
  workload: string;
  signal: string;
  /** Id of a bug. */
  group: string;
  /** One of {@link TIMES}. */
  time: string;
}

/** Nothing is left out. */
export const EVERYTHING: Filter = { search: "", namespace: "", workload: "", signal: "", group: "", time: "" };

const HOUR = 3_600_000;

/** The choices of time, by their value in the address. */
export const TIMES: readonly { value: string; words: string; ms: number }[] = [
  { value: "1h", words: "last hour", ms: HOUR },
  { value: "24h", words: "last 24 hours", ms: 24 * HOUR },
  { value: "7d", words: "last 7 days", ms: 7 * 24 * HOUR },
  { value: "30d", words: "last 30 days", ms: 30 * 24 * HOUR },
];

/** Find since when crashes are wanted; undefined for ever. */
export function sinceOf(filter: Pick<Filter, "time">, now: number): number | undefined {
  const time = TIMES.find(({ value }) => value === filter.time);
  return time === undefined ? undefined : now - time.ms;
}

/** The part of a filter that the server applies; the search looks through what came. */
export type Query = Omit<Filter, "search">;

/** Take what the server is asked for. */
export function queryOf({ namespace, workload, signal, group, time }: Filter): Query {
  return { namespace, workload, signal, group, time };
}

/** Tell whether everything that is wanted is among what was asked for. */
export function covers(asked: Query, wanted: Query): boolean {
  const span = (time: string): number => TIMES.find(({ value }) => value === time)?.ms ?? Number.POSITIVE_INFINITY;
  return (
    (["namespace", "workload", "signal", "group"] as const).every(
      (key) => asked[key] === "" || asked[key] === wanted[key],
    ) && span(asked.time) >= span(wanted.time)
  );
}

/** Choose crashes, newest first. Every word of the search must be somewhere in a line. */
export function choose(crashes: readonly Crash[], filter: Filter, now: number): Crash[] {
  const words = filter.search.toLowerCase().split(/\s+/).filter(Boolean);
  const since = sinceOf(filter, now) ?? Number.NEGATIVE_INFINITY;
  return crashes
    .filter(
      (crash) =>
        (filter.namespace === "" || crash.namespace === filter.namespace) &&
        (filter.workload === "" || crash.workload === filter.workload) &&
        (filter.signal === "" || crash.signal === filter.signal) &&
        (filter.group === "" || crash.group === filter.group) &&
        crash.time >= since &&
        words.every((word) => textOf(crash).includes(word)),
    )
    .toSorted((left, right) => right.time - left.time);
}

function textOf(crash: Crash): string {
  const { namespace, name, pod, container, workload, node, program, signal, place, image, group } = crash;
  return [namespace, name, pod, container, workload, node, program, signal, place, image, group]
    .join("\n")
    .toLowerCase();
}

/** List what a column holds, sorted, without the empty. */
export function valuesOf(crashes: readonly Crash[], column: "namespace" | "workload" | "signal"): string[] {
  return [...new Set(crashes.map((crash) => crash[column]))].filter(Boolean).toSorted();
}
