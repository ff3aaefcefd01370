import type { Clock } from "../base/clock.ts";

/** Say how long to wait between attempts. */
export interface BackoffOptions {
  /** Wait after the first failure. */
  baseMs: number;
  /** No wait is longer. */
  capMs: number;
  /** Gives numbers from 0 to 1; tests hold it still. */
  random?: () => number;
}

/**
 * Compute a wait that doubles with each failure after the first, up to the cap.
 * @returns milliseconds
 */
export function doubledMs(failures: number, { baseMs, capMs }: Pick<BackoffOptions, "baseMs" | "capMs">): number {
  return Math.min(capMs, baseMs * 2 ** Math.min(failures - 1, 30));
}

/**
 * Compute the wait after the given number of failures: it doubles up to the cap, and half of it is random so that nodes
 * that failed together do not come back together.
 * @returns milliseconds
 */
export function backoffMs(failures: number, options: BackoffOptions): number {
  const full = doubledMs(failures, options);
  return full / 2 + (full / 2) * (options.random ?? Math.random)();
}

/** Say when to try again and when to give up. */
export interface RetryOptions extends BackoffOptions {
  clock: Clock;
  attempts: number;
  /** Tells whether another attempt can help. */
  isTransient: (error: unknown) => boolean;
  signal?: AbortSignal | undefined;
  onRetry?: (error: unknown, waitMs: number) => void;
}

/** Do work, again after a wait while its errors are transient; the last error is thrown. */
export async function retrying<T>(work: (attempt: number) => Promise<T>, options: RetryOptions): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work(attempt);
    } catch (error) {
      if (attempt >= options.attempts || options.signal?.aborted === true || !options.isTransient(error)) throw error;
      const waitMs = backoffMs(attempt, options);
      options.onRetry?.(error, waitMs);
      await options.clock.sleep(waitMs, options.signal);
    }
  }
}
