import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { systemClock } from "@cdh/core/clock";
import { silentLogger } from "@cdh/core/log";
import { createMetrics } from "@cdh/core/metrics";
import { DirectoryStore } from "../../../core/src/store/directory/store.ts";
import { ChangeLog } from "../index/change-log.ts";
import { DumpIndex } from "../index/dump-index.ts";
import type { PackedRecord } from "../index/packed-record.ts";
import { makeRecord } from "../testing/record.ts";
import { SegmentFolder, SEGMENTS_FOLDER } from "./folder.ts";
import { encodePast, Past } from "./past.ts";
import { packRows } from "./rows-to-blocks.ts";
import { joinSegment, pack } from "./segment.ts";
import { Segments } from "./service.ts";
import { SegmentWriter } from "./writer.ts";

const rules = { hostNamespace: "hosts", trustUnverified: false };
const signal = new AbortController().signal;
const T = 1_795_249_571_000;
const [FIRST, SECOND, THIRD] = [1, 2, 3].map((at) => `00000000000${at}-0123456789ab`) as [string, string, string];

let directory: string;
let store: DirectoryStore;
let folder: SegmentFolder;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "cdh-segments-"));
  store = new DirectoryStore(directory, { clock: systemClock });
  folder = new SegmentFolder(store);
});
afterEach(() => rm(directory, { recursive: true, force: true }));

function segmentsOf(changed: string[] = []): Segments {
  return new Segments({
    store,
    settings: { index: "write", indexIntervalMs: 1000 },
    rules,
    clock: systemClock,
    log: silentLogger,
    metrics: createMetrics(),
    onPast: (namespace) => changed.push(namespace),
  });
}

/** Write a segment with dumps, and with crashes whose dumps are gone. */
async function write(name: string, names: readonly string[], goneCount: number, replaces: string[] = []) {
  const past = new Past();
  for (let at = 0; at < goneCount; at += 1) past.add(makeRecord({ signature: "pay @ shop" }));
  const rows = names.map((one) => makeRecord({ name: one, signature: "pay @ shop" }) as PackedRecord);
  const part = await pack(encodePast({ past: past.values(), gone: new Map() }));
  const blocks = await packRows(rows);
  await folder.write(name, await joinSegment({ head: { listedAt: T, replaces }, blocks, past: part }), signal);
}

const countOf = (segments: Segments): number => [...segments.pastOf("shop")].reduce((sum, { count }) => sum + count, 0);

it("segments that are put together while they are read are read again: each crash counts once", async () => {
  await write(FIRST, ["a", "b"], 2);
  await write(SECOND, ["c"], 1);
  const get = store.get.bind(store);
  let turns = 0;
  store.get = async (key, ...more) => {
    // Whoever leads puts both together before the first one is read; one dump of it is gone by then.
    if (key === `${SEGMENTS_FOLDER}${FIRST}.segment` && turns++ === 0) {
      await write(THIRD, ["a", "c"], 4, [FIRST, SECOND]);
      for (const name of [FIRST, SECOND]) await folder.remove(name, signal);
    }
    return await get(key, ...more);
  };
  const changed: string[] = [];
  const segments = segmentsOf(changed);
  const index = new DumpIndex(new ChangeLog(1), (change) => segments.follow(change));
  expect(await segments.recall?.(index, signal)).toBe(T);
  expect([...index.list()].map(({ name }) => name).toSorted()).toEqual(["a", "c"]);
  expect(countOf(segments)).toBe(4);
  expect(changed).toEqual(["shop"]);
});

it("a dump that is there again is not counted as one that is gone", () => {
  const segments = segmentsOf();
  const index = new DumpIndex(new ChangeLog(1), (change) => segments.follow(change));
  index.put(makeRecord({ name: "a" }));
  index.put(makeRecord({ name: "b" }));
  for (const name of ["a", "b"]) index.remove(`shop/${name}`, 1);
  expect(countOf(segments)).toBe(2);
  index.put(makeRecord({ name: "a", manifestStamp: "2" }));
  expect(countOf(segments)).toBe(1);
});

it("whoever leads again counts no dump that another one counted meanwhile", async () => {
  await write(FIRST, ["a", "b"], 0);
  const indexOf = (): DumpIndex => {
    const index = new DumpIndex(new ChangeLog(1));
    for (const name of ["a", "b"]) index.put(makeRecord({ name, signature: "pay @ shop" }));
    return index;
  };
  const list = folder.list.bind(folder);
  const lead = async (writer: SegmentWriter, until: (failed: number, done: number) => boolean): Promise<void> => {
    const stop = new AbortController();
    [failed, done] = [0, 0];
    isOver = () => until(failed, done) && stop.abort();
    await writer.run(stop.signal);
  };
  let [failed, done] = [0, 0];
  let isOver = (): unknown => undefined;
  const writerOf = (index: DumpIndex): SegmentWriter =>
    new SegmentWriter({
      folder,
      index,
      rules,
      clock: systemClock,
      log: silentLogger,
      listedAt: () => T,
      intervalMs: 1,
      onRound: (outcome) => {
        if ("failure" in outcome) failed += 1;
        else done += 1;
        isOver();
      },
    });
  const [one, other] = [indexOf(), indexOf()];
  const first = writerOf(one);
  // It cannot read what the store holds, and loses the Lease.
  folder.list = async () => {
    if (one.size === 2) one.remove("shop/a", 1);
    throw new Error("the store is down");
  };
  await lead(first, (failures) => failures === 1);
  folder.list = list;
  other.remove("shop/a", 1);
  await lead(writerOf(other), (_, rounds) => rounds === 2);
  await lead(first, (_, rounds) => rounds === 2);
  const segments = segmentsOf();
  await segments.recall?.(new DumpIndex(new ChangeLog(1)), signal);
  expect(countOf(segments)).toBe(1);
}, 20_000);
