import { timerMs, type Clock } from "@cdh/core/clock";
import { CdhError } from "@cdh/core/errors";
import type { Native } from "./native.ts";

/** Milliseconds that one call of the spool may take after TIMEOUT. */
const ANSWER_MS = 3_000;

/** Milliseconds that a flush may take then: it writes all that the system still holds. */
export const FLUSH_MS = 30_000;

/** Milliseconds that may pass after TIMEOUT without any call: then something waits for what never comes. */
const IDLE_MS = 15_000;

/** Milliseconds between two looks at what has not answered. */
const LOOK_MS = 250;

/** Seconds after TIMEOUT in which the event loop must turn; else the kernel's alarm ends the process. */
const ALARM_SECONDS = 10;

/** A call that has not answered. Times in milliseconds, of the monotonic clock. */
interface Call {
  since: number;
  maxMs: number;
}

/**
 * Hold a composer to TIMEOUT: composers must not gather while a disk is away. From then on no call of the spool may take
 * longer than a few seconds, else the work ends with an error. A call that keeps the thread keeps the event loop with
 * it; there alarm(2) ends the process.
 */
export class TimeLimit {
  /** Aborts at TIMEOUT. */
  readonly signal: AbortSignal;
  readonly #clock: Clock;
  readonly #native: Native;
  readonly #coreDir: string;
  readonly #calls = new Set<Call>();
  /** When a call began or ended, monotonic milliseconds. */
  #activeAt = 0;

  /** @param timeoutMs TIMEOUT, milliseconds; @param coreDir the spool, for the error */
  constructor(timeoutMs: number, coreDir: string, clock: Clock, native: Native) {
    this.signal = AbortSignal.timeout(timerMs(timeoutMs));
    this.#clock = clock;
    this.#native = native;
    this.#coreDir = coreDir;
    native.alarm(Math.ceil(timeoutMs / 1000) + ALARM_SECONDS);
  }

  /** Watch a call of the spool until it answers. @param maxMs milliseconds that it may take after TIMEOUT */
  async watch<T>(call: Promise<T>, maxMs: number = ANSWER_MS): Promise<T> {
    const entry: Call = { since: this.#clock.monotonic(), maxMs };
    this.#calls.add(entry);
    this.#activeAt = entry.since;
    try {
      return await call;
    } finally {
      this.#calls.delete(entry);
      this.#activeAt = this.#clock.monotonic();
    }
  }

  /**
   * Do work until it ends, or until a watched call has not answered in time.
   * @throws {CdhError} CDH_DISK when a call did not answer; what the work throws
   */
  async enforce<T>(work: Promise<T>): Promise<T> {
    const over = new AbortController();
    try {
      return await Promise.race([work, this.#silence(over.signal)]);
    } finally {
      over.abort();
    }
  }

  /** Leave only the time that it takes to say how it ended. Whoever has more to do calls the alarm off. */
  end(): void {
    this.#native.alarm(ALARM_SECONDS);
  }

  async #silence(over: AbortSignal): Promise<never> {
    await aborted(AbortSignal.any([this.signal, over]));
    const timeoutAt = this.#clock.monotonic();
    while (!over.aborted) {
      this.#native.alarm(ALARM_SECONDS);
      const now = this.#clock.monotonic();
      const isIdle = this.#calls.size === 0 && now - Math.max(this.#activeAt, timeoutAt) > IDLE_MS;
      if (isIdle || [...this.#calls].some(({ since, maxMs }) => now - Math.max(since, timeoutAt) > maxMs))
        throw new CdhError("CDH_DISK", `cannot write to ${this.#coreDir}: no answer until TIMEOUT`);
      await this.#clock.sleep(LOOK_MS, over).catch(() => {});
    }
    return await new Promise<never>(() => {});
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
