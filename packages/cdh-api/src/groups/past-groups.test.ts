import { expect, it } from "vitest";
import { giveWay } from "@cdh/core/give-way";
import { jumpingClock } from "@cdh/core/testing/jumping-clock";
import { ChangeLog } from "../index/change-log.ts";
import { DumpIndex } from "../index/dump-index.ts";
import type { DumpRecord } from "../index/dump-record.ts";
import { Past } from "../segments/past.ts";
import { makeRecord } from "../testing/record.ts";
import { GroupIndex } from "./group-index.ts";

const T = 1_795_249_571_000;
const DAY = 24 * 3600e3;

/** An index whose dumps are counted on when they are gone. */
function makeBench(groupsMax = 20_000) {
  const clock = jumpingClock(T + 60 * DAY);
  const past = new Past();
  const groups: GroupIndex = new GroupIndex({
    clock,
    groupsMax,
    records: (namespace) => dumps.list(namespace),
    past: () => past.values(),
    nextRevision: () => dumps.log.next(clock.now()),
  });
  const dumps = new DumpIndex(new ChangeLog(1), (change) => {
    if (change.before !== undefined && change.after === undefined) past.add(change.before);
    groups.follow(change);
  });
  const put = (name: string, changes: Partial<DumpRecord>): void =>
    dumps.put(makeRecord({ name, stem: `shop/${name}`, revision: dumps.log.next(clock.now()), ...changes }));
  const remove = (name: string): void => {
    void clock.sleep(60_000);
    dumps.remove(`shop/${name}`, dumps.log.next(clock.now()));
  };
  const counts = (): Record<string, number> => {
    void clock.sleep(60_000);
    return Object.fromEntries(groups.list("shop").map(({ key, tally }) => [key.text, tally.count]));
  };
  return { past, groups, dumps, put, remove, counts, clock };
}

it("crashes without names stay with those that have them, whichever dumps go first", () => {
  for (const order of [
    ["a", "b", "c"],
    ["b", "a", "c"],
    ["c", "b", "a"],
  ]) {
    const { put, remove, counts } = makeBench();
    put("a", { site: "s1", signature: "pay @ shop" });
    put("b", { site: "s1" });
    // The same bug in a later build.
    put("c", { site: "s2", signature: "pay @ shop", crashedAt: T + DAY });
    expect(counts()).toEqual({ "pay @ shop": 3 });
    for (const name of order) {
      remove(name);
      expect(counts()).toEqual({ "pay @ shop": 3 });
    }
  }
});

it("groups without a dump give way to a bug that has one, those seen last longest ago first", () => {
  const { put, remove, counts, groups } = makeBench(10);
  for (let at = 0; at < 10; at += 1) put(`d${at}`, { signature: `f${at}`, crashedAt: T + at * DAY });
  for (let at = 0; at < 10; at += 1) remove(`d${at}`);
  expect(Object.keys(counts())).toHaveLength(10);
  put("new", { signature: "new", crashedAt: T + 20 * DAY });
  const left = counts();
  expect(left).toMatchObject({ new: 1, f9: 1, f1: 1 });
  expect(left["f0"]).toBeUndefined();
  expect(groups.leftOut).toBe(1);
});

it.each([
  { days: [0, 8, 9, 20, 21], gone: [9, 20], quietDays: 8 },
  { days: [0, 9, 20, 21], gone: [9, 20], quietDays: 9 },
  // Whether it was quiet between the first and the last one that is gone is not known.
  { days: [0, 20, 21], gone: [0, 20], quietDays: undefined },
  { days: [-4, 2, 8, 20, 21], gone: [8, 20], quietDays: undefined },
  { days: [0, 3, 15, 20, 21], gone: [0, 20], quietDays: undefined },
])(
  "a silence is told where it is known, and one more crash needs no counting anew: $days",
  ({ days, gone, quietDays }) => {
    const { put, remove, groups, counts } = makeBench();
    for (const day of days) put(`d${day}`, { signature: "pay", crashedAt: T + day * DAY });
    for (const day of gone) remove(`d${day}`);
    expect(counts()).toEqual({ pay: days.length });
    put("later", { signature: "pay", crashedAt: T + 22 * DAY });
    expect(groups.isBehind("shop")).toBe(false);
    const [group] = groups.list("shop");
    expect(group?.tally.count).toBe(days.length + 1);
    expect(group?.tally.returned?.quietSeconds).toBe(quietDays === undefined ? undefined : quietDays * 86_400);
  },
);

it("many bugs of the past are counted in turns", async () => {
  const { past, groups, counts, clock } = makeBench();
  for (let at = 0; at < 3000; at += 1) past.add(makeRecord({ signature: `f${at}` }));
  groups.recount("shop");
  expect(counts()).toEqual({});
  expect(groups.isBehind("shop")).toBe(true);
  for (let turn = 0; turn < 5000 && groups.isBehind("shop"); turn += 1) {
    void clock.sleep(100);
    await giveWay();
    groups.list("shop");
  }
  expect(Object.keys(counts())).toHaveLength(3000);
});

it("a namespace of which nothing is left is gone, and what is gone changes its group's revision", () => {
  const { put, remove, groups, counts, past, dumps } = makeBench();
  put("a", { signature: "pay", nodeName: "n1" });
  put("b", { signature: "pay", nodeName: "n2", complete: false });
  put("c", { signature: "pay", nodeName: "n3" });
  expect(counts()).toEqual({ pay: 3 });
  const revision = dumps.log.last;
  remove("b");
  expect(counts()).toEqual({ pay: 3 });
  // Its nodes are those of the dumps that are there.
  expect(groups.list("shop")[0]?.revision).toBeGreaterThan(revision);
  for (const name of ["a", "c"]) remove(name);
  for (const crashes of past.values()) past.takeBack(crashes);
  groups.recount("shop");
  expect(counts()).toEqual({});
  expect(groups.namespaces()).toEqual([]);
});
