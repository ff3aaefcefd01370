import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { Seen } from "./seen.ts";
import type { SpoolFile } from "./spool-scan.ts";

const HOUR = 3600e3;
let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "cdh-seen-"));
});
afterAll(async () => {
  await rm(directory, { recursive: true, force: true });
});

const published = (changedAt: number): SpoolFile => ({
  name: "N",
  fileName: "N.zip",
  path: "N.zip",
  sizeBytes: 1,
  modifiedAt: changedAt,
  changedAt,
});

it("does not take a crash for a new one twice, also across restarts", async () => {
  const path = join(directory, "once.json");
  const first = await Seen.open(path);
  expect(first.isNew(published(1000))).toBe(true);
  await first.save();
  expect(first.isNew(published(1000))).toBe(false);
  const second = await Seen.open(path);
  expect(second.isNew(published(1000))).toBe(false);
  expect(second.isNew(published(1001))).toBe(true);
});

it("takes crashes for new ones after the clock was set back, while it runs and at the start", async () => {
  const path = join(directory, "back.json");
  await writeFile(path, JSON.stringify({ seenUntil: 10 * HOUR }));
  const seen = await Seen.open(path);
  seen.mindClock(9 * HOUR);
  expect(seen.isNew(published(9 * HOUR + 1000))).toBe(true);
  await seen.save();
  seen.mindClock(5 * HOUR);
  expect(seen.isNew(published(5 * HOUR + 1000))).toBe(true);
  // A little into the future is no other clock.
  await seen.save();
  seen.mindClock(5 * HOUR);
  expect(seen.isNew(published(5 * HOUR + 1000))).toBe(false);
});
