import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { systemClock } from "@cdh/core/clock";
import type { Identity } from "@cdh/core/container/identify";
import type { Crash } from "@cdh/core/kernel/crash";
import { silentLogger } from "@cdh/core/log";
import type { Native } from "../self/native.ts";
import type { CrashPlace } from "../stack/crash-place.ts";
import { makeTestNative } from "../testing/test-native.ts";
import { makeSettings } from "../testing/test-settings.ts";
import { spare, type Spared } from "./spare.ts";

const IDENTITY: Identity = {
  source: "oci-config",
  verified: true,
  place: "container",
  pod: { namespace: "shop", name: "web-0" },
  problems: [],
};
const PLACE: CrashPlace = { hash: "a".repeat(32), instructions: ["11", "shop+1"], calls: [] };
const CRASH = { pid: 7, signal: 11, comm: "shop", uid: 1000 } as unknown as Crash;

let coreDir: string;
let native: Native;
beforeEach(() => {
  coreDir = mkdtempSync(join(tmpdir(), "cdh-spare-"));
  mkdirSync(join(coreDir, "state"));
  native = makeTestNative();
});
afterEach(() => rmSync(coreDir, { recursive: true, force: true }));

function ask(place: CrashPlace, env: Record<string, string> = {}): Promise<Spared> {
  const given = {
    crash: CRASH,
    crashId: "00000000-0000-0000-0000-000000000001",
    settings: makeSettings(env),
    coreDir,
    clock: systemClock,
    native,
    stacks: undefined,
    log: silentLogger,
  };
  return spare(given, {
    learning: { identity: Promise.resolve(IDENTITY) },
    judging: Promise.resolve({ problems: [] }),
    placing: Promise.resolve(place),
  });
}

/** Be another composer at it for so long. */
function hold(ms: number): void {
  const lock = openSync(join(coreDir, "state/kept-cores.json.lock"), "a");
  expect(native.tryLock(lock)).toBe(true);
  setTimeout(() => closeSync(lock), ms);
}

it("waits for the others of a burst, longer than while a process is held, and counts its core", async () => {
  hold(900);
  const spared = await ask(PLACE);
  expect(spared).toMatchObject({
    problems: [],
    remembered: { key: { of: expect.stringContaining("shop") as string } },
  });
});

it("gives up within METADATA_TIMEOUT, and says so", async () => {
  hold(1500);
  const began = performance.now();
  const { problems, wholeCore } = await ask(PLACE, { METADATA_TIMEOUT: "0.3" });
  expect(performance.now() - began).toBeLessThan(1000);
  expect(wholeCore).toBeUndefined();
  expect(problems).toMatchObject([
    { step: "keepPerSite", detail: expect.stringContaining("other composers") as string },
  ]);
});

it("says why a place is not known, where places are asked for", async () => {
  expect(await ask({ unknown: "its goroutine was not found" })).toEqual({
    placeUnknown: "its goroutine was not found",
    problems: [],
  });
  expect(await ask({ unknown: "nobody asks for it" }, { KEEP_PER_SITE: "0" })).toEqual({ problems: [] });
});
