import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { silentLogger } from "@cdh/core/log";
import { countedDirectory, countedName, listCounted, putCounted } from "@cdh/core/spool/counted";
import { jumpingClock } from "@cdh/core/testing/jumping-clock";
import { makeManifest, makeTinyCore } from "@cdh/core/testing/sample-bundle";
import { CountedPublisher } from "./publish-counted.ts";

const HOUR = 3_600_000;
const NOW = Date.parse("2026-11-21T09:00:00.000Z");
let coreDir: string;

beforeEach(async () => {
  coreDir = await mkdtemp(join(tmpdir(), "cdh-counted-"));
  await mkdir(countedDirectory(coreDir), { recursive: true });
});
afterEach(() => rm(coreDir, { recursive: true, force: true }));

let made = 0;
async function count(owner: string, place: string, crashes: number): Promise<void> {
  const at = new Date(NOW - HOUR).toISOString();
  const crashId = `00000000-0000-0000-0000-${(made += 1).toString(16).padStart(12, "0")}`;
  const counted = { count: crashes, first: at, last: at };
  const manifest = makeManifest(makeTinyCore(64), 40, { crashId, crashedAt: at, counted });
  await putCounted(countedDirectory(coreDir), countedName(owner, place), "composer", manifest);
}

const bundles = async (): Promise<number> =>
  (await readdir(coreDir)).filter((name) => name.endsWith("-counted.zip")).length;

it("ever new places of one owner make no more bundles than the owner may have, and cost nobody else's", async () => {
  const clock = jumpingClock(NOW);
  const publisher = new CountedPublisher({ coreDir, clock, log: silentLogger });
  const [evil, shop] = ["e".repeat(32), "a".repeat(32)];
  for (let at = 0; at < 60; at += 1) await count(evil, `place${at}`, 1);
  await count(evil, "loop", 500);
  await count(shop, "place", 1);
  expect(await publisher.look()).toBe(21);
  // The one of most crashes was among them.
  const left = await listCounted(countedDirectory(coreDir));
  expect(left).not.toContain(countedName(evil, "loop"));
  expect(left).toHaveLength(41);
  // New ones are no way around it, nor is time that is too short.
  for (let at = 60; at < 80; at += 1) await count(evil, `place${at}`, 1);
  await clock.sleep(HOUR / 2);
  expect(await publisher.look()).toBe(0);
  await clock.sleep(HOUR / 2);
  expect(await publisher.look()).toBe(20);
  await clock.sleep(HOUR);
  expect(await publisher.look()).toBe(20);
  expect(await bundles()).toBe(61);
});

it("a place is told again after an hour", async () => {
  const clock = jumpingClock(NOW);
  const publisher = new CountedPublisher({ coreDir, clock, log: silentLogger });
  const owner = "b".repeat(32);
  await count(owner, "place", 1);
  expect(await publisher.look()).toBe(1);
  await count(owner, "place", 1);
  expect(await publisher.look()).toBe(0);
  await clock.sleep(HOUR);
  expect(await publisher.look()).toBe(1);
});
