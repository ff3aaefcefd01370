import type { Clock } from "@cdh/core/clock";
import { reasonOf } from "@cdh/core/errors";
import type { Logger } from "@cdh/core/log";
import type { Change } from "../index/change-log.ts";
import type { DumpIndex } from "../index/dump-index.ts";
import type { DumpRecord } from "../index/dump-record.ts";
import { PackedRecord } from "../index/packed-record.ts";
import type { PastCrashes } from "../index/past-crashes.ts";
import type { PlacementRules } from "../index/placement.ts";
import { nameAfter, type SegmentFolder } from "./folder.ts";
import { countLive, disownRows, rowsOf, unwrittenRows } from "./held-rows.ts";
import { PendingPast } from "./ledger.ts";
import { addGone, encodePast, type Gone, GONE_HASHES_MAX, goneHash, Past } from "./past.ts";
import { chooseInputs, type KnownSegment } from "./plan.ts";
import { eachRow, type ReadSegment, readSegments } from "./read.ts";
import { packRows } from "./rows-to-blocks.ts";
import { joinSegment, pack } from "./segment.ts";

/** A store in which nothing changes is told as often to be so: readers ask how old a segment is. */
const HEARTBEAT_MS = 3600e3;

/** What writing segments needs. */
export interface WriterOptions {
  folder: SegmentFolder;
  index: DumpIndex;
  rules: PlacementRules;
  clock: Clock;
  log: Logger;
  /** When the last listing began that went to its end, epoch milliseconds; undefined before the first one. */
  listedAt: () => number | undefined;
  intervalMs: number;
  onRound?: (outcome: { segments: number } | { failure: unknown }) => void;
}

/** A segment that lies in the store. */
interface Known {
  name: string;
  rows: number;
  past: readonly PastCrashes[];
  gone: Gone;
}

/**
 * Keep segments of the index in the store, as the one replica that leads. Each object tells all that belongs together:
 * rows, what became of dumps that are gone, and which segments it stands for. So a writer that ends at any point leaves segments of
 * which each dump, and each dump that is gone, counts once.
 */
export class SegmentWriter {
  readonly #options: WriterOptions;
  /** By the number that rows of it have; there is no number 0. */
  #known = new Map<number, Known>();
  #pending = new PendingPast();
  /** Until the segments are read: dumps that went meanwhile, by {@link goneHash}, and their crashes. */
  #wentMeanwhile = new Set<string>();
  #meanwhile = new Past();
  #isRead = false;
  #damaged = new Set<string>();
  /** Segments of which others say that they stand for them. */
  #ignored = new Set<string>();
  #listedAt = 0;
  #trouble: string | undefined;

  constructor(options: WriterOptions) {
    this.#options = options;
  }

