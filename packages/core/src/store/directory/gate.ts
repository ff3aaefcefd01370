import { timerMs } from "../../base/clock.ts";
import { CdhError } from "../../base/errors.ts";

/** How long work that was told to stop may take to clear up, in milliseconds; what hangs takes for ever. */
const CLEAR_UP_MS = 1000;

/** Say how calls into a directory are bounded. */
export interface DirectoryGateOptions {
  /** The store, for messages. */
  url: string;
  /** Work on which nothing moves for so long is given up. */
  timeoutMs: number;
  /** Most work at the same time. Work makes one call after the other, so no more threads are ever in the directory. */
  permits: number;
}

/** What work in the gate is given. */
export interface Bounded {
  /** Aborted when the work is given up. */
  signal: AbortSignal;
  /** Something moved: count anew. @param timeouts so many timeouts may pass before the next time; default 1 */
  moved(timeouts?: number): void;
}

/**
 * Bound calls into a directory that may never answer: a network file system whose server is away. A call cannot be taken
 * back; its thread is lost until the system answers. So it holds its permit until then, and when no permit is left
 * everybody is told at once. Threads of the pool that are not the gate's go on serving all else.
 */
export class DirectoryGate {
  readonly #options: DirectoryGateOptions;
  readonly #waiting: { enter: () => void; refuse: (error: CdhError) => void }[] = [];
  #free: number;
  /** Permits of work that was given up and whose calls have not answered yet. */
  #stalled = 0;

  constructor(options: DirectoryGateOptions) {
    this.#options = options;
    this.#free = options.permits;
  }

  /**
   * Do work once there is room for it.
   * @param what what is tried, for messages: `store team-a/x.zip`
   * @throws {CdhError} CDH_STORE_UNREACHABLE when nothing moves any more; the signal's reason
   */
  async run<T>(what: string, work: (bounded: Bounded) => Promise<T>, signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted();
    await this.#enter(what, signal);
    const stop = new AbortController();
    const ended = Promise.withResolvers<never>();
    // Somebody always waits for it, but perhaps not yet.
    ended.promise.catch(() => {});
    let timer: NodeJS.Timeout | undefined;
    let isStalled = false;
    const giveUp = (error: unknown): void => {
      if (isStalled) return;
      isStalled = true;
      this.#stall();
      ended.reject(error);
    };
    const arm = (ms: number, then: () => void): void => {
      clearTimeout(timer);
      timer = setTimeout(then, timerMs(ms));
    };
    const moved = (timeouts = 1): void => {
      if (stop.signal.aborted) return;
      arm(timeouts * this.#options.timeoutMs, () => {
        const error = this.#unreachable(what);
        stop.abort(error);
        giveUp(error);
      });
    };
    const onStop = (): void => {
      stop.abort(signal?.reason);
      arm(CLEAR_UP_MS, () => giveUp(signal?.reason));
    };
    signal?.addEventListener("abort", onStop, { once: true });
    moved();
    const working = work({ signal: stop.signal, moved }).finally(() => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onStop);
      if (isStalled) this.#stalled -= 1;
      this.#leave();
    });
    return await Promise.race([working, ended.promise]);
  }

  async #enter(what: string, signal: AbortSignal | undefined): Promise<void> {
    if (this.#free > 0) {
      this.#free -= 1;
      return;
    }
    if (this.#stalled >= this.#options.permits) throw this.#unreachable(what);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const place = { enter: resolve, refuse: reject };
    this.#waiting.push(place);
    const onStop = (): void => {
      const index = this.#waiting.indexOf(place);
      if (index >= 0) this.#waiting.splice(index, 1);
      reject(signal?.reason);
    };
    signal?.addEventListener("abort", onStop, { once: true });
    try {
      await promise;
    } finally {
      signal?.removeEventListener("abort", onStop);
    }
  }

  #leave(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free += 1;
    else next.enter();
  }

  #stall(): void {
    this.#stalled += 1;
    if (this.#stalled < this.#options.permits) return;
    for (const { refuse } of this.#waiting.splice(0)) refuse(this.#unreachable("use it"));
  }

  #unreachable(what: string): CdhError {
    const { url, timeoutMs } = this.#options;
    return new CdhError("CDH_STORE_UNREACHABLE", `cannot ${what} in ${url}: nothing moved for ${timeoutMs / 1000} s`, {
      hint: "does the directory's file system still answer? `ls` in it tells",
    });
  }
}
