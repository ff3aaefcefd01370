import { describe, expect, it } from "vitest";
import { SeededRandom } from "@cdh/core/testing/random";
import { decide, workloadOf, type Count, type RateDecision } from "./rate-limit.ts";

const HOUR = 3_600_000;

describe("decide", () => {
  it("allows so many in a window, counts the others, and tells them with the next one", () => {
    let state: (Count | undefined)[] = [];
    const at = (nowMs: number): RateDecision => {
      const { next, decision } = decide([{ scope: "workload", count: 2, windowMs: HOUR }], state, nowMs);
      state = next;
      return decision;
    };
    expect(at(0)).toEqual({ allowed: true });
    expect(at(1000)).toEqual({ allowed: true });
    expect(at(2000)).toEqual({ allowed: false, scope: "workload", suppressedCount: 1 });
    expect(at(3000)).toEqual({ allowed: false, scope: "workload", suppressedCount: 2 });
    expect(at(HOUR)).toEqual({ allowed: true, suppressed: { count: 2, since: "1970-01-01T00:00:02.000Z" } });
    expect(at(HOUR + 1)).toMatchObject({ allowed: false, suppressedCount: 1 });
    expect(at(HOUR + 1000)).toMatchObject({ allowed: true, suppressed: { count: 1 } });
  });

  it("must meet all limits; a crash that is refused is counted once, where the narrowest is reached", () => {
    const limits = [
      { scope: "workload" as const, count: 5, windowMs: HOUR },
      { scope: "pod" as const, count: 1, windowMs: HOUR },
      { scope: "namespace" as const, count: 1, windowMs: HOUR },
    ];
    const full = { kept: [0], suppressed: 0 };
    const { next, decision } = decide(limits, [undefined, full, full], 1);
    expect(decision).toEqual({ allowed: false, scope: "pod", suppressedCount: 1 });
    expect(next).toEqual([undefined, { kept: [0], suppressed: 1, suppressedSince: 1 }, undefined]);
    const later = decide(limits, [undefined, next[1], { kept: [0], suppressed: 2, suppressedSince: 9 }], HOUR);
    expect(later.decision).toEqual({ allowed: true, suppressed: { count: 3, since: "1970-01-01T00:00:00.001Z" } });
    expect(later.next).toEqual(Array.from({ length: 3 }, () => ({ kept: [HOUR], suppressed: 0 })));
  });

  it("a clock that went backwards does not block a workload", () => {
    const count = { kept: [9 * HOUR, 9 * HOUR], suppressed: 0 };
    const { decision } = decide([{ scope: "workload", count: 2, windowMs: HOUR }], [count], HOUR);
    expect(decision).toEqual({ allowed: true });
  });

  it("never allows more than the limit in a window, whatever the times", () => {
    for (let seed = 1; seed <= 200; seed += 1) {
      const random = new SeededRandom(seed);
      const count = 1 + random.integer(4);
      let state: (Count | undefined)[] = [];
      const allowed: number[] = [];
      let [now, suppressed, told] = [0, 0, 0];
      for (let crash = 0; crash < 100; crash += 1) {
        now += random.integer(HOUR);
        const { next, decision } = decide([{ scope: "pod", count, windowMs: HOUR }], state, now);
        state = next;
        if (decision.allowed) {
          allowed.push(now);
          told += decision.suppressed?.count ?? 0;
        } else suppressed += 1;
      }
      for (const at of allowed) {
        expect(allowed.filter((other) => at - other >= 0 && at - other < HOUR).length).toBeLessThanOrEqual(count);
      }
      expect(told + (state[0]?.suppressed ?? 0), `seed ${seed}`).toBe(suppressed);
    }
  });
});

describe("workloadOf", () => {
  it.each([
    ["web-7d4b9c6f5-x2x7q", "web"],
    ["db-0", "db"],
    ["db-12", "db"],
    ["web-x2x7q", "web"],
    ["my-app", "my-app"],
    ["job-28391234-x2x7q", "job"],
    ["x", "x"],
    ["", ""],
  ])("%s", (pod, workload) => expect(workloadOf(pod)).toBe(workload));
});
