import { groupIdOf, groupKeyOf, placeText, type GroupKey } from "./group-key.ts";
import { testShares, type SuspectNode } from "./suspect-nodes.ts";

export { GROUP_ID } from "./group-key.ts";

/** What of a crash counts for its group. Absent means unknown. */
export interface CrashFacts {
  /** What `show` takes: a path or a URL. */
  bundle: string;
  crashedAt?: string;
  /** How many crashes this stands for, where a limit left the others out; absent: one. */
  count?: number;
  /** When the first of them was. */
  firstAt?: string;
  site?: string;
  signature?: string;
  /** Where it happened, as far as the node could tell before it read the stack. */
  place?: string;
  signal?: string;
  exe?: string;
  /** Why and where, in one line. */
  summary?: string;
  /** What the program said as it ended. */
  message?: string;
  namespace?: string;
  workload?: string;
  image?: string;
  node?: string;
  complete?: boolean;
  /** Why its core is not whole. */
  truncatedBy?: string;
}

/** Crashes of one bug. Lists begin with what was seen first, and hold at most {@link LISTED_MAX}. */
export interface CrashGroup {
  /** `bug-` and ten hexadecimal digits: what `show` and `ls --group` take. The same for the same key in every store. */
  id: string;
  /** What the crashes have in common: `none` where no stack is known, and only executable and signal are the same. */
  key: GroupKey["key"];
  /** Of the pods; absent for crashes of no known pod. Crashes of two namespaces are never in one group. */
  namespace?: string;
  signature?: string;
  site?: string;
  /** Of the newest crash: why and where, in one line. */
  summary?: string;
  /** Of the newest crash that has one: what the program said as it ended. */
  message?: string;
  /** Those that were only counted included. */
  count: number;
  /** Of which no core was taken, because enough of their place were or because a rate limit left them out. */
  countedOnly: number;
  /** RFC 3339; absent where no crash of it has a time. */
  firstSeen?: string;
  lastSeen?: string;
  signals: string[];
  executables: string[];
  /** `namespace/workload`. */
  workloads: string[];
  /** The first is the one in which it first appeared. */
  images: string[];
  nodes: string[];
  /** A node with far more of its crashes than its share, of all nodes that have crashes. */
  suspectNode?: SuspectNode;
  /** Crashes whose core is whole. */
  wholeCores: number;
  /** Empty where no crash of it is there any more. */
  newest: string;
  newestWhole?: string;
}

const LISTED_MAX = 100;
/**
 * Put crashes into groups, those seen last first.
 * @param all what the place holds, whatever is wanted of it: a crash without names has its group from the others of its site
 */
export function groupCrashes(wanted: readonly CrashFacts[], all: readonly CrashFacts[]): CrashGroup[] {
  const keyOf = makeKeyOf(all);
  const nodes = new Set(all.flatMap(({ node }) => node ?? [])).size;
  const groups = Map.groupBy(wanted, (crash) => groupIdOf(keyOf(crash)));
  return [...groups.values()].map((members) => describeGroup(members, keyOf, nodes)).toSorted(lastSeenFirst);
}

/** Choose the crashes of one group. @param all as for {@link groupCrashes} */
export function crashesOfGroup<Crash extends CrashFacts>(
  wanted: readonly Crash[],
  id: string,
  all: readonly CrashFacts[],
): Crash[] {
  const keyOf = makeKeyOf(all);
  return wanted.filter((crash) => groupIdOf(keyOf(crash)) === id);
}

/**
 * A crash without names belongs to those of the same site that have some, where they agree, and one without a stack to those of the
 * same place.
 */
function makeKeyOf(all: readonly CrashFacts[]): (crash: CrashFacts) => GroupKey {
  const signatures = new Agreements<string>();
  for (const { namespace, site, signature } of all) signatures.note(namespace, site, signature);
  const told = (crash: CrashFacts): GroupKey => groupKeyOf(crash, signatures.of(crash.namespace, crash.site));
  const places = new Agreements<GroupKey>();
  for (const crash of all) {
    const key = told(crash);
    if (key.key !== "none") places.note(crash.namespace, crash.place, key);
  }
  return (crash) => {
    const key = told(crash);
    return key.key === "none" ? (places.of(crash.namespace, crash.place) ?? key) : key;
  };
}

