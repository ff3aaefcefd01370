import type { Clock } from "@cdh/core/clock";
import { giveWay } from "@cdh/core/give-way";
import type { Change } from "../index/change-log.ts";
import type { DumpRecord } from "../index/dump-record.ts";
import type { PastCrashes } from "../index/past-crashes.ts";
import { GroupPlace } from "./group-place.ts";
import type { Group } from "./group.ts";
import type { Tally } from "./tally.ts";

/** A group that is gone, and since which revision. */
export interface GoneGroup {
  group: Group;
  revision: number;
}

/** What the groups are made of. */
export interface GroupSources {
  clock: Clock;
  /** The dumps of a namespace, as they are now. */
  records: (namespace: string) => Iterable<DumpRecord>;
  /** Crashes of a namespace whose dumps are gone. */
  past?: (namespace: string) => Iterable<PastCrashes>;
  /** Make a revision for what is learnt now. */
  nextRevision: () => number;
  /** Groups at most; {@link GROUPS_MAX} when not said. */
  groupsMax?: number;
}

/** A namespace, and what is known of how well it is counted. */
interface Held {
  place: GroupPlace;
  /** Of the change that adding up could not follow. */
  isStale: boolean;
  /** Crashes that came while it is being counted anew; undefined while it is not. */
  meanwhile: DumpRecord[] | undefined;
  countedAt: number;
  countMs: number;
}

/**
 * All groups together. When there are more, each namespace may have an equal part of them all the same: whoever has more than
 * that gives up those with the fewest crashes.
 */
export const GROUPS_MAX = 20_000;
/** Namespaces of so many crashes are counted anew while a request waits, larger ones in turns beside the requests. */
const AT_ONCE = 1000;
/** Groups that are gone and remembered for those who watch. */
const GONE_MAX = 1000;
/** Counting a namespace anew may take so much of the time at most. */
const DUTY = 20;

/**
 * Hold the groups of all dumps, by namespace. A crash that is new is added; what cannot be added up (a crash that is gone, a
 * site that turns out to be two bugs) has its namespace counted anew when it is read next.
 */
export class GroupIndex {
  readonly #sources: GroupSources;
  readonly #max: number;
  readonly #places = new Map<string, Held>();
  #gone: GoneGroup[] = [];
  #forgottenUntil = 0;
  #size = 0;

  constructor(sources: GroupSources) {
    this.#sources = sources;
    this.#max = sources.groupsMax ?? GROUPS_MAX;
  }

  /** How many groups there are. */
  get size(): number {
    return this.#size;
  }

