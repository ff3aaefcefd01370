import { describe, expect, it } from "vitest";
import { giveWay } from "@cdh/core/give-way";
import { groupCrashes, type CrashFacts, type CrashGroup } from "@cdh/core/groups/crash-groups";
import { jumpingClock } from "@cdh/core/testing/jumping-clock";
import { SeededRandom } from "@cdh/core/testing/random";
import { ChangeLog } from "../index/change-log.ts";
import { DumpIndex } from "../index/dump-index.ts";
import type { DumpRecord } from "../index/dump-record.ts";
import { makeRecord } from "../testing/record.ts";
import { GroupIndex } from "./group-index.ts";
import type { Group } from "./group.ts";

interface Bench {
  dumps: DumpIndex;
  groups: GroupIndex;
  clock: ReturnType<typeof jumpingClock>;
  put(changes: Partial<DumpRecord>): void;
}

/** Groups at most, so that few crashes show what happens when there are more. */
const MAX = 60;

function makeBench(groupsMax = 20_000): Bench {
  const clock = jumpingClock(1_795_249_571_000);
  const groups: GroupIndex = new GroupIndex({
    clock,
    groupsMax,
    records: (namespace) => dumps.list(namespace),
    nextRevision: () => dumps.log.next(clock.now()),
  });
  const dumps = new DumpIndex(new ChangeLog(1), (change) => groups.follow(change));
  const put = (changes: Partial<DumpRecord>): void =>
    dumps.put(makeRecord({ stem: `shop/${changes.name ?? "one"}`, revision: dumps.log.next(clock.now()), ...changes }));
  return { dumps, groups, clock, put };
}

/** What the inspector makes of the same crashes. */
function inspected(dumps: DumpIndex, namespace: string): CrashGroup[] {
  const crashes = [...dumps.list(namespace)].map((record): CrashFacts => ({
    bundle: record.name,
    crashedAt: new Date(record.crashedAt).toISOString(),
    signal: record.signalName,
    ...(record.podNamespace === undefined ? {} : { namespace: record.podNamespace }),
    ...(record.site === undefined ? {} : { site: record.site }),
    ...(record.signature === undefined ? {} : { signature: record.signature }),
    ...(record.exe === undefined ? {} : { exe: record.exe }),
    ...(record.imageRef === undefined ? {} : { image: record.imageRef }),
    ...(record.nodeName === undefined ? {} : { node: record.nodeName }),
    complete: record.complete,
  }));
  return groupCrashes(crashes, crashes);
}

const shownOf = ({ id, tally }: Group): unknown => ({
  id,
  count: tally.count,
  first: tally.first,
  last: tally.last,
  whole: tally.wholeCores,
  newest: tally.newest?.name,
  newestWhole: tally.newestWhole?.name,
  images: tally
    .seen("image")
    .map(({ value }) => value)
    .sort(),
  nodes: tally
    .seen("node")
    .map(({ value }) => value)
    .sort(),
});

const wantedOf = (group: CrashGroup): unknown => ({
  id: group.id,
  count: group.count,
  first: Date.parse(group.firstSeen ?? "") / 1000,
  last: Date.parse(group.lastSeen ?? "") / 1000,
  whole: group.wholeCores,
  newest: group.newest,
  newestWhole: group.newestWhole,
  images: group.images.toSorted(),
  nodes: group.nodes.toSorted(),
});

