import type { DumpRecord } from "./dump-record.ts";
import { firstOf } from "./merge.ts";

/** One change of the index. `before` and `after` are both there when a dump changed. */
export interface Change {
  revision: number;
  before: DumpRecord | undefined;
  after: DumpRecord | undefined;
}

/** Another replica's clock may differ by so much; what it may have told already is told again. */
const FOREIGN_MARGIN_MS = 10_000;
/** Revisions are milliseconds with room for the replica's number. */
const SCALE = 1000;

/**
 * Remember the last changes, for those who watch. A revision is the time at which the listing began that found the
 * change, in milliseconds, and the replica's number: so a revision that another replica gave out means something here
 * too, and a change that it had not yet seen is not skipped.
 */
export class ChangeLog {
  readonly #replica: number;
  readonly #max: number;
  #changes: Change[] = [];
  #last = 0;
  #oldest = 0;
  #lookMs = 0;
  #pauseMs = 0;

  /** @param replica 0 to 999, another one in each process */
  constructor(replica: number, max = 20_000) {
    this.#replica = replica;
    this.#max = max;
  }

  /** The newest revision. */
  get last(): number {
    return this.#last;
  }

  /** Make a revision for what was learnt at a time; later ones are larger. */
  next(atMs: number): number {
    const wanted = Math.floor(atMs) * SCALE + this.#replica;
    this.#last = wanted > this.#last ? wanted : this.#last + SCALE;
    return this.#last;
  }

  /**
   * Note that a listing ended: what it did not show had not happened when it began. A client that lists then gets a
   * revision of now, and not of the last change, which a replica that began later does not know any more.
   * @param tookMs another replica's listing may pass a change that this one's, which began earlier, still finds
   */
  looked(atMs: number, tookMs: number): void {
    this.#last = Math.max(this.#last, Math.floor(atMs) * SCALE + this.#replica);
    this.#lookMs = Math.max(tookMs, this.#lookMs / 2);
  }

  /** Note how long it is until the next listing: what nobody gave notice of, another replica knows that much later. */
  pausesFor(pauseMs: number): void {
    this.#pauseMs = pauseMs;
  }

  /** Begin the history: what was before is not known. */
  begin(revision: number): void {
    this.#changes = [];
    this.#oldest = revision;
  }

  add(change: Change): void {
    this.#changes.push(change);
    if (this.#changes.length <= this.#max) return;
    const dropped = this.#changes.splice(0, Math.ceil(this.#max / 10));
    this.#oldest = dropped.at(-1)?.revision ?? this.#oldest;
  }

  /**
   * Give what came after a revision, perhaps another replica's; undefined when that is not known any more.
   * @param nowMs a revision that is later comes from a clock that is ahead
   */
  since(revision: number, nowMs: number): Change[] | undefined {
    return this.after(this.ownOf(revision, nowMs));
  }

  /**
   * Get the revision of this replica up to which a client knows everything that came before a revision, perhaps another
   * replica's.
   * @param nowMs as for {@link since}
   */
  ownOf(revision: number, nowMs: number): number {
    if (revision % SCALE === this.#replica) return revision;
    return Math.min(revision, nowMs * SCALE) - (FOREIGN_MARGIN_MS + 2 * this.#lookMs + this.#pauseMs) * SCALE;
  }

  /** Give what came after one of this replica's own revisions; undefined when that is not known any more. */
  after(revision: number): Change[] | undefined {
    if (revision < this.#oldest) return undefined;
    return this.#changes.slice(firstOf(this.#changes, (change) => change.revision > revision));
  }
}