  /** The namespaces that have groups. */
  namespaces(): string[] {
    return [...this.#places.keys()].sort();
  }

  /** Crashes that are in no group, because there are {@link GROUPS_MAX} already. */
  get leftOut(): number {
    return [...this.#places.values()].reduce((sum, { place }) => sum + place.leftOut, 0);
  }

  /** Take in a change of the dumps. */
  follow({ before, after, revision }: Change): void {
    if (before !== undefined && after !== undefined && isSameCrash(before, after)) return;
    if (before !== undefined) this.#mark(before.namespace);
    // What was counted already is counted anew as a whole: added, it would count twice.
    if (after === undefined || before?.namespace === after.namespace) return;
    const held = this.#places.get(after.namespace) ?? this.#open(after.namespace);
    held.meanwhile?.push(after);
    const size = held.place.size;
    const hasRoom = this.#size < this.#max || size < this.#share;
    if (!held.place.add(after, revision, hasRoom)) held.isStale = true;
    if (held.place.size === size) return;
    this.#size += 1;
    if (this.#size > this.#max) this.#markLargest();
  }

  /** Count a namespace anew when it is read next: what is known of crashes whose dumps are gone has changed. */
  recount(namespace: string): void {
    (this.#places.get(namespace) ?? this.#open(namespace)).isStale = true;
  }

  /** Groups of a namespace, of all with `undefined`; in no order. */
  list(namespace?: string): Group[] {
    if (namespace !== undefined) return [...(this.#fresh(namespace)?.entries() ?? [])];
    return [...this.#places.keys()].flatMap((name) => this.list(name));
  }

  find(namespace: string, id: string): Group | undefined {
    return this.#fresh(namespace)?.find(id);
  }

  /** The id of the group that a dump belongs to; undefined when it was left out. */
  idOf(record: DumpRecord): string | undefined {
    return this.#fresh(record.namespace)?.groupOf(record)?.id;
  }

  /** Note that something of a group changed that is not counted here. */
  touch(namespace: string, id: string, revision: number): void {
    const entry = this.#places.get(namespace)?.place.find(id);
    if (entry !== undefined) entry.revision = revision;
  }

  /** Whether a namespace, any of all with `undefined`, still has to be counted anew. */
  isBehind(namespace?: string): boolean {
    if (namespace !== undefined) {
      const held = this.#places.get(namespace);
      return held !== undefined && isUnsettled(held);
    }
    return [...this.#places.values()].some(isUnsettled);
  }

  /** Groups that are gone since a revision; undefined when that is not known any more. */
  goneSince(revision: number): readonly GoneGroup[] | undefined {
    if (revision < this.#forgottenUntil) return undefined;
    return this.#gone.filter((gone) => gone.revision > revision);
  }

  /** What a namespace may have when all groups are more than there may be. */
  get #share(): number {
    return Math.max(1, Math.floor(this.#max / this.#places.size));
  }

  #open(namespace: string): Held {
    const place = GroupPlace.empty(namespace);
    const countedAt = Number.NEGATIVE_INFINITY;
    const held: Held = { place, isStale: false, meanwhile: undefined, countedAt, countMs: 0 };
    this.#places.set(namespace, held);
    return held;
  }

  #mark(namespace: string): void {
    const held = this.#places.get(namespace);
    if (held !== undefined) held.isStale = true;
  }

  #markLargest(): void {
    let largest: Held | undefined;
    for (const held of this.#places.values()) {
      if (held.place.size > (largest?.place.size ?? 0)) largest = held;
    }
    if (largest !== undefined) largest.isStale = true;
  }

  #fresh(namespace: string): GroupPlace | undefined {
    const held = this.#places.get(namespace);
    if (held?.isStale !== true) return held?.place;
    const { clock } = this.#sources;
    if (clock.monotonic() - held.countedAt < DUTY * held.countMs) return held.place;
    if (held.meanwhile !== undefined) return held.place;
    const past = [...(this.#sources.past?.(namespace) ?? [])];
    const steps = this.#countAnew(namespace, held, past);
    if (held.place.total + past.length > AT_ONCE) void inTurns(steps);
    else while (steps.next().done !== true);
    return this.#places.get(namespace)?.place;
  }

  /**
   * Count a namespace from its dumps, and from what is known of those that are gone. What changed has a new revision: whoever watches may have passed that of the change.
   * Until it is done, the groups are shown as they were.
   */
  *#countAnew(namespace: string, held: Held, past: readonly PastCrashes[]): Generator<void, void> {
    const { clock, records, nextRevision } = this.#sources;
    const began = clock.monotonic();
    held.isStale = false;
    held.meanwhile = [];
    const dumps = [...records(namespace)].reverse();
    const room = Math.max(this.#max - (this.#size - held.place.size), this.#share);
    const place = yield* GroupPlace.count(namespace, { records: dumps, past }, room);
    const before = held.place;
    const others = this.#size - before.size;
    const revision = nextRevision();
    const { meanwhile } = held;
    for (const record of meanwhile) {
      if (!place.add(record, revision, others + place.size < this.#max)) held.isStale = true;
    }
    for (const entry of place.entries()) Object.assign(entry, { createdRevision: revision, revision });
    for (const entry of place.entries()) {
      const old = before.find(entry.id);
      if (old === undefined) continue;
      entry.createdRevision = old.createdRevision;
      if (isSameTally(old.tally, entry.tally)) entry.revision = old.revision;
    }
    for (const entry of before.entries()) {
      if (place.find(entry.id) === undefined) this.#forget({ group: entry, revision });
    }
    this.#size = others + place.size;
    const countedAt = clock.monotonic();
    Object.assign(held, { place, meanwhile: undefined, countedAt, countMs: countedAt - began });
    if (place.size === 0 && place.leftOut === 0 && !held.isStale) this.#places.delete(namespace);
    if (this.#size > this.#max) this.#markLargest();
    else if (this.#size < this.#max) this.#useRoom(held);
  }

  /** There is room again: whoever left crashes out is counted anew. */
  #useRoom(except: Held): void {
    for (const held of this.#places.values()) if (held !== except && held.place.leftOut > 0) held.isStale = true;
  }

  #forget(gone: GoneGroup): void {
    this.#gone.push(gone);
    if (this.#gone.length <= GONE_MAX) return;
    const dropped = this.#gone.splice(0, GONE_MAX / 10);
    this.#forgottenUntil = dropped.at(-1)?.revision ?? this.#forgottenUntil;
  }
}

function isUnsettled({ isStale, meanwhile }: Held): boolean {
  return isStale || meanwhile !== undefined;
}

/** Let others have their turn between two steps. */
async function inTurns(steps: Generator<void, void>): Promise<void> {
  while (steps.next().done !== true) await giveWay();
}

/** Whether all that a group counts is the same. */
function isSameCrash(before: DumpRecord, after: DumpRecord): boolean {
  return (
    before.manifestStamp === after.manifestStamp && before.name === after.name && before.namespace === after.namespace
  );
}

function isSameTally(one: Tally, other: Tally): boolean {
  return (
    one.count === other.count &&
    one.dumps === other.dumps &&
    one.wholeCores === other.wholeCores &&
    one.first === other.first &&
    one.last === other.last &&
    one.newest?.name === other.newest?.name &&
    one.newestWhole?.name === other.newestWhole?.name
  );
}
