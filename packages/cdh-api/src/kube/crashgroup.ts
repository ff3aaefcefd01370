import { printable } from "@cdh/core/output";
import { GROUP, GROUP_KIND, GROUP_VERSION, NOTE, RESOLVED_IN, STATE_LABEL } from "../group.ts";
import type { ViewedGroup } from "../groups/groups.ts";
import type { Seen, SeenKind } from "../groups/tally.ts";
import { uidOf } from "../index/placement.ts";
import { kubeTime, type Json } from "./json.ts";
import { labelValue } from "./labels.ts";

/** Values of a kind that an object of a list tells of; one that is read alone tells of all that are held. */
const LISTED_MAX = 20;
/** Days that an object tells of. */
const DAYS_MAX = 90;
const DAY_MS = 24 * 3600e3;

/** Say in one line what the crashes of a group have in common; safe to print. */
export function whatOf({ group: { key, tally } }: ViewedGroup): string {
  if (key.key === "signature") return printable(key.text);
  if (key.key === "site") return tally.newest?.summary || `site ${printable(key.text)}`;
  return `${printable(tally.seen("executable")[0]?.value ?? "?")}, no stack`;
}

/** What labels a group carries below core-dump-handler.dev/, beside its state. */
const READERS: Readonly<Record<string, (view: ViewedGroup) => string | undefined>> = {
  phase: ({ phase }) => phase,
  signal: firstOf("signal"),
  executable: (view) => {
    const path = firstOf("executable")(view);
    return path?.slice(path.lastIndexOf("/") + 1);
  },
  workload: firstOf("workload"),
};

/** The value seen first stands for all: one label has one. */
function firstOf(kind: SeenKind): (view: ViewedGroup) => string | undefined {
  return ({ group }) => group.tally.seen(kind)[0]?.value;
}

/** Read one label of a group; undefined when it does not have it. */
export function groupLabelOf(view: ViewedGroup, key: string): string | undefined {
  if (key === STATE_LABEL) return view.state?.state;
  if (!key.startsWith(`${GROUP}/`)) return undefined;
  const name = key.slice(GROUP.length + 1);
  return Object.hasOwn(READERS, name) ? labelValue(READERS[name]?.(view)) : undefined;
}

/** Make the metadata of a group. */
export function groupMetadataOf(view: ViewedGroup, revision = view.group.revision): Json {
  const { group, state } = view;
  const keys = [...Object.keys(READERS).map((name) => `${GROUP}/${name}`), STATE_LABEL];
  const labels = keys.flatMap((key) => {
    const value = groupLabelOf(view, key);
    return value === undefined ? [] : [[key, value]];
  });
  const annotations =
    state === undefined
      ? undefined
      : {
          [RESOLVED_IN]: state.resolvedIn,
          [NOTE]: state.note,
          [`${GROUP}/state-by`]: state.by || undefined,
          [`${GROUP}/state-at`]: kubeTime(state.at),
        };
  return {
    name: group.id,
    namespace: group.namespace,
    uid: uidOf(`group ${group.id}`, group.namespace),
    resourceVersion: String(revision),
    creationTimestamp: kubeTime(group.tally.first * 1000),
    labels: Object.fromEntries(labels),
    annotations,
  };
}

/** Make the object. @param most values of a kind that it tells of */
export function groupObjectOf(view: ViewedGroup, revision?: number, most: number = Number.POSITIVE_INFINITY): Json {
  const { key, tally } = view.group;
  const seen = (kind: SeenKind): Json[] | undefined => seenOf(tally.seen(kind).slice(0, most));
  return {
    apiVersion: GROUP_VERSION,
    kind: GROUP_KIND,
    metadata: groupMetadataOf(view, revision),
    spec: { key: key.key, [key.key === "none" ? "program" : key.key]: key.text },
    status: {
      phase: view.phase,
      summary: tally.newest?.summary || undefined,
      count: tally.count,
      wholeCores: tally.wholeCores,
      countedOnly: tally.countedOnly || undefined,
      firstSeen: kubeTime(tally.first * 1000),
      lastSeen: kubeTime(tally.last * 1000),
      returnedAt: tally.returned === undefined ? undefined : kubeTime(tally.returned.at * 1000),
      quietDays: tally.returned === undefined ? undefined : Math.floor(tally.returned.quietSeconds / 86_400),
      signals: seen("signal"),
      executables: seen("executable"),
      workloads: seen("workload"),
      images: seen("image"),
      nodes: seen("node"),
      days: tally
        .days()
        .slice(-DAYS_MAX)
        .map(({ day, count }) => ({ date: new Date(day * DAY_MS).toISOString().slice(0, 10), count })),
      newest: tally.newest?.name,
      newestWhole: tally.newestWhole?.name,
    },
  };
}

/** Make the object as lists and watches show it. */
export function groupSummaryOf(view: ViewedGroup, revision?: number): Json {
  return groupObjectOf(view, revision, LISTED_MAX);
}

function seenOf(seen: readonly Readonly<Seen>[]): Json[] | undefined {
  if (seen.length === 0) return undefined;
  return seen.map(({ value, count, first, last }) => ({
    name: value,
    count,
    firstSeen: kubeTime(first * 1000),
    lastSeen: kubeTime(last * 1000),
  }));
}
