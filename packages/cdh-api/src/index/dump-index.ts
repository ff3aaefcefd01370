import type { Change, ChangeLog } from "./change-log.ts";
import type { DumpRecord } from "./dump-record.ts";
import { byAge, firstOf, merge, type Run } from "./merge.ts";
import { OrderedRows } from "./ordered-rows.ts";
import type { PackedRecord } from "./packed-record.ts";
import type { Position } from "./position.ts";
import { type Blocks, recordAt, RecordPool } from "./record-pool.ts";
import { BLOCK_ROWS, LINKED, type RowBlock, WAS_LINKED } from "./row-block.ts";
import { RowMap } from "./row-map.ts";

/** A block of which less is in the index is given up, and what is left moves. */
const USED_LEAST = 0.5;

/** Hold every dump of the store, by name and in order: namespace, then newest first. */
export class DumpIndex {
  readonly log: ChangeLog;
  /** Holds the records. */
  readonly pool = new RecordPool();
  readonly #stems = new RowMap();
  readonly #names = new RowMap();
  readonly #namespaces = new Map<string, OrderedRows>();
  readonly #watchers = new Set<(change: Change) => void>();
  readonly #follow: (change: Change) => void;

  /** @param follow told of every change, the first look's too, before anybody else */
  constructor(log: ChangeLog, follow: (change: Change) => void = () => {}) {
    this.log = log;
    this.#follow = follow;
  }

  get size(): number {
    return this.#stems.size;
  }

