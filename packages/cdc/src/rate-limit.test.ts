import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { CdhError } from "@cdh/core/errors";
import { SeededRandom } from "@cdh/core/testing/random";
import { countCrash, decide, parseRateLimit, workloadOf } from "./rate-limit.ts";
import { makeTestNative } from "./testing/test-native.ts";

const HOUR = 3_600_000;
const KEY = { namespace: "shop", workload: "web", container: "app", executable: "/app", signal: 11 };

describe("parseRateLimit", () => {
  it.each([
    ["5/1h", { count: 5, windowMs: HOUR }],
    ["5/h", { count: 5, windowMs: HOUR }],
    [" 10 / 30m ", { count: 10, windowMs: HOUR / 2 }],
    ["0", undefined],
    ["", undefined],
    ["0/1h", undefined],
  ])("%s", (text, limit) => expect(parseRateLimit(text)).toEqual(limit));

  it.each(["five", "5", "5/", "-1/1h", "5/1y", "/1h"])("refuses %s", (text) => {
    expect(() => parseRateLimit(text)).toThrow(CdhError);
  });
});

describe("decide", () => {
  const limit = { count: 2, windowMs: HOUR };

  it("allows so many in a window, counts the others, and tells them with the next one", () => {
    let state = { kept: [] as number[], suppressed: 0 };
    const at = (nowMs: number) => {
      const { next, decision } = decide(limit, state, nowMs);
      state = next;
      return decision;
    };
    expect(at(0)).toEqual({ allowed: true });
    expect(at(1000)).toEqual({ allowed: true });
    expect(at(2000)).toEqual({ allowed: false, suppressedCount: 1 });
    expect(at(3000)).toEqual({ allowed: false, suppressedCount: 2 });
    expect(at(HOUR)).toEqual({ allowed: true, suppressed: { count: 2, since: "1970-01-01T00:00:02.000Z" } });
    expect(at(HOUR + 1)).toEqual({ allowed: false, suppressedCount: 1 });
    expect(at(HOUR + 1000)).toMatchObject({ allowed: true, suppressed: { count: 1 } });
  });

  it("a clock that went backwards does not block a workload", () => {
    const { decision } = decide(limit, { kept: [9 * HOUR, 9 * HOUR], suppressed: 0 }, HOUR);
    expect(decision).toEqual({ allowed: true });
  });

  it("never allows more than the limit in a window, whatever the times", () => {
    for (let seed = 1; seed <= 200; seed += 1) {
      const random = new SeededRandom(seed);
      const count = 1 + random.integer(4);
      let state = { kept: [] as number[], suppressed: 0 };
      const allowed: number[] = [];
      let [now, suppressed, told] = [0, 0, 0];
      for (let crash = 0; crash < 100; crash += 1) {
        now += random.integer(HOUR);
        const { next, decision } = decide({ count, windowMs: HOUR }, state, now);
        state = next;
        if (decision.allowed) {
          allowed.push(now);
          told += decision.suppressed?.count ?? 0;
        } else suppressed += 1;
      }
      for (const at of allowed) {
        expect(allowed.filter((other) => at - other >= 0 && at - other < HOUR).length).toBeLessThanOrEqual(count);
      }
      expect(told + state.suppressed, `seed ${seed}`).toBe(suppressed);
    }
  });
});

describe("countCrash", () => {
  let coreDir: string;
  beforeEach(() => {
    coreDir = mkdtempSync(join(tmpdir(), "cdh-rate-"));
  });
  afterEach(() => rmSync(coreDir, { recursive: true, force: true }));
  const stateDir = (): string => join(coreDir, "state", "rate-limit");
  const statePath = (): string =>
    join(stateDir(), readdirSync(stateDir()).find((name) => name.endsWith(".json")) ?? "");

  it("remembers from run to run, for each workload by itself", async () => {
    const count = (key: object, now: number) =>
      countCrash({ count: 1, windowMs: HOUR }, coreDir, { ...KEY, ...key }, now, undefined);
    expect(await count({}, 0)).toEqual({ allowed: true });
    expect(await count({}, 1)).toEqual({ allowed: false, suppressedCount: 1 });
    for (const other of [
      { signal: 6 },
      { executable: "/b" },
      { container: "c" },
      { workload: "x" },
      { namespace: "n" },
    ])
      expect(await count(other, 2), JSON.stringify(other)).toEqual({ allowed: true });
    expect(await count({}, HOUR + 1)).toMatchObject({ allowed: true, suppressed: { count: 1 } });
    expect(statSync(statePath()).mode & 0o777).toBe(0o600);
    expect(statSync(stateDir()).mode & 0o777).toBe(0o700);
  });

  it("many at once count exactly", async () => {
    const native = makeTestNative();
    const all = await Promise.all(
      Array.from({ length: 30 }, () => countCrash({ count: 5, windowMs: HOUR }, coreDir, KEY, 1000, native)),
    );
    expect(all.filter(({ allowed }) => allowed).length).toBe(5);
    expect(JSON.parse(readFileSync(statePath(), "utf8"))).toMatchObject({ suppressed: 25, key: KEY });
  });

  it.each([
    "",
    "{",
    "[]",
    "null",
    '{"kept":"x","suppressed":1}',
    '{"kept":[null],"suppressed":0}',
    "\u0000".repeat(100_000),
  ])("a damaged state allows the crash and is replaced: %j", async (text) => {
    await countCrash({ count: 1, windowMs: HOUR }, coreDir, KEY, 0, undefined);
    writeFileSync(statePath(), text);
    expect(await countCrash({ count: 1, windowMs: HOUR }, coreDir, KEY, 1, undefined)).toEqual({ allowed: true });
    expect(JSON.parse(readFileSync(statePath(), "utf8"))).toMatchObject({ kept: [1] });
  });

  it("a spool that takes no state allows the crash", async () => {
    writeFileSync(join(coreDir, "state"), "a file");
    expect(await countCrash({ count: 1, windowMs: HOUR }, coreDir, KEY, 0, undefined)).toEqual({ allowed: true });
  });

  it("follows no link", async () => {
    await countCrash({ count: 1, windowMs: HOUR }, coreDir, KEY, 0, undefined);
    const [lock, target] = [`${statePath()}.lock`, join(coreDir, "precious")];
    rmSync(lock);
    symlinkSync(target, lock);
    expect(await countCrash({ count: 1, windowMs: HOUR }, coreDir, KEY, 1, undefined)).toEqual({ allowed: true });
    expect(() => statSync(target)).toThrow(/ENOENT/);
  });
});

describe("workloadOf", () => {
  it.each([
    ["web-7d4b9c6f5-x2x7q", "web"],
    ["db-0", "db"],
    ["db-12", "db"],
    ["web-x2x7q", "web"],
    ["my-app", "my-app"],
    ["job-28391234-x2x7q", "job"],
    ["x", "x"],
    ["", ""],
  ])("%s", (pod, workload) => expect(workloadOf(pod)).toBe(workload));
});
