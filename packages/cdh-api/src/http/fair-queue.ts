/** Let so many tasks run at the same time; those that wait are taken in turn by whose they are, not by when they came. */
export class FairQueue {
  #free: number;
  /** Who waits, in the order of their turns. */
  readonly #waiting = new Map<string, (() => void)[]>();

  constructor(permits: number) {
    this.#free = permits;
  }

  /**
   * Run a task when it is its share's turn.
   * @param share see `shareOf`
   */
  async run<T>(share: string, task: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#wait(share, resolve));
    try {
      return await task();
    } finally {
      if (!this.#wakeNext()) this.#free += 1;
    }
  }

  #wait(share: string, resolve: () => void): void {
    const there = this.#waiting.get(share);
    if (there === undefined) this.#waiting.set(share, [resolve]);
    else there.push(resolve);
  }

  #wakeNext(): boolean {
    const [next] = this.#waiting;
    if (next === undefined) return false;
    const [share, waiting] = next;
    const resolve = waiting.shift();
    this.#waiting.delete(share);
    // To the end of the line.
    if (waiting.length > 0) this.#waiting.set(share, waiting);
    resolve?.();
    return true;
  }
}
