import type { Clock } from "@cdh/core/clock";

interface Entry<T> {
  value: Promise<T>;
  until: number;
}

/** Remember answers for a while, at most so many; who asks for the same thing meanwhile waits for the one answer. */
export class TtlCache<T> {
  readonly #clock: Clock;
  readonly #max: number;
  readonly #entries = new Map<string, Entry<T>>();

  constructor(clock: Clock, max: number) {
    this.#clock = clock;
    this.#max = max;
  }

  /**
   * Give the answer that is remembered, or get it. Failures are not remembered.
   * @param ttlMs how long the answer is good
   */
  async get(key: string, ask: () => Promise<T>, ttlMs: (value: T) => number): Promise<T> {
    const known = this.#entries.get(key);
    if (known !== undefined && known.until > this.#clock.monotonic()) return await known.value;
    const entry: Entry<T> = { value: ask(), until: Number.POSITIVE_INFINITY };
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    this.#bound();
    try {
      const value = await entry.value;
      entry.until = this.#clock.monotonic() + ttlMs(value);
      return value;
    } catch (error) {
      if (this.#entries.get(key) === entry) this.#entries.delete(key);
      throw error;
    }
  }

  #bound(): void {
    for (const key of this.#entries.keys()) {
      if (this.#entries.size <= this.#max) return;
      this.#entries.delete(key);
    }
  }
}
