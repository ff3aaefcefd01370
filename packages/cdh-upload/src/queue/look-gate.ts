import type { Clock } from "@cdh/core/clock";

/** A look at the spool holds uploads back for so long at most. */
const LOOK_MS = 5000;

/**
 * Holds uploads back while the spool is looked at: only the first begin. A turn is fair when everybody who waits is known,
 * and looking at a bundle is much faster than sending one. A look that takes long is not waited for.
 */
export class LookGate {
  readonly #clock: Clock;
  readonly #first: number;
  #look: { until: number; left: number } | undefined;

  /** @param first so many uploads begin all the same */
  constructor(clock: Clock, first: number) {
    this.#clock = clock;
    this.#first = first;
  }

  /** Say that a look begins. @returns ends it when disposed of */
  begin(): Disposable {
    const look = { until: this.#clock.monotonic() + LOOK_MS, left: this.#first };
    this.#look = look;
    return {
      [Symbol.dispose]: () => {
        if (this.#look === look) this.#look = undefined;
      },
    };
  }

  /** Tell whether an upload may begin now. */
  get isOpen(): boolean {
    return this.#look === undefined || this.#look.left > 0 || this.#look.until <= this.#clock.monotonic();
  }

  /** Say that one began. */
  began(): void {
    if (this.#look !== undefined) this.#look.left -= 1;
  }
}
