import { describe, expect, it } from "vitest";
import { bucketsOf, widthWords } from "./chart.ts";
import { parseCrash, stateOf, type Crash } from "./crash.ts";
import { choose, covers, EVERYTHING, queryOf, valuesOf } from "./filter.ts";
import { crashHash, listHash, parseRoute } from "./route.ts";

const NOW = Date.UTC(2026, 10, 21, 12);
const HOUR = 3_600_000;

function crash(changes: Partial<Crash> = {}): Crash {
  return { ...parseCrash({}), namespace: "shop", name: "c1", pod: "cart-1", time: NOW - HOUR / 2, ...changes };
}

describe("parseCrash", () => {
  it("reads an object of the API", () => {
    const read = parseCrash({
      metadata: { name: "c1", namespace: "shop", labels: { "core-dump-handler.dev/keep": "true" } },
      spec: {
        crashedAt: "2026-11-21T11:30:00Z",
        process: { comm: "cart", exe: "/usr/bin/cart" },
        signal: { name: "SIGSEGV" },
        pod: { name: "cart-1", owner: { name: "cart" } },
        core: { truncatedBy: "rlimit" },
      },
      status: { core: { sizeBytes: 5 }, bundle: { sizeBytes: 6 }, complete: false, problemCount: 2 },
    });
    expect(read).toMatchObject({
      time: NOW - HOUR / 2,
      workload: "cart",
      program: "/usr/bin/cart",
      coreBytes: 5,
      bundleBytes: 6,
      problems: 2,
      keep: true,
    });
    expect(stateOf(read)).toBe("cut (rlimit)");
  });

  it.each([undefined, null, 7, "x", [], { metadata: null, spec: 5, status: { core: [] } }])(
    "makes something of %j",
    (value) => {
      expect(parseCrash(value)).toMatchObject({ name: "", time: 0, complete: false });
    },
  );
});

describe("choose", () => {
  const crashes = [
    crash(),
    crash({ name: "c2", pod: "mailer-1", signal: "SIGBUS", time: NOW - 30 * HOUR }),
    crash({ name: "c3", namespace: "pay", workload: "cart", time: NOW - HOUR / 4 }),
  ];
  const names = (filter: Partial<typeof EVERYTHING>): string[] =>
    choose(crashes, { ...EVERYTHING, ...filter }, NOW).map(({ name }) => name);

  it("orders newest first and filters by each wish and all together", () => {
    expect(names({})).toEqual(["c3", "c1", "c2"]);
    expect(names({ namespace: "shop" })).toEqual(["c1", "c2"]);
    expect(names({ workload: "cart" })).toEqual(["c3"]);
    expect(names({ signal: "SIGBUS" })).toEqual(["c2"]);
    expect(names({ time: "24h" })).toEqual(["c3", "c1"]);
    expect(names({ search: "CART shop" })).toEqual(["c1"]);
    expect(names({ search: "cart", signal: "SIGBUS" })).toEqual([]);
    expect(valuesOf(crashes, "namespace")).toEqual(["pay", "shop"]);
  });
});

describe("covers", () => {
  const query = (changes: Partial<typeof EVERYTHING>): ReturnType<typeof queryOf> =>
    queryOf({ ...EVERYTHING, ...changes });
  it.each([
    [{}, { namespace: "shop", time: "1h", signal: "SIGBUS" }, true],
    [{ namespace: "shop" }, {}, false],
    [{ namespace: "shop" }, { namespace: "pay" }, false],
    [{ namespace: "shop" }, { namespace: "shop", workload: "cart" }, true],
    [{ time: "24h" }, { time: "1h" }, true],
    [{ time: "24h" }, { time: "7d" }, false],
    [{ time: "24h" }, {}, false],
    [{ search: "x" }, { search: "y" }, true],
  ])("%j has everything of %j: %s", (asked, wanted, holds) => {
    expect(covers(query(asked), query(wanted))).toBe(holds);
  });
});

describe("bucketsOf", () => {
  it("counts every crash once, in bars that a person can count", () => {
    for (const spanHours of [0.2, 1, 24, 7 * 24, 400 * 24]) {
      const crashes = Array.from({ length: 500 }, (_, index) =>
        crash({ time: NOW - (index / 500) * spanHours * HOUR }),
      );
      const { widthMs, buckets } = bucketsOf(crashes, NOW - spanHours * HOUR, NOW);
      expect(buckets.length).toBeLessThanOrEqual(62);
      expect(buckets.reduce((sum, { count }) => sum + count, 0)).toBe(500);
      expect((buckets[1]?.start ?? widthMs) - (buckets[0]?.start ?? 0)).toBe(widthMs);
    }
    expect(bucketsOf([], undefined, NOW).buckets.every(({ count }) => count === 0)).toBe(true);
    expect([60_000, 300_000, HOUR, 3 * HOUR, 24 * HOUR].map(widthWords)).toEqual([
      "each minute",
      "every 5 minutes",
      "each hour",
      "every 3 hours",
      "each day",
    ]);
  });
});

describe("addresses", () => {
  it("go there and back", () => {
    const filter = { ...EVERYTHING, search: "a b&c", signal: "SIGBUS" };
    expect(parseRoute(listHash(filter))).toEqual({ view: "list", filter });
    expect(parseRoute(crashHash({ namespace: "a/b", name: "c?d" }))).toEqual({
      view: "crash",
      namespace: "a/b",
      name: "c?d",
    });
    for (const odd of ["", "#", "#/%E0%A4%A/x", "#/only"]) expect(parseRoute(odd).view).toBe("list");
  });
});
