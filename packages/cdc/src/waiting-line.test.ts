import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { systemClock } from "@cdh/core/clock";
import type { Native } from "./native.ts";
import { makeTestNative } from "./testing/test-native.ts";
import { takeSlot } from "./waiting-line.ts";

let coreDir: string;
const never = new AbortController().signal;
beforeEach(() => {
  coreDir = mkdtempSync(join(tmpdir(), "cdh-line-"));
});
afterEach(() => rmSync(coreDir, { recursive: true, force: true }));

it("lets so many work at once, and everybody in the end", async () => {
  const native = makeTestNative();
  let [working, most, done] = [0, 0, 0];
  await Promise.all(
    Array.from({ length: 12 }, async () => {
      const leave = await takeSlot({ coreDir, slots: 3, native, clock: systemClock, stop: never });
      working += 1;
      most = Math.max(most, working);
      await new Promise((resolve) => setImmediate(resolve));
      working -= 1;
      done += 1;
      await leave();
    }),
  );
  expect({ most, done }).toEqual({ most: 3, done: 12 });
  expect(readdirSync(join(coreDir, "state", "slots"))).toEqual(["0", "1", "2"]);
});

it("stops waiting when it is told to, and holds nobody else up", async () => {
  const native = makeTestNative();
  const take = (stop: AbortSignal) => takeSlot({ coreDir, slots: 1, native, clock: systemClock, stop });
  const leave = await take(never);
  const stop = new AbortController();
  const waiting = take(stop.signal);
  stop.abort();
  await (
    await waiting
  )();
  await leave();
  await expect(take(never)).resolves.toBeTypeOf("function");
});

it("without locks, and where the spool takes no slots, there is no line", async () => {
  const take = (native: Native | undefined) => takeSlot({ coreDir, slots: 1, native, clock: systemClock, stop: never });
  await expect(take(undefined)).resolves.toBeTypeOf("function");
  await expect(take(undefined)).resolves.toBeTypeOf("function");
  writeFileSync(join(coreDir, "state"), "a file");
  const native = makeTestNative();
  await expect(take(native)).resolves.toBeTypeOf("function");
  await expect(take(native)).resolves.toBeTypeOf("function");
});