/** What crashes of one namespace that share something all have, where they do not contradict each other. */
class Agreements<Value> {
  readonly #values = new Map<string, { value: Value; text: string } | undefined>();

  note(namespace: string | undefined, shared: string | undefined, value: Value | undefined): void {
    if (shared === undefined || value === undefined) return;
    const [key, text] = [placeText(namespace, shared), JSON.stringify(value)];
    this.#values.set(key, this.#values.has(key) && this.#values.get(key)?.text !== text ? undefined : { value, text });
  }

  of(namespace: string | undefined, shared: string | undefined): Value | undefined {
    return shared === undefined ? undefined : this.#values.get(placeText(namespace, shared))?.value;
  }
}

function describeGroup(
  members: readonly CrashFacts[],
  keyOf: (crash: CrashFacts) => GroupKey,
  nodes: number,
): CrashGroup {
  const inOrder = members.toSorted(oldestFirst);
  const timed = inOrder.filter(({ crashedAt }) => crashedAt !== undefined);
  const newest = inOrder.at(-1);
  if (newest === undefined) throw new Error("a group has crashes");
  const common = keyOf(newest);
  const { key, text } = common;
  const listed = (pick: (crash: CrashFacts) => string | undefined): string[] =>
    [...new Set(inOrder.map(pick).filter((value) => value !== undefined))].slice(0, LISTED_MAX);
  const whole = inOrder.filter(({ complete }) => complete === true);
  const crashes = members.reduce((sum, { count }) => sum + (count ?? 1), 0);
  // What was only counted has no stack, and says less.
  const told = inOrder.toSorted((left, right) => Number(left.count === undefined) - Number(right.count === undefined));
  const summary = told.findLast((crash) => crash.summary !== undefined)?.summary;
  const message = inOrder.findLast((crash) => crash.message !== undefined)?.message;
  const [suspectNode] = testShares(countNodes(members), nodes);
  return {
    id: groupIdOf(common),
    key,
    ...(common.namespace === undefined ? {} : { namespace: common.namespace }),
    ...(key === "signature" ? { signature: text } : {}),
    ...(key === "site" ? { site: text } : {}),
    ...(summary === undefined ? {} : { summary }),
    ...(message === undefined ? {} : { message }),
    count: crashes,
    countedOnly: members.reduce(
      (sum, { count, truncatedBy }) => sum + (count ?? (truncatedBy === "keptEnough" ? 1 : 0)),
      0,
    ),
    ...(timed.length === 0 ? {} : { firstSeen: smallestOf(timed), lastSeen: timed.at(-1)?.crashedAt ?? "" }),
    signals: listed(({ signal }) => signal),
    executables: listed(({ exe }) => exe),
    workloads: listed(({ namespace, workload }) =>
      workload === undefined ? undefined : `${namespace ?? "?"}/${workload}`,
    ),
    images: listed(({ image }) => image),
    nodes: listed(({ node }) => node),
    ...(suspectNode === undefined ? {} : { suspectNode }),
    wholeCores: whole.length,
    newest: newest.bundle,
    ...(whole.length === 0 ? {} : { newestWhole: whole.at(-1)?.bundle ?? "" }),
  };
}

function countNodes(members: readonly CrashFacts[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { node } of members) if (node !== undefined) counts.set(node, (counts.get(node) ?? 0) + 1);
  return counts;
}

function smallestOf(timed: readonly CrashFacts[]): string {
  return timed.reduce(
    (first, { crashedAt = "", firstAt = crashedAt }) => (firstAt < first ? firstAt : first),
    timed[0]?.crashedAt ?? "",
  );
}

/** Those without a time come first: nothing says that they are new. */
function oldestFirst(left: CrashFacts, right: CrashFacts): number {
  return compare(left.crashedAt ?? "", right.crashedAt ?? "") || compare(left.bundle, right.bundle);
}

function lastSeenFirst(left: CrashGroup, right: CrashGroup): number {
  return compare(right.lastSeen ?? "", left.lastSeen ?? "") || right.count - left.count || compare(left.id, right.id);
}

function compare(left: string, right: string): number {
  if (left === right) return 0;
  return left < right ? -1 : 1;
}
