import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import type { Clock } from "../base/clock.ts";
import { silentLogger } from "../service/log.ts";
import { DirectoryStore } from "./directory/store.ts";
import { NOTICES_FOLDER, NoticeBoard, noticeKeyAt, tryReadNotice } from "./notices.ts";

const directory = mkdtempSync(join(tmpdir(), "cdh-notices-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

let now = 1_795_249_571_000;
const clock: Clock = { now: () => now, monotonic: () => now, sleep: async () => {} };
const store = new DirectoryStore(directory, { clock });
const keys = async (): Promise<string[]> => {
  const found: string[] = [];
  for await (const { key } of store.list(NOTICES_FOLDER)) found.push(key);
  return found;
};

it("a notice is found after its time, says what it said, and is removed when its time is over", async () => {
  const board = new NoticeBoard({ store, clock, log: silentLogger });
  await board.post({ kind: "added", stem: "shop/a b-1" });
  const [key = ""] = await keys();
  expect([key > noticeKeyAt(now), key < noticeKeyAt(now + 1)]).toEqual([true, true]);
  const chunks: Uint8Array[] = [];
  for await (const chunk of (await store.get(key)) ?? []) chunks.push(chunk);
  expect(tryReadNotice(Buffer.concat(chunks))).toEqual({ kind: "added", stem: "shop/a b-1" });
  await board.tidy();
  expect(await keys()).toHaveLength(1);
  now += 16 * 60_000;
  await board.tidy();
  expect(await keys()).toEqual([]);
});

it("what a writer left that ended is removed by another, and nothing younger", async () => {
  await new NoticeBoard({ store, clock, log: silentLogger }).post({ kind: "removed", stem: "shop/old" });
  now += 3700e3;
  const other = new NoticeBoard({ store, clock, log: silentLogger });
  await other.post({ kind: "removed", stem: "shop/young" });
  await other.tidyAll();
  expect(await keys()).toHaveLength(1);
});

it.each(["", "added", "added ", " shop/x", "other shop/x", `added ${"x".repeat(1200)}`])("%j is no notice", (text) => {
  expect(tryReadNotice(Buffer.from(text))).toBeUndefined();
});

it("a store that refuses is told once and stops nobody", async () => {
  const told: string[] = [];
  const log = { ...silentLogger, warn: (msg: string) => void told.push(msg) };
  const broken = new DirectoryStore(join(directory, "\0"), { clock });
  const board = new NoticeBoard({ store: broken, clock, log });
  await board.post({ kind: "added", stem: "shop/x" });
  await board.post({ kind: "added", stem: "shop/y" });
  expect(told).toEqual(["cannot post a notice"]);
});