  /** Write what is new now and then, until told to stop. Never rejects for the store's sake. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, log, index, intervalMs, onRound, listedAt } = this.#options;
    while (listedAt() === undefined && !signal.aborted) await clock.sleep(1000, signal).catch(() => {});
    const unwatch = index.watch((change) => this.#follow(change));
    try {
      this.#known = new Map();
      this.#isRead = false;
      // Another one led perhaps: the segments tell whether it counted them.
      this.#forgetMeanwhile();
      while (!signal.aborted) {
        try {
          const written = await this.round(signal);
          if (this.#trouble !== undefined) log.info("the index is written again");
          this.#trouble = undefined;
          if (written > 0) log.debug("wrote segments of the index", { written, segments: this.#known.size });
          onRound?.({ segments: this.#known.size });
        } catch (failure) {
          if (signal.aborted) return;
          const reason = reasonOf(failure);
          if (reason !== this.#trouble) {
            log.warn("cannot keep the index in the store: a replica that starts reads every manifest", { reason });
          }
          this.#trouble = reason;
          onRound?.({ failure });
        }
        await clock.sleep(intervalMs, signal).catch(() => {});
      }
    } finally {
      unwatch();
    }
  }

  /**
   * Write what is new. @returns how many segments were written
   * @throws {CdhError} the CDH_STORE family
   */
  async round(signal: AbortSignal): Promise<number> {
    const stored = await this.#options.folder.list(signal);
    const names = new Set(stored.map(({ name }) => name).filter((name) => !this.#ignored.has(name)));
    const isKnown = names.size === this.#known.size && [...this.#known.values()].every(({ name }) => names.has(name));
    // Another one wrote, or removed, or this is the first time.
    if (!isKnown || this.#known.size === 0) await this.#readAll(signal);
    let written = 0;
    for (;;) {
      const rows = unwrittenRows(this.#options.index);
      const isLate = (this.#options.listedAt() ?? 0) - this.#listedAt > HEARTBEAT_MS;
      const inputs = chooseInputs(this.#census(), rows.length);
      if (rows.length === 0 && inputs.length === 0 && this.#pending.isEmpty && !isLate) return written;
      await this.#write(rows, new Set(inputs.map(({ name }) => name)), signal);
      written += 1;
    }
  }

  #follow({ before, after }: Change): void {
    if (before === undefined || after !== undefined) return;
    const segment = before instanceof PackedRecord ? before.block.segments[before.row] : 0;
    const name = this.#known.get(segment ?? 0)?.name;
    if (name !== undefined || this.#isRead) return this.#pending.count(before, name);
    this.#meanwhile.add(before);
    this.#wentMeanwhile.add(goneHash(before.stem));
  }

  #forgetMeanwhile(): void {
    this.#meanwhile = new Past();
    this.#wentMeanwhile.clear();
  }

  /** Learn what the store holds: which rows are written, and which dumps of segments are gone. */
  async #readAll(signal: AbortSignal): Promise<void> {
    const { folder, index, rules, log } = this.#options;
    const { pool } = index;
    disownRows(index, () => true);
    this.#known = new Map();
    this.#pending.forgetHeld();
    this.#isRead = false;
    const counted = new Set<string>();
    const gone: Gone = new Map();
    const take = async (segment: ReadSegment): Promise<void> => {
      const number = this.#freeNumber();
      const known = { name: segment.name, rows: 0, past: segment.past, gone: segment.gone };
      this.#known.set(number, known);
      for await (const block of segment.blocks()) {
        known.rows += block.rows;
        await eachRow(block, (row) => {
          const record = new PackedRecord(block, row);
          const hash = gone.has(segment.name) ? goneHash(record.stem) : undefined;
          const isGone = hash !== undefined && gone.get(segment.name)?.has(hash) === true;
          this.#judge(record, number, isGone, counted);
        });
      }
      addGone(gone, segment.gone);
      this.#listedAt = Math.max(this.#listedAt, segment.listedAt);
    };
    const { valid, damaged, replaced } = await readSegments({ folder, rules, pool, log }, take, signal);
    this.#isRead = true;
    this.#pending.merge(this.#meanwhile.values());
    this.#forgetMeanwhile();
    for (const [number, { name }] of this.#known) if (!valid.includes(name)) this.#disown(number);
    // One that could not be read once may have been cut off on its way.
    const again = damaged.filter((name) => this.#damaged.has(name));
    this.#damaged = new Set(damaged);
    for (const name of again) await folder.remove(name, signal);
    // One that others stand for is left: only who put them together knows that it was so.
    this.#ignored = new Set(replaced);
  }

  #judge(record: PackedRecord, number: number, isGone: boolean, counted: Set<string>): void {
    const { index } = this.#options;
    const id = index.idOfStem(record.stem);
    const name = this.#known.get(number)?.name ?? "";
    if (id < 0) {
      const hash = goneHash(record.stem);
      if (!isGone) {
        if (counted.has(hash) || this.#wentMeanwhile.has(hash)) this.#pending.note(record.stem, name);
        else this.#pending.count(record, name);
      }
      counted.add(hash);
      return;
    }
    const there = index.pool.at(id);
    if (!isGone && there.block.segments[there.row] === 0 && isSame(there, record))
      there.block.segments[there.row] = number;
  }

  #disown(number: number): void {
    this.#known.delete(number);
    disownRows(this.#options.index, (segment) => segment === number);
  }

  #freeNumber(): number {
    for (let number = 1; number < 0xffff; number += 1) if (!this.#known.has(number)) return number;
    throw new Error("too many segments");
  }

  #census(): KnownSegment[] {
    const live = countLive(this.#options.index);
    return [...this.#known].map(([number, { name, rows }]) => ({ name, rows, live: live.get(number) ?? 0 }));
  }

  async #write(fresh: readonly PackedRecord[], inputs: ReadonlySet<string>, signal: AbortSignal): Promise<void> {
    const { folder, listedAt, log } = this.#options;
    const numbers = [...this.#known].filter(([, { name }]) => inputs.has(name)).map(([number]) => number);
    const rows = [...fresh, ...rowsOf(this.#options.index, new Set(numbers))];
    const pending = this.#pending;
    this.#pending = new PendingPast();
    const name = nameAfter([...this.#known.values()].map((known) => known.name));
    try {
      const part = this.#pastOf(pending, numbers);
      const goneCount = [...part.gone.values()].reduce((sum, { size }) => sum + size, 0);
      if (goneCount > GONE_HASHES_MAX) {
        log.warn("more dumps are gone at once than a segment tells: the next leader counts some of them again", {
          gone: goneCount,
        });
      }
      const known: Known = { name, rows: rows.length, ...part };
      const head = { listedAt: listedAt() ?? 0, replaces: [...inputs] };
      const blocks = await packRows(rows);
      const past = part.past.length === 0 && part.gone.size === 0 ? undefined : await pack(encodePast(part));
      await folder.write(name, await joinSegment({ head, blocks, past }), signal);
      this.#own(rows, this.#add(known));
      this.#listedAt = Math.max(this.#listedAt, head.listedAt);
    } catch (error) {
      this.#pending.takeBack(pending);
      throw error;
    }
    for (const number of numbers) this.#disown(number);
    for (const input of inputs) await folder.remove(input, signal);
  }

  #add(known: Known): number {
    const number = this.#freeNumber();
    this.#known.set(number, known);
    return number;
  }

  /** Note that a segment holds rows; what became of them while it was written counts. */
  #own(rows: readonly PackedRecord[], number: number): void {
    const { index } = this.#options;
    const name = this.#known.get(number)?.name ?? "";
    for (const record of rows) {
      const { stem } = record;
      const id = index.idOfStem(stem);
      // It was counted when it went.
      if (id < 0) this.#pending.note(stem, name);
      else {
        const there = index.pool.at(id);
        if ((there.block === record.block && there.row === record.row) || isSame(there, record))
          there.block.segments[there.row] = number;
      }
    }
  }

  /** What the new segment tells of dumps that are gone: its inputs' and what is new, but not of segments that go. */
  #pastOf(pending: PendingPast, numbers: readonly number[]): { past: PastCrashes[]; gone: Gone } {
    const past = new Past();
    const gone: Gone = new Map();
    for (const one of pending.past()) past.merge(one);
    addGone(gone, pending.gone);
    for (const number of numbers) {
      const input = this.#known.get(number);
      for (const one of input?.past ?? []) past.merge(one);
      addGone(gone, input?.gone ?? new Map());
    }
    const stays = new Set([...this.#known].flatMap(([number, { name }]) => (numbers.includes(number) ? [] : [name])));
    for (const name of gone.keys()) if (!stays.has(name)) gone.delete(name);
    return { past: [...past.values()], gone };
  }
}

function isSame(one: DumpRecord, other: DumpRecord): boolean {
  return (
    one.manifestStamp === other.manifestStamp &&
    one.keep === other.keep &&
    one.bundleBytes === other.bundleBytes &&
    one.storedAt === other.storedAt &&
    one.name === other.name
  );
}