describe("groups of the index", () => {
  it("are those that the inspector makes of the same crashes, whatever comes and goes", () => {
    const random = new SeededRandom(18);
    const { dumps, groups, clock, put } = makeBench();
    const pick = <T>(values: readonly T[]): T => values[random.integer(values.length)] as T;
    for (let step = 0; step < 1500; step += 1) {
      const name = `d${random.integer(120)}`;
      void clock.sleep(1000);
      if (random.integer(3) === 0) dumps.remove(`shop/${name}`, dumps.log.next(clock.now()));
      else {
        put({
          name,
          manifestStamp: String(step),
          crashedAt: 1_795_249_571_000 + random.integer(50_000) * 1000,
          site: pick(["s1", "s2", "s3", undefined]),
          signature: pick(["pay @ shop", "ship @ shop", undefined, undefined]),
          exe: pick(["/bin/a", "/bin/b"]),
          imageRef: pick(["shop:1", "shop:2", undefined]),
          nodeName: pick(["n1", "n2"]),
          podNamespace: pick(["shop", "shop", "shop", undefined]),
          complete: random.integer(2) === 0,
        });
      }
      if (step % 10 !== 0) continue;
      const shown = groups.list("shop").map(shownOf);
      const wanted = inspected(dumps, "shop").map(wantedOf);
      const byId = (one: unknown, other: unknown): number =>
        (one as { id: string }).id < (other as { id: string }).id ? -1 : 1;
      expect(shown.sort(byId)).toEqual(wanted.sort(byId));
      for (const record of dumps.records()) {
        const id = groups.idOf(record);
        expect(groups.find("shop", id ?? "")?.id).toBe(id);
      }
    }
  });

  it("keep namespaces apart, and ids are the same wherever they are made", () => {
    const { groups, put } = makeBench();
    put({ name: "a", signature: "main.main @ app", site: "s" });
    put({ name: "b", stem: "pay/b", namespace: "pay", podNamespace: "pay", signature: "main.main @ app", site: "s" });
    const [shop, pay] = [groups.list("shop"), groups.list("pay")];
    expect([shop.length, pay.length]).toEqual([1, 1]);
    expect(shop[0]?.id).not.toBe(pay[0]?.id);
    expect(groups.find("pay", shop[0]?.id ?? "")).toBeUndefined();
  });

  it("tell what is gone, and what is new has a later revision than what was told before", () => {
    const { dumps, groups, clock, put } = makeBench();
    put({ name: "a", signature: "pay @ shop" });
    const [before] = groups.list("shop");
    const told = dumps.log.last;
    void clock.sleep(10);
    put({ name: "b", signature: "ship @ shop" });
    void clock.sleep(10);
    dumps.remove("shop/a", dumps.log.next(clock.now()));
    const [after, ...others] = groups.list("shop");
    expect(others).toEqual([]);
    expect(after?.createdRevision).toBeGreaterThan(told);
    expect(groups.goneSince(told)?.map(({ group }) => group.id)).toEqual([before?.id]);
    dumps.remove("shop/b", dumps.log.next(clock.now()));
    expect(groups.list("shop")).toEqual([]);
    expect(groups.size).toBe(0);
  });

  it("no namespace takes the groups of others, and whoever was left out is counted whole when there is room", () => {
    const { dumps, groups, put } = makeBench(MAX);
    const evil = (at: number): Partial<DumpRecord> => ({
      name: `e${at}`,
      stem: `evil/e${at}`,
      namespace: "evil",
      podNamespace: "evil",
      signature: `f${at} @ evil`,
    });
    for (let at = 0; at < MAX + 5; at += 1) put(evil(at));
    expect([groups.size, groups.leftOut]).toEqual([MAX, 5]);
    put({ name: "a", signature: "pay @ shop" });
    put({ name: "b", signature: "pay @ shop" });
    expect(groups.list("shop").map(({ tally }) => tally.count)).toEqual([2]);
    // The flood gives way: it keeps no more than leaves room for the others.
    expect(groups.list("evil")).toHaveLength(MAX - 1);
    expect(groups.leftOut).toBe(6);
    for (let at = 0; at < MAX + 5; at += 1) dumps.remove(`evil/e${at}`, dumps.log.next(at));
    expect(groups.list("evil")).toEqual([]);
    put({ name: "c", signature: "pay @ shop" });
    expect(groups.list("shop").map(({ tally }) => tally.count)).toEqual([3]);
    expect([groups.size, groups.leftOut]).toEqual([1, 0]);
  });

  it("a group that was left out comes back with all of its crashes", () => {
    const { dumps, groups, put } = makeBench(MAX);
    for (let at = 0; at < MAX; at += 1)
      for (const twin of ["x", "y"])
        put({ name: `${twin}${at}`, stem: `shop/${twin}${at}`, signature: `f${at} @ shop` });
    put({ name: "late", stem: "shop/late", signature: "late @ shop" });
    expect(groups.leftOut).toBe(1);
    for (const twin of ["x", "y"]) dumps.remove(`shop/${twin}0`, dumps.log.next(1));
    put({ name: "later", stem: "shop/later", signature: "late @ shop" });
    const late = groups.list("shop").find(({ key }) => key.text === "late @ shop");
    expect(late?.tally.count).toBe(2);
    expect(groups.leftOut).toBe(0);
  });

  it("a large namespace is counted anew in turns, and what comes meanwhile is not lost", async () => {
    const { dumps, groups, clock, put } = makeBench();
    for (let at = 0; at < 2500; at += 1) put({ name: `d${at}`, stem: `shop/d${at}`, signature: `f${at % 5} @ shop` });
    const counts = (): number[] =>
      groups
        .list("shop")
        .map(({ tally }) => tally.count)
        .sort((a, b) => a - b);
    expect(counts()).toEqual([500, 500, 500, 500, 500]);
    void clock.sleep(1);
    dumps.remove("shop/d0", dumps.log.next(clock.now()));
    // What is shown is as it was, and the thread is free between two steps.
    expect(counts()).toEqual([500, 500, 500, 500, 500]);
    expect(groups.isBehind("shop")).toBe(true);
    put({ name: "new", stem: "shop/new", signature: "f1 @ shop" });
    dumps.remove("shop/d2", dumps.log.next(clock.now()));
    for (let turn = 0; turn < 5000 && groups.isBehind("shop"); turn += 1) {
      void clock.sleep(100);
      await giveWay();
      groups.list("shop");
    }
    expect(counts()).toEqual([499, 499, 500, 500, 501]);
  });

  it("a manifest that changed is one crash, also before it is counted anew", () => {
    const { groups, put } = makeBench();
    put({ name: "a", signature: "pay @ shop", manifestStamp: "1" });
    put({ name: "a", signature: "pay @ shop", manifestStamp: "2" });
    expect(groups.list("shop").map(({ tally }) => tally.count)).toEqual([1]);
  });

  it("texts that a crash chose long are held short, and tell their groups apart all the same", () => {
    const { groups, put } = makeBench();
    const long = "x".repeat(8000);
    for (const end of ["a", "b"])
      put({ name: end, stem: `shop/${end}`, exe: `/${long}${end}`, imageRef: `${long}${end}` });
    const shown = groups.list("shop");
    expect(shown).toHaveLength(2);
    for (const { key, tally } of shown) {
      expect(key.text.length).toBeLessThanOrEqual(1024);
      expect(tally.seen("image")[0]?.value.length).toBeLessThanOrEqual(512);
    }
  });

  it("a protection that changes is no change of a group", () => {
    const { dumps, groups, put } = makeBench();
    put({ name: "a", signature: "pay @ shop" });
    const [before] = groups.list("shop");
    const revision = before?.revision;
    put({ name: "a", signature: "pay @ shop", keep: true });
    expect(dumps.log.last).toBeGreaterThan(revision ?? 0);
    expect(groups.list("shop")[0]?.revision).toBe(revision);
    expect(groups.list("shop")[0]?.tally.count).toBe(1);
  });
});
