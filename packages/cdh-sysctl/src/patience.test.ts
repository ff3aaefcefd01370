import { describe, expect, it } from "vitest";
import { Patience } from "./patience.ts";

describe("Patience", () => {
  it("repairs three times at once, then waits twice as long each time, ten minutes at most", () => {
    const patience = new Patience(20_000);
    let now = 0;
    const waits: number[] = [];
    for (let repair = 0; repair < 12; repair += 1) {
      const wait = patience.waitMs(now);
      waits.push(wait / 1000);
      now += wait;
      patience.repaired(now);
    }
    expect(waits).toEqual([0, 0, 0, 20, 40, 80, 160, 320, 600, 600, 600, 600]);
    expect(patience.fighting).toBe(true);
  });

  it("forgets after a long peace", () => {
    const patience = new Patience(20_000);
    for (let repair = 0; repair < 5; repair += 1) patience.repaired(0);
    expect(patience.waitMs(15 * 60_000)).toBe(0);
    expect(patience.waitMs(15 * 60_000 + 1)).toBe(0);
    expect(patience.fighting).toBe(false);
  });
});
