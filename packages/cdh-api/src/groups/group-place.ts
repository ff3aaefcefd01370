import { createHash } from "node:crypto";
import { groupIdOf, groupKeyOf, type GroupKey } from "@cdh/core/groups/group-key";
import type { DumpRecord } from "../index/dump-record.ts";
import type { PastCrashes } from "../index/past-crashes.ts";
import type { Group } from "./group.ts";
import { Tally } from "./tally.ts";

/** Crashes that are counted in one turn: some milliseconds of the thread that answers everybody. */
const STEP = 500;

/** A group while it is counted. */
export type Entry = { -readonly [Name in keyof Group]: Group[Name] };

/** What of a crash says which group it is of. */
type KeyFacts = Pick<DumpRecord, "podNamespace" | "site" | "signature" | "exe" | "signalName"> &
  Partial<Pick<DumpRecord, "comm">>;

/** The groups of one namespace. */
export class GroupPlace {
  readonly namespace: string;
  readonly #groups = new Map<string, Entry>();
  readonly #byId = new Map<string, Entry>();
  /** Of each site that has crashes without names: the signature of its others; undefined where none has one, null where they differ. */
  readonly #named: ReadonlyMap<string, string | null | undefined>;
  #leftOut = 0;
  #total = 0;
  /** Whether some groups had no dump when they were counted. */
  #hasPastOnly = false;

  private constructor(namespace: string, named: ReadonlyMap<string, string | null | undefined>) {
    this.namespace = namespace;
    this.#named = named;
  }

  /** A namespace of which nothing is counted yet. */
  static empty(namespace: string): GroupPlace {
    return new GroupPlace(namespace, new Map());
  }

  /**
   * Count all crashes of a namespace, some at a time: between two steps others may have their turn.
   * @param crashes dumps, the oldest first, so that a silence between two crashes is seen as one; and what is known of those
   *   that are gone, in any order
   * @param room groups at most; of more, those with most dumps are kept, each of them whole, and then those without a dump that
   *   were seen last
   */
  static *count(
    namespace: string,
    { records, past = [] }: { records: readonly DumpRecord[]; past?: readonly PastCrashes[] },
    room: number,
  ): Generator<void, GroupPlace> {
    const gone = past.toSorted((a, b) => a.last - b.last);
    const place = new GroupPlace(namespace, yield* namesOf([...records, ...gone]));
    const texts = yield* place.#textsOf(records);
    const goneTexts = yield* place.#textsOf(gone);
    const kept = mostOf(texts, room);
    for (const text of goneTexts.toReversed()) if (kept.size < room) kept.add(text);
    let at = 0;
    for (const [index, one] of gone.entries()) {
      while ((records[at]?.crashedAt ?? Number.POSITIVE_INFINITY) < one.last) {
        place.#take(records[at], texts[at], kept);
        if (at % STEP === 0) yield;
        at += 1;
      }
      place.#takePast(one, goneTexts[index], kept);
      if (index % STEP === 0) yield;
    }
    for (; at < records.length; at += 1) {
      place.#take(records[at], texts[at], kept);
      if (at % STEP === 0) yield;
    }
    place.#hasPastOnly = [...place.#groups.values()].some(({ tally }) => tally.dumps === 0);
    return place;
  }

  /** Crashes that were counted. */
  get total(): number {
    return this.#total;
  }

  get size(): number {
    return this.#groups.size;
  }

  /** Crashes that are in no group, because there was no room. */
  get leftOut(): number {
    return this.#leftOut;
  }

  entries(): MapIterator<Entry> {
    return this.#groups.values();
  }

  find(id: string): Entry | undefined {
    return this.#byId.get(id);
  }

  /** The group that a dump belongs to; undefined when it was left out. */
  groupOf(record: DumpRecord): Entry | undefined {
    return this.#groups.get(textOf(this.#keyOf(record)));
  }

