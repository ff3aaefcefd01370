import { doubledMs } from "@cdh/core/async/backoff";

/** Repairs that are made at once before we start to wait between them. */
const FREE_REPAIRS = 3;
const LONGEST_WAIT_MS = 10 * 60_000;
/** A peace of this length makes us forget. */
const FORGET_AFTER_MS = 15 * 60_000;

/**
 * Decide when to set a value again that somebody keeps changing. Two programs that fight over one kernel setting help
 * nobody: the first repairs come at once, later ones after a wait that doubles.
 */
export class RepairBackoff {
  readonly #firstWaitMs: number;
  #repairs = 0;
  #lastAt = Number.NEGATIVE_INFINITY;

  constructor(firstWaitMs: number) {
    this.#firstWaitMs = firstWaitMs;
  }

  /** Tell how long to wait from `now` on, in ms; 0 when a repair may be made. */
  waitMs(now: number): number {
    if (now - this.#lastAt > FORGET_AFTER_MS) this.#repairs = 0;
    if (this.#repairs < FREE_REPAIRS) return 0;
    const wait = doubledMs(this.#repairs - FREE_REPAIRS + 1, { baseMs: this.#firstWaitMs, capMs: LONGEST_WAIT_MS });
    return Math.max(0, this.#lastAt + wait - now);
  }

  /** Note that a repair was made. */
  repaired(now: number): void {
    this.#repairs += 1;
    this.#lastAt = now;
  }

  /** Tell whether somebody is fighting back. */
  get fighting(): boolean {
    return this.#repairs >= FREE_REPAIRS;
  }
}
