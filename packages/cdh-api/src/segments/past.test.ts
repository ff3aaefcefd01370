import { expect, it } from "vitest";
import { jumpingClock } from "@cdh/core/testing/jumping-clock";
import { GroupIndex } from "../groups/group-index.ts";
import { phaseOf } from "../groups/phase.ts";
import { Tally } from "../groups/tally.ts";
import { ChangeLog } from "../index/change-log.ts";
import { DumpIndex } from "../index/dump-index.ts";
import type { DumpRecord } from "../index/dump-record.ts";
import { makeRecord } from "../testing/record.ts";
import { decodePast, encodePast, goneHash, Past, pastOf } from "./past.ts";

const T = 1_795_249_571_000;
const DAY = 24 * 3600e3;

it("groups outlive the dumps behind them, with what is still known of these", () => {
  const clock = jumpingClock(T);
  const past = new Past();
  const groups: GroupIndex = new GroupIndex({
    clock,
    records: (namespace) => dumps.list(namespace),
    past: () => past.values(),
    nextRevision: () => dumps.log.next(clock.now()),
  });
  const dumps = new DumpIndex(new ChangeLog(1), (change) => {
    if (change.before !== undefined && change.after === undefined) past.add(change.before);
    groups.follow(change);
  });
  const put = (name: string, at: number, imageRef: string): void =>
    dumps.put(makeRecord({ name, stem: `shop/${name}`, signature: "pay @ shop", crashedAt: T + at * DAY, imageRef }));
  put("a", -3, "shop:1");
  put("b", 0, "shop:2");
  const [before] = groups.list("shop");
  for (const name of ["a", "b"]) {
    void clock.sleep(60_000);
    dumps.remove(`shop/${name}`, dumps.log.next(clock.now()));
    const [group, ...others] = groups.list("shop");
    expect(others).toEqual([]);
    expect(group).toMatchObject({ id: before?.id, tally: { count: 2, first: before?.tally.first } });
    // A core that is gone is none to look at.
    expect(group?.tally.wholeCores).toBe(name === "a" ? 1 : 0);
    expect(group?.tally.newest?.name).toBe(name === "a" ? "b" : undefined);
    expect(group?.tally.seen("image").map(({ value }) => value)).toEqual(["shop:1", "shop:2"]);
  }
  void clock.sleep(60_000);
  put("c", 20, "shop:2");
  expect(groups.list("shop")[0]?.tally).toMatchObject({ count: 3, returned: { quietSeconds: 20 * 86_400 } });
  expect(past.size).toBe(1);
});

it("a replica that knows only the past shows its groups", () => {
  const past = new Past();
  past.add(makeRecord({ signature: "pay @ shop", restartCount: 3 }));
  const groups = new GroupIndex({
    clock: jumpingClock(T),
    records: () => [],
    past: () => past.values(),
    nextRevision: () => 2,
  });
  groups.recount("shop");
  expect(groups.list("shop").map(({ key, tally }) => [key.text, tally.count])).toEqual([["pay @ shop", 1]]);
});

it("of more than there may be, whoever has most gives up its oldest, also of what takes many bytes", () => {
  const crash = (podNamespace: string, at: number, long = ""): DumpRecord =>
    makeRecord({ podNamespace, signature: `f${at} @ app${long}`, crashedAt: T + at });
  const past = new Past(undefined, { bugs: 50, bytes: 1e6 });
  past.add(crash("shop", 0));
  for (let at = 1; at < 500; at += 1) past.add(crash("evil", at));
  const left = [...past.values()];
  expect(past.size).toBeLessThanOrEqual(50);
  expect(past.size).toBe(left.length);
  expect(left.filter(({ podNamespace }) => podNamespace === "shop")).toHaveLength(1);
  expect(left.at(-1)?.signature).toBe("f499 @ app");

  const long = new Past(undefined, { bugs: 1000, bytes: 64 * 1024 });
  long.add(crash("shop", 0));
  for (let at = 1; at < 200; at += 1) long.add(crash("evil", at, "\u0001".repeat(1000)));
  const bytes = encodePast({ past: long.values(), gone: new Map() }).length;
  expect(bytes).toBeLessThan(65 * 1024);
  expect(bytes).toBeGreaterThan(32 * 1024);
  expect([...long.values()].some(({ podNamespace }) => podNamespace === "shop")).toBe(true);
});

