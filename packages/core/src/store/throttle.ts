import type { Clock } from "../base/clock.ts";

/** Hold a stream of bytes to a rate over all who share it. */
export interface Throttle {
  /** Wait until so many bytes may go. */
  take(bytes: number, signal?: AbortSignal): Promise<void>;
}

/** Let everything through at once. */
export const noThrottle: Throttle = { take: async () => {} };

/**
 * Make a throttle: each taker is given the next free moment on a common timeline, so that any number of parallel
 * senders together keep the rate. A pause saves up at most one second of it.
 */
export function createThrottle(bytesPerSecond: number | undefined, clock: Clock): Throttle {
  if (bytesPerSecond === undefined || bytesPerSecond <= 0) return noThrottle;
  let freeAt = clock.monotonic();
  return {
    take: async (bytes, signal) => {
      const now = clock.monotonic();
      freeAt = Math.max(freeAt, now - 1000) + (bytes / bytesPerSecond) * 1000;
      if (freeAt > now) await clock.sleep(freeAt - now, signal);
    },
  };
}
