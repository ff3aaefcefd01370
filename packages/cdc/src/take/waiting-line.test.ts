import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, beforeEach, expect, it } from "vitest";
import { systemClock } from "@cdh/core/clock";
import type { Native } from "../self/native.ts";
import { NO_NATIVE } from "../self/no-native.ts";
import { makeTestNative } from "../testing/test-native.ts";
import { LinePlace } from "./waiting-line.ts";

let coreDir: string;
let native: Native;
const never = new AbortController().signal;
beforeEach(() => {
  coreDir = mkdtempSync(join(tmpdir(), "cdh-line-"));
  native = makeTestNative();
});
afterEach(() => rmSync(coreDir, { recursive: true, force: true }));

function placeOf(namespace: string, pod = "pod", slots = 3): LinePlace {
  const owner = Promise.resolve({ namespace, pod });
  return new LinePlace({ coreDir, slots, native, clock: systemClock, owner, ready: async () => {} });
}

const tickets = (): string[] => readdirSync(join(coreDir, "state", "line"));

it("lets so many work at once, and everybody in the end; nothing is left but the slots", async () => {
  let [working, most, done] = [0, 0, 0];
  await Promise.all(
    Array.from({ length: 12 }, async (_value, index) => {
      const place = placeOf(`namespace-${index % 2}`);
      await place.enter(never);
      working += 1;
      most = Math.max(most, working);
      await delay(5);
      working -= 1;
      done += 1;
      await place.release();
    }),
  );
  expect({ most, done }).toEqual({ most: 3, done: 12 });
  expect(readdirSync(join(coreDir, "state", "slots"))).toEqual(["0", "1", "2"]);
  expect(tickets()).toEqual([]);
});

it("the namespace that has none comes before those who waited longer", async () => {
  const holders = ["a", "b"].map((pod) => placeOf("loud", pod, 2));
  for (const each of holders) await each.enter(never);
  const order: string[] = [];
  const wait = async (namespace: string, pod: string): Promise<void> => {
    const place = placeOf(namespace, pod, 2);
    await place.enter(never);
    order.push(`${namespace}/${pod}`);
    await place.release();
  };
  const waiting = [wait("loud", "c"), wait("loud", "d")];
  await expect.poll(tickets).toHaveLength(2);
  waiting.push(wait("calm", "x"));
  await expect.poll(tickets).toHaveLength(3);
  await holders[0]?.release();
  await Promise.all(waiting);
  expect(order[0]).toBe("calm/x");
  await holders[1]?.release();
});

it("one pod that fills every slot makes way for another, and goes on when that is done", async () => {
  const loud = [1, 2].map(() => placeOf("loud", "a", 2));
  for (const each of loud) await each.enter(never);
  const calm = placeOf("calm", "x", 2);
  await calm.enter(never);
  // One of the two has to wait now.
  const again = loud.map((each) => each.enter(never));
  expect(again.filter((waits) => waits !== undefined)).toHaveLength(1);
  await calm.release();
  await Promise.all(again);
  for (const each of loud) await each.release();
});

it("a core that trickles gives its slot up to whoever waits", async () => {
  const slow = placeOf("loud", "a", 1);
  await slow.enter(never);
  slow.reading();
  const next = placeOf("loud", "a", 1);
  await next.enter(never);
  expect(slow.enter(never)).toBeInstanceOf(Promise);
  await next.release();
  await slow.release();
});

it("the ticket of a dead composer holds nobody up", async () => {
  const holder = placeOf("loud", "a", 1);
  await holder.enter(never);
  const dead = `${(1).toString(16).padStart(12, "0")}.${"0".repeat(12)}.${"1".repeat(12)}.1-1`;
  mkdirSync(join(coreDir, "state", "line"), { recursive: true });
  writeFileSync(join(coreDir, "state", "line", dead), "");
  const next = placeOf("loud", "b", 1);
  const waiting = next.enter(never);
  await holder.release();
  await waiting;
  expect(tickets()).toEqual([]);
  await next.release();
});

it("what else lies among tickets and slots is passed by", async () => {
  mkdirSync(join(coreDir, "state", "line"), { recursive: true });
  mkdirSync(join(coreDir, "state", "slots"), { recursive: true });
  writeFileSync(join(coreDir, "state", "line", "ffffffffffff.odd"), "");
  writeFileSync(join(coreDir, "state", "slots", "0"), "x".repeat(10_000));
  const place = placeOf("a", "a", 1);
  await place.enter(never);
  await expect.poll(() => readFileSync(join(coreDir, "state", "slots", "0"), "latin1")).toMatch(/^h /);
  await place.release();
});

it("stops waiting when it is told to, and holds nobody else up", async () => {
  const holder = placeOf("a", "a", 1);
  await holder.enter(never);
  const stop = new AbortController();
  const place = placeOf("b", "b", 1);
  const waiting = place.enter(stop.signal);
  await expect.poll(tickets).toHaveLength(1);
  stop.abort();
  await waiting;
  await place.release();
  expect(tickets()).toEqual([]);
  await holder.release();
  const after = placeOf("c", "c", 1);
  await after.enter(never);
  await after.release();
});

it("without locks, and where the spool takes no slots, there is no line", async () => {
  native = NO_NATIVE;
  expect(placeOf("a").enter(never)).toBeUndefined();
  native = makeTestNative();
  writeFileSync(join(coreDir, "state"), "a file");
  const place = placeOf("a");
  await place.enter(never);
  expect(place.enter(never)).toBeUndefined();
  await place.release();
});
