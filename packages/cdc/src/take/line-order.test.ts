import { describe, expect, it } from "vitest";
import { makesWay, mayTry, nextInLine, type Slot, type Waiter } from "./line-order.ts";

const waiter = (group: string, member: string, since: number): Waiter => ({
  group,
  member: `${group}/${member}`,
  since,
});
const heldBy = (group: string, member: string, takenAt = 1): Slot => ({
  owner: { group, member: `${group}/${member}` },
  isHeld: true,
  takenAt,
});
const leftBy = (group: string, member: string, takenAt = 1): Slot => ({
  ...heldBy(group, member, takenAt),
  isHeld: false,
});

describe("nextInLine", () => {
  it("is whoever's namespace holds the fewest slots, however late it came", () => {
    const waiters = [waiter("loud", "a", 1), waiter("loud", "b", 2), waiter("calm", "c", 900)];
    expect(nextInLine(waiters, [heldBy("loud", "a"), heldBy("loud", "b")])).toBe(waiters[2]);
  });

  it("is whoever's pod holds the fewest, within a namespace", () => {
    const waiters = [waiter("shop", "loud", 1), waiter("shop", "calm", 900)];
    expect(nextInLine(waiters, [heldBy("shop", "loud")])).toBe(waiters[1]);
  });

  it("is not the one who had the last turn, also with a single slot", () => {
    const waiters = [waiter("loud", "a", 1), waiter("calm", "c", 900)];
    expect(nextInLine(waiters, [leftBy("loud", "a")])).toBe(waiters[1]);
    expect(nextInLine(waiters, [leftBy("calm", "c")])).toBe(waiters[0]);
  });

  it("is otherwise who has waited longest", () => {
    const waiters = [waiter("b", "x", 5), waiter("a", "x", 3), waiter("c", "x", 4)];
    expect(nextInLine(waiters, [])).toBe(waiters[1]);
    expect(nextInLine([], [])).toBeUndefined();
  });
});

it("as many may try as slots are free, the next one always", () => {
  const waiters = [waiter("a", "x", 1), waiter("b", "x", 2), waiter("c", "x", 3)];
  const may = (slots: Slot[]): boolean[] => waiters.map((each) => mayTry(each, waiters, slots));
  expect(may([heldBy("z", "x"), heldBy("z", "y")])).toEqual([true, false, false]);
  expect(may([leftBy("z", "x"), heldBy("z", "y")])).toEqual([true, false, false]);
  expect(may([leftBy("z", "x"), leftBy("z", "y")])).toEqual([true, true, false]);
});

describe("makesWay", () => {
  const full = [heldBy("loud", "a"), heldBy("loud", "b"), heldBy("loud", "c"), heldBy("loud", "d")];
  const holding = (heldMs: number, trickles = false) => ({
    group: "loud",
    member: "loud/a",
    index: 0,
    heldMs,
    trickles,
  });
  const quick = holding(300);

  it("at once for anybody when the core trickles", () => {
    expect(makesWay(holding(0, true), waiter("loud", "a", 1), full)).toBe(true);
  });

  it("soon for a namespace that would still have no more than ours", () => {
    expect(makesWay(quick, waiter("calm", "x", 1), full)).toBe(true);
    expect(makesWay(holding(100), waiter("calm", "x", 1), full)).toBe(false);
    const shared = [heldBy("loud", "a"), heldBy("loud", "b"), heldBy("calm", "x"), heldBy("calm", "y")];
    expect(makesWay(holding(60_000), waiter("calm", "z", 1), shared)).toBe(false);
  });

  it("after a while for one who has no slot where everybody has one", () => {
    const four = ["loud", "b", "c", "d"].map((group) => heldBy(group, "a"));
    expect(makesWay(quick, waiter("calm", "x", 1), four)).toBe(false);
    expect(makesWay(holding(2_000), waiter("calm", "x", 1), four)).toBe(true);
  });

  it("within a namespace by pod, and never for the same pod's next crash", () => {
    const one = [heldBy("loud", "a"), heldBy("loud", "a"), heldBy("loud", "a"), heldBy("loud", "b")];
    expect(makesWay(quick, waiter("loud", "c", 1), one)).toBe(true);
    expect(makesWay(holding(60_000), waiter("loud", "a", 1), one)).toBe(false);
  });

  it("alone: of several alike the one that took its slot first, unless that is stuck", () => {
    const later = [heldBy("loud", "b", 1), heldBy("loud", "a", 2)];
    expect(makesWay({ ...holding(300), index: 1 }, waiter("calm", "x", 1), later)).toBe(false);
    expect(makesWay({ ...holding(4_000), index: 1 }, waiter("calm", "x", 1), later)).toBe(true);
    const atOnce = [heldBy("loud", "b", 2), heldBy("loud", "a", 2)];
    expect([0, 1].map((index) => makesWay({ ...quick, index }, waiter("calm", "x", 1), atOnce))).toEqual([true, false]);
  });

  it("for nobody while a slot is free", () => {
    const slots = [...full, leftBy("calm", "x")];
    expect(makesWay(holding(60_000, true), waiter("calm", "x", 1), slots)).toBe(false);
  });
});
