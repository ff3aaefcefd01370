import { describe, expect, it } from "vitest";
import { ANY_BUG, chooseBugs, parseBug } from "./bug.ts";
import { bucketsOf, widthWords } from "./chart.ts";
import { parseCrash, stateOf, type Crash } from "./crash.ts";
import { choose, covers, EVERYTHING, queryOf, valuesOf } from "./filter.ts";
import { bugsHash, crashesHash, crashHash, parseRoute } from "./route.ts";
import { lastDays } from "./sparkline.ts";

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
    expect(parseRoute(crashesHash(filter))).toEqual({ view: "list", filter });
    expect(parseRoute(crashHash({ namespace: "a/b", name: "c?d" }))).toEqual({
      view: "crash",
      namespace: "a/b",
      name: "c?d",
    });
    for (const odd of ["", "#", "#/", "#/%E0%A4%A/x", "#/only"]) expect(parseRoute(odd).view).toBe("bugs");
    // Links of before there were bugs.
    expect(parseRoute("#/?signal=SIGBUS")).toEqual({ view: "list", filter: { ...EVERYTHING, signal: "SIGBUS" } });
    const bugs = { ...ANY_BUG, namespace: "shop", phase: "muted" };
    expect(parseRoute(bugsHash(bugs))).toEqual({ view: "bugs", filter: bugs });
    expect(bugsHash(ANY_BUG)).toBe("#/");
    expect(parseRoute("#/shop/bug-0123456789")).toEqual({ view: "bug", namespace: "shop", name: "bug-0123456789" });
  });
});

describe("bugs", () => {
  const bug = (name: string, phase: string, lastSeen: string, more: object = {}): ReturnType<typeof parseBug> =>
    parseBug({
      metadata: { name, namespace: "shop" },
      spec: { key: "signature", signature: `${name} @ shop` },
      status: { phase, lastSeen, images: [{ name: "shop:1.8", count: 2 }], ...more },
    });
  const all = [
    bug("old", "open", "2026-11-20T00:00:00Z"),
    bug("newer", "open", "2026-11-21T00:00:00Z"),
    bug("fresh", "new", "2026-11-19T00:00:00Z"),
    bug("back", "regressed", "2026-11-18T00:00:00Z"),
    bug("quiet", "muted", "2026-11-22T00:00:00Z"),
  ];

  it("that came back stand first, then new ones; settled ones only where they are asked for", () => {
    const names = (filter: object): string[] => chooseBugs(all, { ...ANY_BUG, ...filter }).map(({ name }) => name);
    expect(names({})).toEqual(["back", "fresh", "newer", "old"]);
    expect(names({ phase: "all" })).toEqual(["back", "fresh", "quiet", "newer", "old"]);
    expect(names({ phase: "muted" })).toEqual(["quiet"]);
    expect(names({ search: "SHOP:1.8 old" })).toEqual(["old"]);
    expect(names({ namespace: "pay" })).toEqual([]);
  });

  it("whatever is missing or not what it should be is empty", () => {
    for (const odd of [undefined, null, 1, "x", [], {}, { status: { days: [null, 1], images: 7 }, metadata: null }]) {
      const { what, phase, count, images } = parseBug(odd);
      expect([what, phase, count, images]).toEqual(["?, no stack", "open", 0, []]);
    }
  });

  it("a sparkline has a bar for each day, in UTC", () => {
    const days = new Map([
      ["2026-11-21", 3],
      ["2026-11-19", 1],
      ["2026-10-01", 9],
    ]);
    expect(lastDays(days, 3, Date.UTC(2026, 10, 21, 23, 59)).map(({ count }) => count)).toEqual([1, 0, 3]);
  });
});
