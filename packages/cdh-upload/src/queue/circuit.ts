import { backoffMs } from "@cdh/core/async/backoff";
import type { Clock } from "@cdh/core/clock";

/** The first wait after the store failed, and the longest. */
const BASE_MS = 1000;
const CAP_MS = 5 * 60_000;

/**
 * One switch for all uploads to a store: when the store is in trouble, everybody waits, and then a single bundle finds out whether
 * it is over.
 */
export class Circuit {
  readonly #clock: Clock;
  readonly #random: () => number;
  #failures = 0;
  #openUntil = 0;
  #probing = false;

  constructor(clock: Clock, random: () => number = Math.random) {
    this.#clock = clock;
    this.#random = random;
  }

  /** Tell whether the store was in trouble when it was last asked. */
  get isOpen(): boolean {
    return this.#failures > 0;
  }

  /** Tell whether one bundle finds out at this moment whether it is over. */
  get isProbing(): boolean {
    return this.#probing;
  }

  /** How many times in a row the store failed. */
  get failures(): number {
    return this.#failures;
  }

  /** When the next attempt is allowed, in monotonic milliseconds; undefined when it is now or a probe is under way. */
  get nextAttemptAt(): number | undefined {
    return this.isOpen && !this.#probing ? this.#openUntil : undefined;
  }

  /** Ask for leave to begin one upload. */
  tryBegin(): boolean {
    if (!this.isOpen) return true;
    if (this.#probing || this.#clock.monotonic() < this.#openUntil) return false;
    this.#probing = true;
    return true;
  }

  /** The store answered as it should. @returns true when that ended a time of trouble */
  succeeded(): boolean {
    const wasOpen = this.isOpen;
    this.#failures = 0;
    this.#probing = false;
    return wasOpen;
  }

  /** The upload ended without saying anything about the store. */
  undecided(): void {
    this.#probing = false;
  }

  /** The store failed. @returns how long all wait now, in milliseconds */
  failed(): number {
    const now = this.#clock.monotonic();
    // Uploads that began together fail together: that is one failure, not four.
    if (this.isOpen && !this.#probing && now < this.#openUntil) return this.#openUntil - now;
    this.#probing = false;
    this.#failures += 1;
    const waitMs = backoffMs(this.#failures, { baseMs: BASE_MS, capMs: CAP_MS, random: this.#random });
    this.#openUntil = now + waitMs;
    return waitMs;
  }
}
