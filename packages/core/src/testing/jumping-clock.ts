import type { Clock } from "../base/clock.ts";

/**
 * A clock that jumps to the end of each sleep and stands still otherwise.
 * @param startMs what it shows first, milliseconds
 * @param onSleep called after each jump
 */
export function jumpingClock(startMs = 0, onSleep: () => void = () => {}): Clock & { slept: number[] } {
  let now = startMs;
  const slept: number[] = [];
  return {
    slept,
    now: () => now,
    monotonic: () => now,
    sleep: async (ms) => {
      slept.push(ms);
      now += ms;
      onSleep();
    },
  };
}
