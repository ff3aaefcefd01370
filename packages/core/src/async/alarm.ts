import type { Clock } from "../base/clock.ts";

/** How long a wait may take. */
export interface AlarmWait {
  /** Ends the wait; nothing is thrown. */
  signal?: AbortSignal;
  /** Ends the wait after so many milliseconds. */
  timeout?: { clock: Clock; ms: number };
}

/**
 * Something to wait for, by one at a time. It may ring before anybody waits: the next wait then ends at once. Of several
 * rings between two waits the last is told.
 */
export class Alarm<Why = void> {
  #rung: { why: Why } | undefined;
  #wake: (() => void) | undefined;

  /** End the wait that goes on, or the next one. */
  ring(why: Why): void {
    this.#rung = { why };
    this.#wake?.();
  }

  /** Wait until it rings. @returns why it rang; undefined when the wait was ended by its signal or its time */
  async wait({ signal, timeout }: AlarmWait = {}): Promise<Why | undefined> {
    if (this.#rung === undefined && signal?.aborted !== true) await this.#sleep(signal, timeout);
    const rung = this.#rung;
    this.#rung = undefined;
    return rung?.why;
  }

  async #sleep(signal: AbortSignal | undefined, timeout: AlarmWait["timeout"]): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const over = new AbortController();
    this.#wake = resolve;
    signal?.addEventListener("abort", () => resolve(), { once: true, signal: over.signal });
    if (timeout !== undefined) timeout.clock.sleep(timeout.ms, over.signal).then(resolve, () => {});
    try {
      await promise;
    } finally {
      this.#wake = undefined;
      over.abort();
    }
  }
}