  /** The namespaces that hold dumps, in order. */
  namespaces(): string[] {
    return [...this.#namespaces.keys()].sort();
  }

  byStem(stem: string): DumpRecord | undefined {
    const id = this.idOfStem(stem);
    return id < 0 ? undefined : this.pool.at(id);
  }

  /** Number of the row that holds the dump of a key; -1: none does. */
  idOfStem(stem: string): number {
    const { hash, isIt } = this.pool.stemKey(stem);
    return this.#stems.find(hash, isIt);
  }

  byName(name: string): DumpRecord | undefined {
    const id = this.#names.find(this.pool.nameHash(name), (row) => this.pool.nameAt(row) === name);
    return id < 0 ? undefined : this.pool.at(id);
  }

  /** Find a dump where it is asked for; a name of another namespace does not exist. */
  find(namespace: string, name: string): DumpRecord | undefined {
    const found = this.byName(name);
    return found?.namespace === namespace ? found : undefined;
  }

  /** All of them, as they were when each block of them was begun, in no order. */
  *records(): Generator<PackedRecord> {
    const { blocks } = this.pool;
    for (const id of this.ids()) yield recordAt(blocks, id);
  }

  /** Numbers of all rows, in no order. */
  *ids(): Generator<number> {
    for (const block of this.pool.blocks) {
      if (block === undefined) continue;
      const { rows, index } = block;
      for (let row = 0; row < rows; row += 1)
        if (((block.flags[row] ?? 0) & LINKED) !== 0) yield index * BLOCK_ROWS + row;
    }
  }

  /**
   * List dumps in order. What changes meanwhile does not disturb who reads.
   * @param namespace absent: all of them
   */
  *list(namespace?: string, after?: Position): Generator<DumpRecord> {
    const names = namespace === undefined ? this.namespaces() : [namespace];
    for (const name of names) {
      if (after !== undefined && name < after.namespace) continue;
      const { blocks } = this.pool;
      const ids = this.#inOrder(name).slice();
      const start = after?.namespace === name ? firstOf(ids, (id) => byTime(recordAt(blocks, id), after) > 0) : 0;
      yield* recordsOf(blocks, ids, start);
    }
  }

  /** Give the next dumps of {@link list} as they are now: for who takes long, and must not hold a copy of everything. */
  page(namespace: string | undefined, after: Position | undefined, count: number): DumpRecord[] {
    const page: DumpRecord[] = [];
    const names = namespace === undefined ? this.namespaces() : [namespace];
    for (const name of names) {
      if (after !== undefined && name < after.namespace) continue;
      const ids = this.#inOrder(name);
      const start = after?.namespace === name ? firstOf(ids, (id) => byTime(this.pool.at(id), after) > 0) : 0;
      for (const id of ids.slice(start, start + count - page.length)) page.push(this.pool.at(id));
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
    const { blocks } = this.pool;
    const runs = names.map((name): Run<DumpRecord> => {
      const ids = this.#inOrder(name).slice();
      return recordsOf(
        blocks,
        ids,
        after === undefined ? 0 : firstOf(ids, (id) => byAge(recordAt(blocks, id), after) > 0),
      );
    });
    yield* merge(runs, byAge, since);
  }

  /** Count what {@link list} gives, or {@link newestFirst}. */
  count(namespace?: string, since?: number): number {
    const names = namespace === undefined ? [...this.#namespaces.keys()] : [namespace];
    let count = 0;
    for (const name of names) {
      count +=
        since === undefined
          ? (this.#namespaces.get(name)?.count ?? 0)
          : firstOf(this.#inOrder(name), (id) => this.pool.number(id, "crashedAt") < since);
    }
    return count;
  }

  /** Take a dump in, or replace what it was; watchers are told unless `quiet`. */
  put(record: DumpRecord, options: { quiet?: boolean } = {}): void {
    const { pool } = this;
    const beforeId = this.idOfStem(record.stem);
    const before = beforeId < 0 ? undefined : pool.at(beforeId);
    let id = pool.idOf(record);
    // A row that was here before may still stand where it stood.
    if ((pool.flags(id) & WAS_LINKED) !== 0) id = pool.idOf(pool.changed(record, {}));
    if (before !== undefined) this.#forget(beforeId, before);
    this.link(id);
    const change = { revision: record.revision, before, after: pool.at(id) };
    this.#follow(change);
    if (options.quiet !== true) this.#tell(change);
  }

  /** Take in a row of the pool's, whose key is not here, without telling anybody. */
  link(id: number): void {
    const { pool } = this;
    const { name, namespace } = pool.at(id);
    pool.setFlags(id, LINKED | WAS_LINKED);
    this.#stems.add(pool.stemHash(id), id);
    const hash = pool.nameHash(name);
    const taken = this.#names.find(hash, (row) => pool.nameAt(row) === name);
    if (taken < 0) this.#names.add(hash, id);
    else this.#names.replace(hash, taken, id);
    let there = this.#namespaces.get(namespace);
    if (there === undefined) this.#namespaces.set(namespace, (there = new OrderedRows(pool)));
    there.add(id);
  }

  /** Take in a row of the pool's that was read with others, whose key is not here. Only who follows everything is told. */
  adopt(id: number): void {
    this.link(id);
    const after = this.pool.at(id);
    this.#follow({ revision: after.revision, before: undefined, after });
  }

  /** Drop a dump. */
  remove(stem: string, revision: number): DumpRecord | undefined {
    const id = this.idOfStem(stem);
    if (id < 0) return undefined;
    const before = this.pool.at(id);
    this.#forget(id, before);
    const change = { revision, before, after: undefined };
    this.#follow(change);
    this.#tell(change);
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

  /** Give up blocks of which little is in use. What stays keeps its numbers, what moves gets new ones. */
  compact(): void {
    const { pool } = this;
    const moved = new Map<number, number>();
    for (const block of pool.blocks) {
      if (block === undefined || block === pool.current) continue;
      if (block.linked >= Math.min(block.rows, BLOCK_ROWS / 2) * USED_LEAST) continue;
      this.#move(block, moved);
      pool.drop(block);
    }
    if (moved.size > 0) for (const rows of this.#namespaces.values()) rows.replace(moved);
  }

  #move(block: RowBlock, moved: Map<number, number>): void {
    const { pool } = this;
    for (let row = 0; row < block.rows; row += 1) {
      const flags = block.flags[row] ?? 0;
      if ((flags & LINKED) === 0) continue;
      const id = block.index * BLOCK_ROWS + row;
      const to = pool.changed(pool.at(id), {});
      const toId = pool.idOf(to);
      pool.setFlags(toId, flags);
      to.block.segments[to.row] = block.segments[row] ?? 0;
      this.#stems.replace(pool.stemHash(id), id, toId);
      this.#names.replace(pool.nameHash(pool.nameAt(id)), id, toId);
      moved.set(id, toId);
    }
  }

  #tell(change: Change): void {
    this.log.add(change);
    for (const listener of this.#watchers) listener(change);
  }

  #forget(id: number, { name, namespace }: DumpRecord): void {
    const { pool } = this;
    pool.setFlags(id, 0, LINKED);
    this.#stems.remove(pool.stemHash(id), id);
    // Another one may have taken the name.
    this.#names.remove(pool.nameHash(name), id);
    const there = this.#namespaces.get(namespace);
    there?.noteGone();
    if (there?.count === 0) this.#namespaces.delete(namespace);
  }

  #inOrder(namespace: string): readonly number[] {
    return this.#namespaces.get(namespace)?.inOrder() ?? [];
  }
}

function* recordsOf(blocks: Blocks, ids: readonly number[], start: number): Generator<DumpRecord, undefined> {
  for (let at = start; at < ids.length; at += 1) {
    const id = ids[at];
    if (id !== undefined) yield recordAt(blocks, id);
  }
  return undefined;
}

/** Order within a namespace: newest first, then by name. */
function byTime(a: Omit<Position, "namespace">, b: Omit<Position, "namespace">): number {
  if (a.crashedAt !== b.crashedAt) return b.crashedAt - a.crashedAt;
  return a.name === b.name ? 0 : a.name < b.name ? -1 : 1;
}
