import type { Clock } from "../base/clock.ts";

/** Wait for something, but no longer than `ms` milliseconds; then it is undefined. No timer is left behind. */
export async function soon<T>(work: Promise<T>, ms: number, clock: Clock): Promise<T | undefined> {
  const over = new AbortController();
  try {
    return await Promise.race([work, clock.sleep(ms, over.signal).then(() => undefined)]);
  } finally {
    over.abort();
  }
}
