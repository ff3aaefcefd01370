import { setTimeout as delay } from "node:timers/promises";

/** Tell time. The only source of time in the project, so that tests can hold it still. */
export interface Clock {
  /** Milliseconds since the Unix epoch, UTC. */
  now(): number;
  /** Milliseconds of the monotonic clock: nothing sets it. */
  monotonic(): number;
  /** Wait, however long; rejects when aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** The longest that a timer can wait, nearly 25 days; a longer one would end at once. @see setTimeout of Node */
export const TIMER_MAX_MS: number = 2 ** 31 - 1;

/**
 * Bring a duration into what one timer takes: whole milliseconds, from 0 to {@link TIMER_MAX_MS}; what is no number is 0.
 * Every timer whose duration is no constant takes it through this, which the linter holds.
 */
export function timerMs(ms: number): number {
  return Number.isNaN(ms) ? 0 : Math.max(0, Math.min(TIMER_MAX_MS, Math.ceil(ms)));
}

/** The machine's clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: async (ms, signal) => {
    const options = signal === undefined ? {} : { signal };
    // A month is longer than one timer can wait.
    let left = ms;
    for (; left > TIMER_MAX_MS; left -= TIMER_MAX_MS) await delay(TIMER_MAX_MS, undefined, options);
    await delay(timerMs(left), undefined, options);
  },
};

/** Format epoch milliseconds as RFC 3339 in UTC, with milliseconds. */
export function toRfc3339(epochMs: number): string {
  return new Date(epochMs).toISOString();
}
