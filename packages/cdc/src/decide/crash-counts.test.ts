import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { Native } from "../self/native.ts";
import { NO_NATIVE } from "../self/no-native.ts";
import { makeTestNative } from "../testing/test-native.ts";
import { countCrash, countLoss, LOSSES } from "./crash-counts.ts";
import type { RateDecision, ScopedLimit } from "./rate-limit.ts";

const HOUR = 3_600_000;

let coreDir: string;
beforeEach(() => {
  coreDir = mkdtempSync(join(tmpdir(), "cdh-rate-"));
});
afterEach(() => rmSync(coreDir, { recursive: true, force: true }));

const statePath = (): string => join(coreDir, "state", "rate-limit.json");
const state = (): Record<string, { kept: number[]; suppressed: number; of: string }> =>
  JSON.parse(readFileSync(statePath(), "utf8")) as ReturnType<typeof state>;
const one = (...key: string[]): ScopedLimit => ({ scope: "workload", key, count: 1, windowMs: HOUR });
const count = (limit: ScopedLimit, now: number): Promise<RateDecision> => countCrash([limit], coreDir, now, NO_NATIVE);

it("remembers from run to run, for each key by itself, in one file", async () => {
  expect(await count(one("shop", "web"), 0)).toEqual({ allowed: true });
  expect(await count(one("shop", "web"), 1)).toMatchObject({ allowed: false, suppressedCount: 1 });
  expect(await count(one("shop", "db"), 2)).toEqual({ allowed: true });
  expect(await count({ ...one("shop", "web"), scope: "pod" }, 2)).toEqual({ allowed: true });
  expect(await count(one("shop", "web"), HOUR + 1)).toMatchObject({ allowed: true, suppressed: { count: 1 } });
  expect(statSync(statePath()).mode & 0o777).toBe(0o600);
  expect(readdirSync(join(coreDir, "state")).sort()).toEqual(["rate-limit.json", "rate-limit.json.lock"]);
});

it("many at once count exactly", async () => {
  const native = makeTestNative();
  const limit = { ...one("shop"), count: 5 };
  const all = await Promise.all(Array.from({ length: 30 }, () => countCrash([limit], coreDir, 1000, native)));
  expect(all.filter(({ allowed }) => allowed).length).toBe(5);
  expect(Object.values(state())).toMatchObject([{ suppressed: 25, of: "workload: shop" }]);
});

it("is bounded, whatever the keys are, and forgets what is over", async () => {
  for (let index = 0; index < 40; index += 1) await count(one(`${index}`.padEnd(4000, "x")), 0);
  expect(Object.keys(state())).toHaveLength(40);
  expect(Object.values(state()).every(({ of }) => of.length <= 160)).toBe(true);
  await count(one("later"), HOUR);
  expect(Object.keys(state())).toHaveLength(1);
  const many = Object.fromEntries(
    Array.from({ length: 5000 }, (_value, index) => [
      index.toString(16).padStart(32, "0"),
      { kept: [HOUR], suppressed: 0, of: "x", until: 9 * HOUR },
    ]),
  );
  writeFileSync(statePath(), JSON.stringify(many));
  await count(one("now"), HOUR);
  expect(Object.keys(state()).length).toBeLessThanOrEqual(1024);
  await count({ ...one("a great limit"), count: 1e9 }, HOUR);
  expect(statSync(statePath()).size).toBeLessThan(1024 * 1024);
});

it.each([
  "",
  "{",
  "[]",
  "null",
  '{"x":{"kept":"x","suppressed":1}}',
  "\u0000".repeat(100_000),
  " ".repeat(2 * 1024 * 1024),
])("a damaged file allows the crash and is replaced: %j", async (text) => {
  await count(one("shop"), 0);
  writeFileSync(statePath(), text);
  expect(await count(one("shop"), 1)).toEqual({ allowed: true });
  expect(Object.values(state())).toMatchObject([{ kept: [1] }]);
});

it("what is damaged of one key costs no other key its count", async () => {
  await count(one("shop"), 0);
  writeFileSync(statePath(), JSON.stringify({ ...state(), ["f".repeat(32)]: { kept: [null], suppressed: -1 } }));
  expect(await count(one("shop"), 1)).toMatchObject({ allowed: false });
});

it("a spool that takes no state allows the crash, and says so", async () => {
  writeFileSync(join(coreDir, "state"), "a file");
  expect(await count(one("shop"), 0)).toEqual({ allowed: true, doubt: expect.stringContaining("takes no counts") });
});

