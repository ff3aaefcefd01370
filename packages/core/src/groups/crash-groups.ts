import { createHash } from "node:crypto";

/** What of a crash counts for its group. Absent means unknown. */
export interface CrashFacts {
  /** What `show` takes: a path or a URL. */
  bundle: string;
  crashedAt?: string;
  site?: string;
  signature?: string;
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
}

/** Crashes of one bug. Lists begin with what was seen first, and hold at most {@link LISTED_MAX}. */
export interface CrashGroup {
  /** `bug-` and ten hexadecimal digits: what `show` and `ls --group` take. The same for the same key in every store. */
  id: string;
  /** What the crashes have in common: `none` where no stack is known, and only executable and signal are the same. */
  key: "signature" | "site" | "none";
  /** Of the pods; absent for crashes of no known pod. Crashes of two namespaces are never in one group. */
  namespace?: string;
  signature?: string;
  site?: string;
  /** Of the newest crash: why and where, in one line. */
  summary?: string;
  /** Of the newest crash that has one: what the program said as it ended. */
  message?: string;
  count: number;
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
  /** Crashes whose core is whole. */
  wholeCores: number;
  newest: string;
  newestWhole?: string;
}

const LISTED_MAX = 100;
const ID_LENGTH = 10;

/** What the id of a group looks like. */
export const GROUP_ID = /^bug-[\da-f]{10}$/;

/**
 * Put crashes into groups, those seen last first.
 * @param all what the place holds, whatever is wanted of it: a crash without names has its group from the others of its site
 */
export function groupCrashes(wanted: readonly CrashFacts[], all: readonly CrashFacts[]): CrashGroup[] {
  const keyOf = makeKeyOf(all);
  const groups = Map.groupBy(wanted, (crash) => idOf(keyOf(crash)));
  return [...groups.values()].map((members) => describeGroup(members, keyOf)).toSorted(lastSeenFirst);
}

/** Choose the crashes of one group. @param all as for {@link groupCrashes} */
export function crashesOfGroup<Crash extends CrashFacts>(
  wanted: readonly Crash[],
  id: string,
  all: readonly CrashFacts[],
): Crash[] {
  const keyOf = makeKeyOf(all);
  return wanted.filter((crash) => idOf(keyOf(crash)) === id);
}

interface GroupKey {
  key: CrashGroup["key"];
  namespace: string | undefined;
  text: string;
}

/** For what belongs to no pod: no namespace has this name. */
const NO_NAMESPACE = "_host";

/**
 * A crash without names belongs to those of the same site that have some, where they agree. A namespace has its own groups:
 * names are the crashed program's choice, and one tenant's must not lead to another's crash.
 */
function makeKeyOf(all: readonly CrashFacts[]): (crash: CrashFacts) => GroupKey {
  const named = new Map<string, string | undefined>();
  for (const { namespace, site, signature } of all) {
    if (site === undefined || signature === undefined) continue;
    const place = textOf(namespace, site);
    named.set(place, named.has(place) && named.get(place) !== signature ? undefined : signature);
  }
  return ({ namespace, site, signature, exe, signal }) => {
    const known = signature ?? (site === undefined ? undefined : named.get(textOf(namespace, site)));
    if (known !== undefined) return { key: "signature", namespace, text: known };
    if (site !== undefined) return { key: "site", namespace, text: site };
    return { key: "none", namespace, text: `${exe ?? ""} ${signal ?? ""}` };
  };
}

function idOf({ key, namespace, text }: GroupKey): string {
  const hash = createHash("sha256").update(`${key} ${textOf(namespace, text)}`);
  return `bug-${hash.digest("hex").slice(0, ID_LENGTH)}`;
}

/** No two pairs have one text, whatever characters are in them. */
function textOf(namespace: string | undefined, text: string): string {
  return JSON.stringify([namespace ?? NO_NAMESPACE, text]);
}

function describeGroup(members: readonly CrashFacts[], keyOf: (crash: CrashFacts) => GroupKey): CrashGroup {
  const inOrder = members.toSorted(oldestFirst);
  const timed = inOrder.filter(({ crashedAt }) => crashedAt !== undefined);
  const newest = inOrder.at(-1);
  if (newest === undefined) throw new Error("a group has crashes");
  const common = keyOf(newest);
  const { key, text } = common;
  const listed = (pick: (crash: CrashFacts) => string | undefined): string[] =>
    [...new Set(inOrder.map(pick).filter((value) => value !== undefined))].slice(0, LISTED_MAX);
  const whole = inOrder.filter(({ complete }) => complete === true);
  const summary = inOrder.findLast((crash) => crash.summary !== undefined)?.summary;
  const message = inOrder.findLast((crash) => crash.message !== undefined)?.message;
  return {
    id: idOf(common),
    key,
    ...(common.namespace === undefined ? {} : { namespace: common.namespace }),
    ...(key === "signature" ? { signature: text } : {}),
    ...(key === "site" ? { site: text } : {}),
    ...(summary === undefined ? {} : { summary }),
    ...(message === undefined ? {} : { message }),
    count: members.length,
    ...(timed.length === 0 ? {} : { firstSeen: timed[0]?.crashedAt ?? "", lastSeen: timed.at(-1)?.crashedAt ?? "" }),
    signals: listed(({ signal }) => signal),
    executables: listed(({ exe }) => exe),
    workloads: listed(({ namespace, workload }) =>
      workload === undefined ? undefined : `${namespace ?? "?"}/${workload}`,
    ),
    images: listed(({ image }) => image),
    nodes: listed(({ node }) => node),
    wholeCores: whole.length,
    newest: newest.bundle,
    ...(whole.length === 0 ? {} : { newestWhole: whole.at(-1)?.bundle ?? "" }),
  };
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
