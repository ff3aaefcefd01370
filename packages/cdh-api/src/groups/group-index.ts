import type { Clock } from "@cdh/core/clock";
import { groupIdOf, groupKeyOf, type GroupKey } from "@cdh/core/groups/group-key";
import type { Change } from "../index/change-log.ts";
import type { DumpRecord } from "../index/dump-record.ts";
import { Tally } from "./tally.ts";

/** Crashes of one bug in one namespace. */
export interface Group {
  readonly id: string;
  /** Where it is shown. */
  readonly namespace: string;
  readonly key: GroupKey;
  readonly tally: Tally;
  /** Of the index, when it was first seen here. */
  readonly createdRevision: number;
  /** Of the index, when it last changed. */
  readonly revision: number;
}

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
  /** Make a revision for what is learnt now. */
  nextRevision: () => number;
}

/** Groups of one namespace. */
interface Place {
  groups: Map<string, Entry>;
  byId: Map<string, Entry>;
  /** By site: the signature of its crashes; null where they differ. */
  named: Map<string, string | null>;
  /** Crashes that have a site and no names. */
  siteOnly: number;
  /** Crashes that are in no group. */
  leftOut: number;
  /** Of the change that adding up could not follow. */
  staleSince: number | undefined;
  rebuiltAt: number;
  rebuildMs: number;
}

type Entry = { -readonly [Name in keyof Group]: Group[Name] };

