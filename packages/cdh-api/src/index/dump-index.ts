import { append } from "@cdh/core/lists";
import type { Change, ChangeLog } from "./change-log.ts";
import type { DumpRecord } from "./dump-record.ts";
import { byAge, firstOf, merge } from "./merge.ts";
import { type Position } from "./position.ts";

/** Hold every dump of the store, by name and in order: namespace, then newest first. */
export class DumpIndex {
  readonly log: ChangeLog;
  readonly #byStem = new Map<string, DumpRecord>();
  readonly #byName = new Map<string, DumpRecord>();
  readonly #namespaces = new Map<string, { dumps: DumpRecord[]; sorted: boolean }>();
  readonly #watchers = new Set<(change: Change) => void>();

  constructor(log: ChangeLog) {
    this.log = log;
  }

  get size(): number {
    return this.#byStem.size;
  }

  /** The namespaces that hold dumps, in order. */
  namespaces(): string[] {
    return [...this.#namespaces.keys()].sort();
  }

  byStem(stem: string): DumpRecord | undefined {
    return this.#byStem.get(stem);
  }

  byName(name: string): DumpRecord | undefined {
    return this.#byName.get(name);
  }

  /** Find a dump where it is asked for; a name of another namespace does not exist. */
  find(namespace: string, name: string): DumpRecord | undefined {
    const found = this.#byName.get(name);
    return found?.namespace === namespace ? found : undefined;
  }

  records(): IterableIterator<DumpRecord> {
    return this.#byStem.values();
  }

  /**
   * List dumps in order. The arrays are copies: what changes meanwhile does not disturb who reads.
   * @param namespace absent: all of them
   */
  *list(namespace?: string, after?: Position): Generator<DumpRecord> {
    const names = namespace === undefined ? this.namespaces() : [namespace];
    for (const name of names) {
      if (after !== undefined && name < after.namespace) continue;
      const dumps = this.#sorted(name).slice();
      const start = after?.namespace === name ? firstOf(dumps, (dump) => byTime(dump, after) > 0) : 0;
      for (let at = start; at < dumps.length; at += 1) {
        const dump = dumps[at];
        if (dump !== undefined) yield dump;
      }
    }
  }

  /** Give the next dumps of {@link list} as they are now: for who takes long, and must not hold a copy of everything. */
  page(namespace: string | undefined, after: Position | undefined, count: number): DumpRecord[] {
    const page: DumpRecord[] = [];
    const names = namespace === undefined ? this.namespaces() : [namespace];
    for (const name of names) {
      if (after !== undefined && name < after.namespace) continue;
      const dumps = this.#sorted(name);
      const start = after?.namespace === name ? firstOf(dumps, (dump) => byTime(dump, after) > 0) : 0;
      append(page, dumps.slice(start, start + count - page.length));
      if (page.length === count) break;
    }
    return page;
  }

  /**
   * List dumps of all namespaces, the newest first, each beginning where the ones before ended.
   * @param since leave out what crashed before, epoch milliseconds
   */
  *newestFirst(namespace?: string, after?: Position, since = Number.NEGATIVE_INFINITY): Generator<DumpRecord> {
    const names = namespace === undefined ? this.namespaces() : [namespace];
    const runs = names.map((name) => {
      const dumps = this.#sorted(name).slice();
      return { dumps, at: after === undefined ? 0 : firstOf(dumps, (dump) => byAge(dump, after) > 0) };
    });
    yield* merge(runs, byAge, since);
  }

  /** Count what {@link list} gives, or {@link newestFirst}. */
  count(namespace?: string, since?: number): number {
    const names = namespace === undefined ? [...this.#namespaces.keys()] : [namespace];
    let count = 0;
    for (const name of names) {
      const dumps = this.#sorted(name);
      count += since === undefined ? dumps.length : firstOf(dumps, (dump) => dump.crashedAt < since);
    }
    return count;
  }

  /** Take a dump in, or replace what it was; watchers are told unless `quiet`. */
  put(record: DumpRecord, options: { quiet?: boolean } = {}): void {
    const before = this.#byStem.get(record.stem);
    if (before !== undefined) this.#forget(before);
    this.#byStem.set(record.stem, record);
    this.#byName.set(record.name, record);
    const there = this.#namespaces.get(record.namespace);
    if (there === undefined) this.#namespaces.set(record.namespace, { dumps: [record], sorted: true });
    else {
      there.dumps.push(record);
      there.sorted = false;
    }
    if (options.quiet !== true) this.#tell({ revision: record.revision, before, after: record });
  }

  /** Drop a dump. */
  remove(stem: string, revision: number): DumpRecord | undefined {
    const before = this.#byStem.get(stem);
    if (before === undefined) return undefined;
    this.#forget(before);
    this.#tell({ revision, before, after: undefined });
    return before;
  }

  /** Whether somebody is told of changes. */
  get isWatched(): boolean {
    return this.#watchers.size > 0;
  }

  /** Be told of each change from now on. */
  watch(listener: (change: Change) => void): () => void {
    this.#watchers.add(listener);
    return () => void this.#watchers.delete(listener);
  }

  #tell(change: Change): void {
    this.log.add(change);
    for (const listener of this.#watchers) listener(change);
  }

  #forget(record: DumpRecord): void {
    this.#byStem.delete(record.stem);
    if (this.#byName.get(record.name) === record) this.#byName.delete(record.name);
    const there = this.#namespaces.get(record.namespace);
    if (there === undefined) return;
    let at = there.sorted ? firstOf(there.dumps, (dump) => byTime(dump, record) >= 0) : -1;
    if (there.dumps[at] !== record) at = there.dumps.indexOf(record);
    if (at >= 0) there.dumps.splice(at, 1);
    if (there.dumps.length === 0) this.#namespaces.delete(record.namespace);
  }

  #sorted(namespace: string): DumpRecord[] {
    const there = this.#namespaces.get(namespace);
    if (there === undefined) return [];
    if (!there.sorted) {
      there.dumps.sort(byTime);
      there.sorted = true;
    }
    return there.dumps;
  }
}

/** Order within a namespace: newest first, then by name. */
function byTime(a: Omit<Position, "namespace">, b: Omit<Position, "namespace">): number {
  if (a.crashedAt !== b.crashedAt) return b.crashedAt - a.crashedAt;
  return a.name === b.name ? 0 : a.name < b.name ? -1 : 1;
}
