import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { CdhError, type ErrorCode } from "@cdh/core/errors";
import { createLogger } from "@cdh/core/log";
import type { ObjectStore } from "@cdh/core/store/store";
import { jumpingClock } from "@cdh/core/testing/jumping-clock";
import { BinarySender, type BinaryOutcome } from "./send-binaries.ts";

const HOUR_MS = 3600e3;
const START_MS = 1_800_000_000_000;
const signal = new AbortController().signal;
let coreDir: string;
beforeEach(() => void (coreDir = mkdtempSync(join(tmpdir(), "binaries-"))));
afterEach(() => rmSync(coreDir, { recursive: true }));

/** Put a packed file into the spool. */
function pack(buildId: string, ageMs: number): void {
  const stem = join(coreDir, "binaries", `${buildId}.executable`);
  mkdirSync(join(coreDir, "binaries"), { recursive: true });
  const facts = { sizeBytes: 1, storedBytes: 1, sha256: "0".repeat(64), name: "app", hasCode: true };
  writeFileSync(`${stem}.json`, JSON.stringify(facts));
  writeFileSync(`${stem}.zst`, "x");
  utimesSync(`${stem}.zst`, (START_MS - ageMs) / 1000, (START_MS - ageMs) / 1000);
}

/** A sender to a store that fails with a code. */
function senderTo(fails: () => ErrorCode | undefined): {
  sender: BinarySender;
  outcomes: BinaryOutcome[];
  wait: (ms: number) => Promise<void>;
} {
  const clock = jumpingClock(START_MS);
  const outcomes: BinaryOutcome[] = [];
  const fail = async (): Promise<undefined> => {
    const code = fails();
    if (code !== undefined) throw new CdhError(code, "no");
    return undefined;
  };
  const store = { head: fail, putFile: async () => ({ alreadyThere: false }) } as unknown as ObjectStore;
  const sender = new BinarySender({
    coreDir,
    wayOf: () => ({ name: "default", store, isTroubled: () => false }),
    hasRules: false,
    isIdle: () => true,
    onOutcome: (outcome) => outcomes.push(outcome),
    clock,
    log: createLogger({ program: "test", level: "error", format: "json", clock, write: () => {} }),
  });
  return { sender, outcomes, wait: (ms) => clock.sleep(ms) };
}

const waiting = (): string[] => readdirSync(join(coreDir, "binaries")).filter((name) => name.endsWith(".zst"));

it("gives up after many failures what is older than a day, and nothing younger", async () => {
  pack("aa".repeat(20), 30 * HOUR_MS);
  pack("bb".repeat(20), HOUR_MS);
  const { sender, outcomes, wait } = senderTo(() => "CDH_STORE_UNREACHABLE");
  for (let attempt = 1; attempt <= 8; attempt += 1) {
    expect(waiting()).toHaveLength(2);
    await sender.look(signal);
    await sender.settle();
    await wait(6 * 60_000);
  }
  expect(waiting()).toEqual([`${"bb".repeat(20)}.executable.zst`]);
  expect(outcomes).toEqual(["givenUp"]);
});

it("removes what is stored even where it cannot be remembered", async () => {
  pack("aa".repeat(20), 0);
  writeFileSync(join(coreDir, "state"), "a file where the folder should be");
  const { sender, outcomes } = senderTo(() => undefined);
  await sender.look(signal);
  await sender.settle();
  expect(outcomes).toEqual(["stored"]);
  expect(readdirSync(join(coreDir, "binaries"))).toEqual([]);
});

it("asks a store in trouble only now and then, and at once again when it is well", async () => {
  for (const digit of ["1", "2", "3", "4"]) pack(digit.repeat(40), 0);
  let asked = 0;
  let isWell = false;
  const { sender, wait } = senderTo(() => {
    asked += 1;
    return isWell ? undefined : "CDH_STORE";
  });
  for (let look = 0; look < 5; look += 1) {
    await sender.look(signal);
    await sender.settle();
  }
  expect(asked).toBe(1);
  isWell = true;
  await wait(1100);
  await sender.look(signal);
  await sender.settle();
  // The one that failed waits for its own turn.
  expect(waiting().length).toBeLessThanOrEqual(1);
});

it("keeps what cannot be read now", async () => {
  const buildId = "aa".repeat(20);
  pack(buildId, 0);
  const facts = join(coreDir, "binaries", `${buildId}.executable.json`);
  rmSync(facts);
  mkdirSync(facts);
  const { sender, outcomes } = senderTo(() => undefined);
  await sender.look(signal);
  await sender.settle();
  expect(waiting()).toEqual([`${buildId}.executable.zst`]);
  rmSync(facts, { recursive: true });
  pack(buildId, 0);
  await sender.look(signal);
  await sender.settle();
  expect(outcomes).toEqual(["stored"]);
});
