import type { Clock } from "@cdh/core/clock";
import { suspectNodes } from "@cdh/core/groups/suspect-nodes";
import type { Gauge, Metrics } from "@cdh/core/metrics";
import { viewOf, type Groups } from "./groups.ts";
import { PHASES } from "./phase.ts";
import { buildOf } from "./tally.ts";

/** What happened to a group within the last hour. */
export const RECENT = ["new", "returned", "countedOnly"] as const;

const RECENT_SECONDS = 3600;
/** Workloads and images of which there are series, those seen last: names that crashes choose fill no Prometheus. */
const BUILDS_MAX = 300;
/** Nodes that are told: where more are suspect, something else is wrong. */
const SUSPECTS_MAX = 10;
/** Namespaces of which there are series. */
const NAMESPACES_MAX = 1000;

/** Crashes of a workload in one version. */
interface BuildCount {
  namespace: string;
  workload: string;
  image: string;
  groups: number;
  crashes: number;
  last: number;
}

/** Declare the metrics of groups: as they are whenever somebody scrapes. docs/groups.md says what they mean. */
export function countGroups(metrics: Metrics, groups: () => Groups, clock: Clock): void {
  const byPhase = new Series(metrics.gauge("cdh_crash_groups", "Groups of crashes by namespace and phase."));
  const recent = new Series(
    metrics.gauge(
      "cdh_crash_groups_recent",
      "Groups that are new, came back or are only counted, within the last hour.",
    ),
  );
  const buildGroups = new Series(
    metrics.gauge("cdh_crash_build_groups", "Groups of crashes by workload and image, of those seen last."),
  );
  const buildCrashes = new Series(
    metrics.gauge("cdh_crash_build_crashes", "Crashes in the store by workload and image, of those seen last."),
  );
  const suspect = new Series(
    metrics.gauge(
      "cdh_suspect_node_groups",
      "Groups seen on this node alone, of a node with far more of them than its share.",
    ),
  );
  const suspectChance = new Series(
    metrics.gauge("cdh_suspect_node_p_value", "How likely so many are by chance, corrected for the number of nodes."),
  );
  const leftOut = metrics.gauge(
    "cdh_crash_groups_left_out_crashes",
    "Crashes in no group, because there are too many groups.",
  );
  const statesLeftOut = metrics.gauge(
    "cdh_crash_group_states_left_out",
    "Groups about which something is said that is not held, because of too many something is said.",
  );
  metrics.onRender(() => {
    const { index, states } = groups();
    const nowMs = clock.now();
    const since = nowMs / 1000 - RECENT_SECONDS;
    const builds = new Map<string, BuildCount>();
    const nodes: string[][] = [];
    for (const namespace of index.namespaces().slice(0, NAMESPACES_MAX)) {
      const phases = new Map<string, number>(PHASES.map((phase) => [phase, 0]));
      const told = new Map<string, number>(RECENT.map((what) => [what, 0]));
      const count = (counts: Map<string, number>, key: string): void =>
        void counts.set(key, (counts.get(key) ?? 0) + 1);
      for (const group of index.list(namespace)) {
        const { phase } = viewOf(groups(), group, nowMs);
        const { tally } = group;
        count(phases, phase);
        if (tally.first >= since && phase !== "muted") count(told, "new");
        if ((tally.returned?.at ?? 0) >= since && phase !== "muted") count(told, "returned");
        nodes.push(tally.seen("node").map(({ value }) => value));
        if (tally.countedOnlyAt >= since) count(told, "countedOnly");
        for (const seen of tally.seen("build")) addBuild(builds, namespace, seen);
      }
      // A muted group is told as new to nobody, also while it is not known yet that it is.
      if (!states.isLoaded) continue;
      for (const [phase, value] of phases) byPhase.set(value, { namespace, phase });
      for (const [what, value] of told) recent.set(value, { namespace, what });
    }
    const shown = [...builds.values()].sort((a, b) => b.last - a.last).slice(0, BUILDS_MAX);
    for (const { namespace, workload, image, groups: count, crashes } of shown) {
      buildGroups.set(count, { namespace, workload, image });
      buildCrashes.set(crashes, { namespace, workload, image });
    }
    for (const { node, count, pValue } of suspectNodes(nodes).slice(0, SUSPECTS_MAX)) {
      suspect.set(count, { node });
      suspectChance.set(pValue, { node });
    }
    for (const series of [byPhase, recent, buildGroups, buildCrashes, suspect, suspectChance]) series.settle();
    leftOut.set(index.leftOut);
    statesLeftOut.set(states.leftOut);
  });
}

function addBuild(
  builds: Map<string, BuildCount>,
  namespace: string,
  { value, count, last }: { value: string; count: number; last: number },
): void {
  const key = JSON.stringify([namespace, value]);
  const known = builds.get(key);
  if (known === undefined) {
    builds.set(key, { namespace, ...buildOf(value), groups: 1, crashes: count, last });
    return;
  }
  known.groups += 1;
  known.crashes += count;
  known.last = Math.max(known.last, last);
}

/** A gauge whose series go when nothing has set them again. */
class Series {
  readonly #gauge: Gauge;
  #before = new Map<string, Readonly<Record<string, string>>>();
  #now = new Map<string, Readonly<Record<string, string>>>();

  constructor(gauge: Gauge) {
    this.#gauge = gauge;
  }

  set(value: number, labels: Readonly<Record<string, string>>): void {
    this.#now.set(JSON.stringify(labels), labels);
    this.#gauge.set(value, labels);
  }

  /** Forget what was not set since the last time. */
  settle(): void {
    for (const [key, labels] of this.#before) if (!this.#now.has(key)) this.#gauge.remove(labels);
    this.#before = this.#now;
    this.#now = new Map();
  }
}
