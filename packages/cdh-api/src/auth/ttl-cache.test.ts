import { expect, it } from "vitest";
import type { Clock } from "@cdh/core/clock";
import { TtlCache } from "./ttl-cache.ts";

let now = 0;
const clock: Clock = { now: () => now, monotonic: () => now, sleep: async () => {} };

it("asks once while the answer is good, and once for all who wait", async () => {
  const cache = new TtlCache<number>(clock, 10);
  let asked = 0;
  const get = (): Promise<number> =>
    cache.get(
      "key",
      async () => (asked += 1),
      () => 1000,
    );
  expect(await Promise.all([get(), get(), get()])).toEqual([1, 1, 1]);
  now = 999;
  expect(await get()).toBe(1);
  now = 1000;
  expect(await get()).toBe(2);
});

it("remembers no failure, and no more than it may", async () => {
  const cache = new TtlCache<string>(clock, 3);
  const fails = (): Promise<string> =>
    cache.get(
      "a",
      () => Promise.reject(new Error("no")),
      () => 1000,
    );
  await expect(fails()).rejects.toThrow("no");
  expect(
    await cache.get(
      "a",
      async () => "yes",
      () => 1000,
    ),
  ).toBe("yes");
  let asked = 0;
  const get = (key: string): Promise<string> =>
    cache.get(
      key,
      async () => {
        asked += 1;
        return key;
      },
      () => 1000,
    );
  for (const key of ["b", "c", "d", "b", "c", "d"]) await get(key);
  expect(asked).toBe(3);
  await get("e");
  await get("b");
  expect(asked).toBe(5);
});