it("as many as there may be are read again", async () => {
  const past = new Past();
  for (let at = 0; at < 20_000; at += 1) past.add(makeRecord({ signature: `f${at} @ app`, site: `s${at}`, exe: "/a" }));
  const hashes = Array.from({ length: 150_000 }, (_, at) => at.toString(16).padStart(16, "0"));
  const gone = new Map([["000000000001-0123456789ab", new Set(hashes)]]);
  const read = await decodePast(encodePast({ past: past.values(), gone }));
  expect([read.past.length, [...read.gone.values()][0]?.size]).toEqual([20_000, 150_000]);
}, 60_000);

it("says what is still true of images, workloads and programs, and takes back what is there again", () => {
  const past = new Past();
  const one = (day: number, changes: Partial<DumpRecord>): DumpRecord =>
    makeRecord({ signature: "pay @ shop", crashedAt: T + day * DAY, ...changes });
  past.add(one(0, { imageRef: "shop:1" }));
  past.add(one(1, { imageRef: "shop:2" }));
  past.add(one(4, { imageRef: "shop:2" }));
  past.add(one(5, { ownerName: "till" }));
  const tally = new Tally();
  for (const crashes of past.values()) tally.addPast(crashes);
  expect(tally.seen("workload").map(({ value, count }) => [value, count])).toEqual([
    ["worker", 3],
    ["till", 1],
  ]);
  // It crashed in shop:2 before, too: no version in which it is new.
  const state = { state: "resolved" as const, by: "ann", at: T + 3 * DAY };
  const [worker] = past.values();
  const alone = new Tally();
  if (worker !== undefined) alone.addPast(worker);
  expect(alone.count).toBe(3);
  expect(phaseOf(alone, state, T + 6 * DAY)).toBe("resolved");
  past.takeBack(pastOf(one(5, { ownerName: "till" })));
  past.takeBack(pastOf(one(4, { imageRef: "shop:2" })));
  expect([...past.values()].map(({ count, wholeCores }) => [count, wholeCores])).toEqual([[2, 2]]);
});

it("keeps nothing that a process said, nor of which pod and node it was, whoever removed the dump", async () => {
  const past = new Past();
  const said = { summary: "key sk-secret is not valid", podName: "pod-secret", nodeName: "node-secret", uid: 4711 };
  past.add(makeRecord({ ...said, site: "1111222233334444", where: "secret" }));
  const json = encodePast({ past: past.values(), gone: new Map() });
  expect(json.toString()).not.toMatch(/secret|4711/);
  // Nor does what an older version wrote come back.
  const [one] = past.values();
  const older = Buffer.from(JSON.stringify({ past: [{ ...one, summary: "a secret" }], gone: [] }));
  expect(JSON.stringify((await decodePast(older)).past)).not.toContain("secret");
});

it("is read as it was written, and whatever is none of it is left out", async () => {
  const past = new Past();
  past.add(makeRecord({ signature: "a" }));
  past.add(makeRecord({ signature: "a", crashedAt: T + DAY, imageRef: undefined, complete: false }));
  const gone = new Map([["000000000001-0123456789ab", new Set([goneHash("shop/one")])]]);
  expect(await decodePast(encodePast({ past: past.values(), gone }))).toEqual({ past: [...past.values()], gone });
  const [one] = past.values();
  const bad = [{ count: -1 }, { count: 1e300 }, { first: 1e300 }, { signature: 1 }, { restricted: "no" }];
  const made = {
    past: [null, 1, ...bad.map((change) => ({ ...one, ...change }))],
    gone: [1, ["x"], ["y", [1, "short"]]],
  };
  expect(await decodePast(Buffer.from(JSON.stringify(made)))).toEqual({ past: [], gone: new Map([["y", new Set()]]) });
  for (const text of ["", "[]", "{}", '{"past":1,"gone":[]}'])
    await expect(decodePast(Buffer.from(text))).rejects.toThrow("not readable");
});