/** All groups together; crashes of further ones are counted as left out. */
export const GROUPS_MAX = 20_000;
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
  readonly #places = new Map<string, Place>();
  #gone: GoneGroup[] = [];
  #forgottenUntil = 0;
  #size = 0;

  constructor(sources: GroupSources) {
    this.#sources = sources;
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
    return [...this.#places.values()].reduce((sum, place) => sum + place.leftOut, 0);
  }

  /** Take in a change of the dumps. */
  follow({ before, after, revision }: Change): void {
    if (before !== undefined && after !== undefined && isSameCrash(before, after)) return;
    if (before !== undefined) this.#mark(before.namespace, revision);
    if (after === undefined) return;
    const place = this.#places.get(after.namespace) ?? this.#open(after.namespace);
    this.#learnName(place, after, revision);
    this.#add(place, after, revision);
  }

  /** Groups of a namespace, of all with `undefined`; in no order. */
  list(namespace?: string): Group[] {
    if (namespace !== undefined) return [...(this.#fresh(namespace)?.groups.values() ?? [])];
    return [...this.#places.keys()].flatMap((name) => this.list(name));
  }

  find(namespace: string, id: string): Group | undefined {
    return this.#fresh(namespace)?.byId.get(id);
  }

  /** The id of the group that a dump belongs to; undefined when it was left out. */
  idOf(record: DumpRecord): string | undefined {
    const place = this.#fresh(record.namespace);
    return place?.groups.get(textOf(keyIn(place, record)))?.id;
  }

  /** Note that something of a group changed that is not counted here. */
  touch(namespace: string, id: string, revision: number): void {
    const entry = this.#places.get(namespace)?.byId.get(id);
    if (entry !== undefined) entry.revision = revision;
  }

  /** Groups that are gone since a revision; undefined when that is not known any more. */
  goneSince(revision: number): readonly GoneGroup[] | undefined {
    if (revision < this.#forgottenUntil) return undefined;
    return this.#gone.filter((gone) => gone.revision > revision);
  }

  #open(namespace: string): Place {
    const place: Place = {
      groups: new Map(),
      byId: new Map(),
      named: new Map(),
      siteOnly: 0,
      leftOut: 0,
      staleSince: undefined,
      rebuiltAt: Number.NEGATIVE_INFINITY,
      rebuildMs: 0,
    };
    this.#places.set(namespace, place);
    return place;
  }

  #mark(namespace: string, revision: number): void {
    const place = this.#places.get(namespace);
    if (place !== undefined) place.staleSince = Math.max(place.staleSince ?? 0, revision);
  }

  #learnName(place: Place, { podNamespace, site, signature, namespace }: DumpRecord, revision: number): void {
    if (site === undefined) return;
    if (signature === undefined) return void (place.siteOnly += 1);
    const at = placeOf(podNamespace, site);
    const known = place.named.get(at);
    if (known === null || known === signature) return;
    place.named.set(at, known === undefined ? signature : null);
    // Crashes without names that are here may belong elsewhere now.
    if (place.siteOnly > 0) this.#mark(namespace, revision);
  }

  #add(place: Place, record: DumpRecord, revision: number): void {
    const key = keyIn(place, record);
    const text = textOf(key);
    const known = place.groups.get(text);
    if (known !== undefined) {
      known.tally.add(record);
      known.revision = revision;
      if (known.tally.isUnsure) this.#mark(record.namespace, revision);
      return;
    }
    if (this.#size >= GROUPS_MAX) return void (place.leftOut += 1);
    const id = groupIdOf(key);
    const { namespace } = record;
    const entry: Entry = { id, namespace, key, tally: new Tally(), createdRevision: revision, revision };
    entry.tally.add(record);
    place.groups.set(text, entry);
    place.byId.set(id, entry);
    this.#size += 1;
  }

  #fresh(namespace: string): Place | undefined {
    const place = this.#places.get(namespace);
    if (place?.staleSince === undefined) return place;
    const { clock } = this.#sources;
    if (clock.monotonic() - place.rebuiltAt < DUTY * place.rebuildMs) return place;
    return this.#rebuild(namespace, place);
  }

  /** What changed has a new revision: whoever watches may have passed that of the change. */
  #rebuild(namespace: string, before: Place): Place | undefined {
    const { clock, records, nextRevision } = this.#sources;
    const revision = nextRevision();
    const began = clock.monotonic();
    this.#size -= before.groups.size;
    const place = this.#open(namespace);
    // The oldest first, so that a silence between two crashes is seen as one.
    const dumps = [...records(namespace)].reverse();
    for (const record of dumps) this.#learnName(place, record, revision);
    for (const record of dumps) this.#add(place, record, revision);
    place.staleSince = undefined;
    for (const [text, entry] of place.groups) {
      const old = before.groups.get(text);
      if (old === undefined) continue;
      entry.createdRevision = old.createdRevision;
      if (isSameTally(old.tally, entry.tally)) entry.revision = old.revision;
    }
    for (const [text, entry] of before.groups) {
      if (!place.groups.has(text)) this.#forget({ group: entry, revision });
    }
    place.rebuiltAt = clock.monotonic();
    place.rebuildMs = place.rebuiltAt - began;
    if (dumps.length > 0) return place;
    this.#places.delete(namespace);
    return undefined;
  }

  #forget(gone: GoneGroup): void {
    this.#gone.push(gone);
    if (this.#gone.length <= GONE_MAX) return;
    const dropped = this.#gone.splice(0, GONE_MAX / 10);
    this.#forgottenUntil = dropped.at(-1)?.revision ?? this.#forgottenUntil;
  }
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
    one.wholeCores === other.wholeCores &&
    one.first === other.first &&
    one.last === other.last &&
    one.newest?.name === other.newest?.name &&
    one.newestWhole?.name === other.newestWhole?.name
  );
}

function keyIn(place: Place, record: DumpRecord): GroupKey {
  const { podNamespace, site, signature, exe, comm, signalName } = record;
  const known = site === undefined ? undefined : (place.named.get(placeOf(podNamespace, site)) ?? undefined);
  return groupKeyOf(
    { namespace: podNamespace, site, signature, exe: exe ?? comm, signal: signalName || undefined },
    known,
  );
}

function textOf({ key, namespace, text }: GroupKey): string {
  return `${key} ${placeOf(namespace, text)}`;
}

/** As unambiguous as JSON, and made in a fraction of the time: once for each dump of a list. */
function placeOf(namespace: string | undefined, text: string): string {
  return namespace === undefined ? `-${text}` : `${namespace.length} ${namespace}${text}`;
}