it("what cannot be written is decided by what is there, and told", async () => {
  await count(one("shop"), 0);
  mkdirSync(`${statePath()}.tmp`);
  const doubt = expect.stringContaining("could not be counted");
  expect(await count(one("shop"), 1)).toMatchObject({ allowed: false, doubt });
  expect(await count(one("other"), 1)).toMatchObject({ allowed: true, doubt });
});

/** Somebody who does not give the lock back. */
function hold(native: Native): () => void {
  mkdirSync(join(coreDir, "state"), { recursive: true });
  const fd = openSync(`${statePath()}.lock`, "a");
  native.tryLock(fd);
  return () => closeSync(fd);
}

it("keeps no more than the limit while the lock is held, and says so", async () => {
  const native = makeTestNative();
  const limits = [{ ...one("shop"), count: 5 }, { ...one("pod"), scope: "pod" as const, count: 100 }, LOSSES];
  expect(await countCrash(limits, coreDir, 1000, native)).toEqual({ allowed: true });
  const release = hold(native);
  const crash = (): Promise<RateDecision> => countCrash(limits, coreDir, 2000, native);
  const all = await Promise.all(Array.from({ length: 30 }, crash));
  expect(all.filter(({ allowed }) => allowed)).toHaveLength(4);
  expect(all.every(({ doubt }) => doubt?.includes("all the time"))).toBe(true);
  expect(all.find(({ allowed }) => !allowed)).toMatchObject({ scope: "workload", suppressedCount: 1 });
  // Another key has places of its own.
  expect(await countCrash([one("other")], coreDir, 2000, native)).toMatchObject({ allowed: true });
  release();
  // What was kept then counts under the lock too, until its window is over.
  expect(await crash()).toMatchObject({ allowed: false, suppressedCount: 1 });
  expect(await countCrash(limits, coreDir, HOUR + 2001, native)).toMatchObject({ allowed: true });
  expect(readdirSync(`${statePath()}.unlocked`)).toEqual([]);
}, 30_000);

it("takes again the place of a crash that is long over", async () => {
  const native = makeTestNative();
  const release = hold(native);
  expect(await countCrash([one("shop")], coreDir, 0, native)).toMatchObject({ allowed: true });
  expect(await countCrash([one("shop")], coreDir, HOUR - 1, native)).toMatchObject({ allowed: false });
  expect(await countCrash([one("shop")], coreDir, HOUR, native)).toMatchObject({ allowed: true });
  release();
});

it("does not take the place that another composer is just taking", async () => {
  const native = makeTestNative();
  const release = hold(native);
  const limit = { ...one("shop"), count: 1 };
  expect(await countCrash([limit], coreDir, Date.now(), native)).toMatchObject({ allowed: true });
  // Made, and its time not yet set.
  const folder = `${statePath()}.unlocked`;
  const [name = ""] = readdirSync(folder);
  rmSync(join(folder, name));
  writeFileSync(join(folder, name), "");
  expect(await countCrash([limit], coreDir, Date.now() + 1000, native)).toMatchObject({ allowed: false });
  // Whoever was making it has died.
  expect(await countCrash([limit], coreDir, Date.now() + 61_000, native)).toMatchObject({ allowed: true });
  release();
});

it("follows no link", async () => {
  await count(one("shop"), 0);
  const [lock, target] = [`${statePath()}.lock`, join(coreDir, "precious")];
  rmSync(lock);
  symlinkSync(target, lock);
  expect(await count(one("shop"), 1)).toMatchObject({ allowed: true });
  expect(() => statSync(target)).toThrow(/ENOENT/);
});

it("what is lost is counted, and told once with the next bundle", async () => {
  expect(await countCrash([LOSSES], coreDir, 0, NO_NATIVE)).toEqual({ allowed: true });
  expect(await countLoss(coreDir, 1, NO_NATIVE)).toBe(1);
  expect(await countLoss(coreDir, 2, NO_NATIVE)).toBe(2);
  const both = [one("shop"), LOSSES];
  expect(await countCrash(both, coreDir, 3, NO_NATIVE)).toMatchObject({ allowed: true, suppressed: { count: 2 } });
  expect(await countCrash([LOSSES], coreDir, 4, NO_NATIVE)).toEqual({ allowed: true });
});
