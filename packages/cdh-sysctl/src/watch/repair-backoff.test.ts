import { describe, expect, it } from "vitest";
import { RepairBackoff } from "./repair-backoff.ts";

describe("RepairBackoff", () => {
  it("repairs three times at once, then waits twice as long each time, ten minutes at most", () => {
    const backoff = new RepairBackoff(20_000);
    let now = 0;
    const waits: number[] = [];
    for (let repair = 0; repair < 12; repair += 1) {
      const wait = backoff.waitMs(now);
      waits.push(wait / 1000);
      now += wait;
      backoff.repaired(now);
    }
    expect(waits).toEqual([0, 0, 0, 20, 40, 80, 160, 320, 600, 600, 600, 600]);
    expect(backoff.fighting).toBe(true);
  });

  it("forgets after a long peace", () => {
    const backoff = new RepairBackoff(20_000);
    for (let repair = 0; repair < 5; repair += 1) backoff.repaired(0);
    expect(backoff.waitMs(15 * 60_000)).toBe(0);
    expect(backoff.waitMs(15 * 60_000 + 1)).toBe(0);
    expect(backoff.fighting).toBe(false);
  });
});
