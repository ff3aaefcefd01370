import type { Clock } from "@cdh/core/clock";
import { CdhError } from "@cdh/core/errors";

/** How long a look that hung before is waited for again, in milliseconds. */
const AGAIN_MS = 1000;

/**
 * Look at a spool that may never answer. One look at a time: each that hangs holds a thread. While one hangs nothing else
 * should touch the spool.
 */
export class AnsweringLook<T> {
  readonly #clock: Clock;
  readonly #coreDir: string;
  readonly #timeoutMs: number;
  readonly #stopSignal: AbortSignal;
  #looking: Promise<T> | undefined;
  #movedAt = 0;
  #hangs = false;

  /**
   * @param options.timeoutMs how long nothing may move
   * @param options.stopSignal after it nobody waits for a look that hangs
   */
  constructor(options: { clock: Clock; coreDir: string; timeoutMs: number; stopSignal: AbortSignal }) {
    this.#stopSignal = options.stopSignal;
    this.#clock = options.clock;
    this.#coreDir = options.coreDir;
    this.#timeoutMs = options.timeoutMs;
  }

  /** Whether the last look has not answered. */
  get hangs(): boolean {
    return this.#hangs;
  }

  /**
   * Look, or wait once more for the look that hangs.
   * @param look begins one; it tells when something moved
   * @throws {CdhError} CDH_DISK when the spool does not answer
   */
  async look(look: (moved: () => void) => Promise<T>): Promise<T> {
    this.#movedAt = this.#clock.monotonic();
    this.#looking ??= look(() => (this.#movedAt = this.#clock.monotonic())).finally(() => {
      this.#looking = undefined;
      this.#hangs = false;
    });
    const looking = this.#looking;
    const limitMs = this.#hangs ? AGAIN_MS : this.#timeoutMs;
    const over = new AbortController();
    const timeout = async (): Promise<undefined> => {
      const stop = AbortSignal.any([over.signal, this.#stopSignal]);
      for (let left = limitMs; left > 0 && !stop.aborted; left = this.#movedAt + limitMs - this.#clock.monotonic())
        await this.#clock.sleep(left, stop).catch(() => {});
      // Told to stop, a look that moves ends by itself.
      await this.#clock.sleep(AGAIN_MS, over.signal).catch(() => {});
      return undefined;
    };
    const result = await Promise.race([looking.then((found) => ({ found })), timeout()]).finally(() => {
      over.abort();
    });
    if (result !== undefined) return result.found;
    // It may fail later, when nobody waits for it.
    looking.catch(() => {});
    this.#hangs = true;
    throw new CdhError("CDH_DISK", `the spool ${this.#coreDir} does not answer`, {
      hint: "does its file system still answer? `ls` in it tells",
    });
  }
}
