import { expect, it } from "vitest";
import { makeRecord } from "../testing/record.ts";
import { ChangeLog } from "./change-log.ts";

const T = 1_795_249_571_000;

function logOf(replica: number, begunAt: number, changes: readonly number[], max?: number): ChangeLog {
  const log = new ChangeLog(replica, max);
  log.begin(log.next(begunAt));
  for (const at of changes) log.add({ revision: log.next(at), before: undefined, after: makeRecord() });
  return log;
}

it("revisions grow, whatever the clock does, and keep the replica's number", () => {
  const log = new ChangeLog(42);
  const revisions = [T, T, T - 5000, T + 1].map((at) => log.next(at));
  expect(revisions.toSorted((a, b) => a - b)).toEqual(revisions);
  expect(new Set(revisions).size).toBe(4);
  for (const revision of revisions) expect(revision % 1000).toBe(42);
  expect(revisions.every(Number.isSafeInteger)).toBe(true);
});

it("gives exactly what came after one of its own revisions", () => {
  const log = logOf(7, T, [T + 1000, T + 2000]);
  const first = log.since(T * 1000 + 7, T)?.map((change) => change.revision) ?? [];
  expect(first).toHaveLength(2);
  expect(log.since(first[0] ?? 0, T)).toHaveLength(1);
  expect(log.since(log.last, T)).toEqual([]);
});

it("does not know what was before it began, nor what it has forgotten", () => {
  expect(logOf(7, T, []).since(T * 1000 - 993, T)).toBeUndefined();
  const small = logOf(
    7,
    T,
    Array.from({ length: 25 }, (_, index) => T + index),
    10,
  );
  expect(small.since(T * 1000 + 7, T)).toBeUndefined();
  expect(small.since(small.last, T)).toEqual([]);
});

it("another replica's revision gives everything that it may not have told, and some of it again", () => {
  const other = logOf(1, T, [T + 60_000]);
  // This one's clock is three seconds ahead, and it saw the change first.
  const log = logOf(2, T - 60_000, [T + 60_000 - 3000, T + 60_000 + 3000]);
  expect(log.since(other.last, T + 90_000)).toHaveLength(2);
  expect(log.since((T - 60_000) * 1000 + 1, T)).toBeUndefined();
});

it("a revision of a replica whose clock is a minute ahead, or whose listing is quicker, leaves nothing out", () => {
  const ahead = logOf(1, T + 60_000, []);
  const log = logOf(2, T - 60_000, [T + 1000]);
  expect(log.since(ahead.last, T + 2000)).toHaveLength(1);
  // This one's listing takes half a minute: it began before the other's, and found what that one's had passed.
  const slow = logOf(2, T - 120_000, [T - 30_000]);
  const other = logOf(1, T, []);
  expect(slow.since(other.last, T + 5000)).toEqual([]);
  slow.looked(T - 30_000, 30_000);
  expect(slow.since(other.last, T + 5000)).toHaveLength(1);
});

it("a listing without a change moves the revision, so that a replica that began later knows it", () => {
  const old = logOf(1, T, []);
  const young = logOf(2, T + 600_000, []);
  expect(young.since(old.last, T + 700_000)).toBeUndefined();
  old.looked(T + 690_000, 100);
  expect(young.since(old.last, T + 700_000)).toEqual([]);
  expect(old.next(T + 690_000)).toBeGreaterThan(old.last - 1);
});
