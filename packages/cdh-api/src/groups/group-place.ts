import { createHash } from "node:crypto";
import { groupIdOf, groupKeyOf, type GroupKey } from "@cdh/core/groups/group-key";
import type { DumpRecord } from "../index/dump-record.ts";
import type { Group } from "./group.ts";
import { Tally } from "./tally.ts";

/** Crashes that are counted in one turn: some milliseconds of the thread that answers everybody. */
const STEP = 500;

/** A group while it is counted. */
export type Entry = { -readonly [Name in keyof Group]: Group[Name] };

/** The groups of one namespace. */
export class GroupPlace {
  readonly namespace: string;
  readonly #groups = new Map<string, Entry>();
  readonly #byId = new Map<string, Entry>();
  /** Of each site that has crashes without names: the signature of its others; undefined where none has one, null where they differ. */
  readonly #named: ReadonlyMap<string, string | null | undefined>;
  #leftOut = 0;
  #total = 0;

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
   * @param records the oldest first, so that a silence between two crashes is seen as one
   * @param room groups at most; of more, those with most crashes are kept, each of them whole
   */
  static *count(namespace: string, records: readonly DumpRecord[], room: number): Generator<void, GroupPlace> {
    const place = new GroupPlace(namespace, yield* namesOf(records));
    const texts: string[] = [];
    for (const record of records) {
      texts.push(textOf(place.#keyOf(record)));
      if (texts.length % STEP === 0) yield;
    }
    const kept = records.length <= room ? undefined : mostOf(texts, room);
    for (const [at, record] of records.entries()) {
      const text = texts[at] ?? "";
      if (kept === undefined || kept.has(text)) place.#put(record, text, 0);
      else {
        place.#leftOut += 1;
        place.#total += 1;
      }
      if (at % STEP === 0) yield;
    }
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
      return !hasRoom;
    }
    this.#put(record, text, revision);
    return !this.#changesNames(record);
  }

  #put(record: DumpRecord, text: string, revision: number): void {
    if (revision === 0) this.#total += 1;
    const known = this.#groups.get(text);
    if (known !== undefined) return known.tally.add(record);
    const key = this.#keyOf(record);
    const id = groupIdOf(key);
    const shown = { ...key, text: key.text.slice(0, KEY_MAX) };
    const { namespace } = this;
    const entry: Entry = { id, namespace, key: shown, tally: new Tally(), createdRevision: revision, revision };
    entry.tally.add(record);
    this.#groups.set(text, entry);
    this.#byId.set(id, entry);
  }

  /** Whether crashes without names may belong elsewhere from now on. */
  #changesNames({ podNamespace, site, signature }: DumpRecord): boolean {
    if (site === undefined) return false;
    const at = placeOf(podNamespace, site);
    if (signature === undefined) return !this.#named.has(at);
    const known = this.#named.get(at);
    return this.#named.has(at) && known !== null && known !== signature;
  }

  #keyOf(record: DumpRecord): GroupKey {
    const { podNamespace, site, signature, exe, comm, signalName } = record;
    const known = site === undefined ? undefined : (this.#named.get(placeOf(podNamespace, site)) ?? undefined);
    return groupKeyOf(
      { namespace: podNamespace, site, signature, exe: exe ?? comm, signal: signalName || undefined },
      known,
    );
  }
}

function* namesOf(records: readonly DumpRecord[]): Generator<void, Map<string, string | null | undefined>> {
  const named = new Map<string, string | null | undefined>();
  for (const [index, { podNamespace, site, signature }] of records.entries()) {
    if (site !== undefined && signature === undefined) named.set(placeOf(podNamespace, site), undefined);
    if (index % STEP === 0) yield;
  }
  for (const [index, { podNamespace, site, signature }] of (named.size === 0 ? [] : records).entries()) {
    if (index % STEP === 0) yield;
    if (site === undefined || signature === undefined) continue;
    const at = placeOf(podNamespace, site);
    if (!named.has(at)) continue;
    const known = named.get(at);
    named.set(at, known === undefined || known === signature ? signature : null);
  }
  return named;
}

/** Choose the texts that occur most often. */
function mostOf(texts: readonly string[], count: number): ReadonlySet<string> | undefined {
  const counts = new Map<string, number>();
  for (const text of texts) counts.set(text, (counts.get(text) ?? 0) + 1);
  if (counts.size <= count) return undefined;
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
