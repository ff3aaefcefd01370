import { describe, expect, it } from "vitest";
import { SeededRandom } from "@cdh/core/testing/random";
import { makeRecord } from "../testing/record.ts";
import { buildOf, QUIET_SECONDS, Tally } from "./tally.ts";

const DAY = 24 * 3600;
const START = 1_795_249_571;

const tallyOf = (days: readonly number[]): Tally => {
  const tally = new Tally();
  for (const [at, day] of days.entries())
    tally.add(makeRecord({ name: `d${at}`, crashedAt: (START + day * DAY) * 1000 }));
  return tally;
};

/** The last crash before which nothing was for a week, by looking at all of them. */
function returnedOf(days: readonly number[]): { at: number; quietSeconds: number } | undefined {
  const times = days.map((day) => START + day * DAY).sort((a, b) => a - b);
  for (let at = times.length - 1; at > 0; at -= 1) {
    const [before = 0, time = 0] = [times[at - 1], times[at]];
    if (time - before >= QUIET_SECONDS) return { at: time, quietSeconds: time - before };
  }
  return undefined;
}

it("a report that stands for crashes which a limit left out counts them all, from the first one on", () => {
  const tally = new Tally();
  const last = START * 1000;
  const counted = { truncatedBy: "rateLimit", complete: false, suppressedCount: 177, countedSince: last - 600_000 };
  tally.add(makeRecord({ ...counted, crashedAt: last }));
  expect(tally).toMatchObject({ count: 178, countedOnly: 178, dumps: 1, first: START - 600, last: START });
  expect(tally.seen("image")).toMatchObject([{ count: 178, first: START - 600, last: START }]);
  expect(tally.returned).toBeUndefined();
  const hostile = new Tally();
  hostile.add(makeRecord({ ...counted, countedSince: -1e300, crashedAt: last }));
  expect(hostile.first).toBe(START);
});

describe("a bug that comes back", () => {
  it.each([
    ["never away", [0, 1, 2], undefined],
    ["six days are no silence", [0, 6, 12], undefined],
    ["a week is", [0, 7], 7],
    ["and it is the last one that counts", [0, 30, 31, 39, 40], 39],
  ] as const)("%s", (_what, days, back) => {
    expect(tallyOf(days).returned?.at).toBe(back === undefined ? undefined : START + back * DAY);
  });

  it("is seen whatever the order in which crashes come, where they come in order also exactly", () => {
    const random = new SeededRandom(7);
    for (let run = 0; run < 300; run += 1) {
      const days = Array.from({ length: 1 + random.integer(12) }, () => random.integer(60));
      expect(tallyOf(days.toSorted((a, b) => a - b)).returned, days.join()).toEqual(returnedOf(days));
      const tally = tallyOf(days);
      if (!tally.isUnsure) expect(tally.returned, days.join()).toEqual(returnedOf(days));
      else expect(tally.returned).toBeUndefined();
    }
  });
});

it("crashes of a build are counted by workload and image together", () => {
  const tally = new Tally();
  tally.add(makeRecord({ ownerName: "web", imageRef: "shop:1" }));
  tally.add(makeRecord({ ownerName: "web", imageRef: "shop:2" }));
  tally.add(makeRecord({ ownerName: "job", imageRef: "shop:2" }));
  expect(tally.seen("build").map(({ value, count }) => ({ ...buildOf(value), count }))).toEqual([
    { workload: "job", image: "shop:2", count: 1 },
    { workload: "web", image: "shop:1", count: 1 },
    { workload: "web", image: "shop:2", count: 1 },
  ]);
});

it("names that are new each time fill no memory", () => {
  const tally = new Tally();
  for (let at = 0; at < 5000; at += 1)
    tally.add(makeRecord({ name: `d${at}`, crashedAt: at * DAY * 1000, exe: `/tmp/${at}`, nodeName: `n${at}` }));
  expect([tally.count, tally.seen("executable").length, tally.seen("node").length]).toEqual([5000, 100, 100]);
  expect(tally.days().length).toBeLessThanOrEqual(400);
});
