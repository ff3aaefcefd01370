import { describe, expect, it } from "vitest";
import { crashCount } from "./crash-count.ts";

const crashedAt = "2026-11-30T12:00:00Z";
const first = "2026-11-30T11:00:00Z";

describe("crashCount", () => {
  it("is one for a crash, and as many as a report was counted for", () => {
    expect(crashCount({ crashedAt })).toEqual({ count: 1, firstAt: crashedAt });
    expect(crashCount({ crashedAt, counted: { count: 37, first, last: crashedAt } })).toEqual({
      count: 37,
      firstAt: first,
    });
  });

  it.each([0, -1, 1.5, Number.NaN, 1e300])("%d crashes are one", (count) =>
    expect(crashCount({ crashedAt, counted: { count, first, last: crashedAt } }).count).toBe(1),
  );
});
