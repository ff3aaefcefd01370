import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { systemClock } from "@cdh/core/clock";
import { DirectoryStore } from "../../../core/src/store/directory/store.ts";
import type { PackedRecord } from "../index/packed-record.ts";
import { FactsPool } from "../index/row-facts.ts";
import { makeRecord } from "../testing/record.ts";
import { decodeBlock, NoBlock } from "./block-codec.ts";
import { SegmentFolder, SEGMENTS_FOLDER } from "./folder.ts";
import { packRows } from "./rows-to-blocks.ts";
import { unpack } from "./segment.ts";

const rules = { hostNamespace: "hosts", trustUnverified: false };
let directory: string;
beforeEach(() => void (directory = mkdtempSync(join(tmpdir(), "cdh-hostile-segments-"))));
afterEach(() => rmSync(directory, { recursive: true, force: true }));

it("of more segments than are read, the newest are", async () => {
  const folder = new SegmentFolder(new DirectoryStore(directory, { clock: systemClock }));
  mkdirSync(join(directory, SEGMENTS_FOLDER), { recursive: true });
  const nameOf = (at: number): string => `${String(at).padStart(12, "0")}-0123456789ab`;
  for (let at = 1; at <= 2005; at += 1) writeFileSync(join(directory, SEGMENTS_FOLDER, `${nameOf(at)}.segment`), "");
  const names = (await folder.list(new AbortController().signal)).map(({ name }) => name);
  expect(names.length).toBe(2000);
  expect([names[0], names.at(-1)]).toEqual([nameOf(2005), nameOf(6)]);
});

it.each([
  ["a time that no calendar has", { crashedAt: 1e300 }],
  ["a time that no calendar has, of the store", { storedAt: -9e15 }],
  ["fewer bytes than none", { coreBytes: -1 }],
])("a row with %s is none", async (_what, changes) => {
  const read = async (record: PackedRecord): Promise<unknown> => {
    const [packed] = await packRows([record]);
    if (packed === undefined) throw new Error("nothing was packed");
    return await decodeBlock(await unpack(packed), { rules, pool: new FactsPool(), index: 0 });
  };
  await read(makeRecord() as PackedRecord);
  await expect(read(makeRecord(changes) as PackedRecord)).rejects.toThrow(NoBlock);
});