  /**
   * Add a crash that is new, where that can be told.
   * @param hasRoom whether there may be one more group
   * @returns false where the namespace has to be counted anew
   */
  add(record: DumpRecord, revision: number, hasRoom: boolean): boolean {
    this.#total += 1;
    const text = textOf(this.#keyOf(record));
    const known = this.#groups.get(text);
    if (known !== undefined) {
      known.tally.add(record);
      known.revision = revision;
      return !known.tally.isUnsure && !this.#changesNames(record);
    }
    // Crashes of it may be among those that were left out: one alone would be a wrong number.
    if (!hasRoom || this.#leftOut > 0) {
      this.#leftOut += 1;
      // Where there is room only by giving up groups without a dump, these give way.
      return !hasRoom && !this.#hasPastOnly;
    }
    this.#put(record, text, revision);
    return !this.#changesNames(record);
  }

  *#textsOf(crashes: readonly KeyFacts[]): Generator<void, string[]> {
    const texts: string[] = [];
    for (const crash of crashes) {
      texts.push(textOf(this.#keyOf(crash)));
      if (texts.length % STEP === 0) yield;
    }
    return texts;
  }

  #take(record: DumpRecord | undefined, text = "", kept: ReadonlySet<string>): void {
    if (record === undefined) return;
    this.#total += 1;
    if (kept.has(text)) this.#put(record, text, 0);
    else this.#leftOut += 1;
  }

  #takePast(past: PastCrashes, text = "", kept: ReadonlySet<string>): void {
    this.#total += 1;
    if (kept.has(text)) (this.#groups.get(text) ?? this.#begin(past, text, 0)).tally.addPast(past);
    else this.#leftOut += past.count;
  }

  #put(record: DumpRecord, text: string, revision: number): void {
    (this.#groups.get(text) ?? this.#begin(record, text, revision)).tally.add(record);
  }

  #begin(crash: KeyFacts, text: string, revision: number): Entry {
    const key = this.#keyOf(crash);
    const id = groupIdOf(key);
    const shown = { ...key, text: key.text.slice(0, KEY_MAX) };
    const { namespace } = this;
    const entry: Entry = { id, namespace, key: shown, tally: new Tally(), createdRevision: revision, revision };
    this.#groups.set(text, entry);
    this.#byId.set(id, entry);
    return entry;
  }

  /** Whether crashes without names may belong elsewhere from now on. */
  #changesNames({ podNamespace, site, signature }: DumpRecord): boolean {
    if (site === undefined) return false;
    const at = placeOf(podNamespace, site);
    if (signature === undefined) return !this.#named.has(at);
    const known = this.#named.get(at);
    return this.#named.has(at) && known !== null && known !== signature;
  }

  #keyOf(record: KeyFacts): GroupKey {
    const { podNamespace, site, signature, exe, comm, signalName } = record;
    const known = site === undefined ? undefined : (this.#named.get(placeOf(podNamespace, site)) ?? undefined);
    return groupKeyOf(
      { namespace: podNamespace, site, signature, exe: exe ?? comm, signal: signalName || undefined },
      known,
    );
  }
}

function* namesOf(crashes: readonly KeyFacts[]): Generator<void, Map<string, string | null | undefined>> {
  const named = new Map<string, string | null | undefined>();
  for (const [index, { podNamespace, site, signature }] of crashes.entries()) {
    if (site !== undefined && signature === undefined) named.set(placeOf(podNamespace, site), undefined);
    if (index % STEP === 0) yield;
  }
  for (const [index, { podNamespace, site, signature }] of (named.size === 0 ? [] : crashes).entries()) {
    if (index % STEP === 0) yield;
    if (site === undefined || signature === undefined) continue;
    const at = placeOf(podNamespace, site);
    if (!named.has(at)) continue;
    const known = named.get(at);
    named.set(at, known === undefined || known === signature ? signature : null);
  }
  return named;
}

/** Choose the texts that occur most often; all of them where there are no more. */
function mostOf(texts: readonly string[], count: number): Set<string> {
  if (texts.length <= count) return new Set(texts);
  const counts = new Map<string, number>();
  for (const text of texts) counts.set(text, (counts.get(text) ?? 0) + 1);
  if (counts.size <= count) return new Set(counts.keys());
  const chosen = [...counts].sort(([one, a], [other, b]) => b - a || (one < other ? -1 : 1)).slice(0, count);
  return new Set(chosen.map(([text]) => text));
}

/** Characters of a key that are shown. */
const KEY_MAX = 1024;
/** Longer texts are held as their hash: a crash chooses them. */
const TEXT_MAX = 300;

function textOf({ key, namespace, text }: GroupKey): string {
  const short = text.length <= TEXT_MAX ? text : createHash("sha256").update(text).digest("hex");
  return `${key} ${text.length <= TEXT_MAX ? "" : "#"}${placeOf(namespace, short)}`;
}

/** As unambiguous as JSON, and made in a fraction of the time: once for each dump of a list. */
function placeOf(namespace: string | undefined, text: string): string {
  return namespace === undefined ? `-${text}` : `${namespace.length} ${namespace}${text}`;
}
