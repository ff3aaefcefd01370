import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, it } from "vitest";
import { SeededRandom } from "@cdh/core/testing/random";
import { makeRecord } from "../testing/record.ts";
import type { DumpRecord } from "./dump-record.ts";
import { RecordPool } from "./record-pool.ts";
import { SHORT_MAX } from "./short-text.ts";

/** Every field of a record. */
const FIELDS = Object.keys({
  ...Object.getOwnPropertyDescriptors(Object.getPrototypeOf(makeRecord()) as object),
  ...makeRecord(),
}).filter((name) => !["constructor", "block", "row"].includes(name)) as (keyof DumpRecord)[];

const plain = (record: DumpRecord): Record<string, unknown> =>
  Object.fromEntries(FIELDS.map((name) => [name, record[name]]));

it("gives back whatever was packed, shared or not", () => {
  expect(FIELDS).toHaveLength(45);
  const random = new SeededRandom(11);
  const pool = new RecordPool();
  const text = (): string => ["a", "b", "ab", "ba", "x".repeat(90), "ü\u0001,"][random.integer(6)] ?? "";
  const maybe = <T>(value: T): T | undefined => (random.integer(3) === 0 ? undefined : value);
  for (let step = 0; step < 2000; step += 1) {
    const number = (): number => [0, 1, 4211, 2 ** 33, 1.5][random.integer(5)] ?? 0;
    const fields = Object.fromEntries(
      Object.entries(plain(makeRecord())).map(([name, value]) => [
        name,
        typeof value === "boolean" ? random.integer(2) === 0 : typeof value === "number" ? number() : text(),
      ]),
    ) as unknown as DumpRecord;
    const record: DumpRecord = {
      ...fields,
      podName: maybe(fields.podName),
      podUid: maybe(text()),
      site: maybe(text()),
      signature: maybe(text()),
      uid: maybe(number()),
    };
    expect(plain(pool.pack(record))).toEqual(record);
  }
});

it("holds once what many have in common, and never mixes up two", () => {
  const pool = new RecordPool();
  const base = plain(makeRecord()) as unknown as DumpRecord;
  const [one, other] = [pool.pack(base), pool.pack({ ...base, name: "two", exe: base.exe?.split("").join("") })];
  expect(one.exe).toBe(other.exe);
  // The same characters, in other places.
  expect(pool.pack({ ...base, comm: "ab", exe: "c" }).comm).toBe("ab");
  expect(pool.pack({ ...base, comm: "a", exe: "bc" }).comm).toBe("a");
});

it("a hostile text cannot pass for another field", () => {
  const packed = makeRecord({ podName: "web\0evil-uid\0", podUid: "uid", faultAddress: "0x1\0" });
  expect([packed.podName, packed.podUid, packed.faultAddress]).toEqual(["web\0evil-uid\0", "uid", "0x1\0"]);
});

it("a change leaves the old record and everything else as it was", () => {
  const before = makeRecord();
  const after = new RecordPool().changed(before, { keep: true, revision: 7, bundleBytes: undefined });
  expect(plain(after)).toEqual({ ...plain(before), keep: true, revision: 7, bundleBytes: undefined });
  expect(before.keep).toBe(false);
});

it("gives back why and where, the one the end of the other or not", () => {
  for (const [summary, where] of [
    ["SIGSEGV in pay() ← main()", "pay() ← main()"],
    ["pay()", "pay()"],
    ["panic: 12", "pay()"],
    ["panic: 12", undefined],
    ["", "12"],
    ["", undefined],
    ["panic: 12", "evil\0"],
    ["12", "2"],
  ] as const) {
    const packed = makeRecord({ summary, where });
    expect([packed.summary, packed.where]).toEqual([summary, where]);
  }
});

it("shares what many have in common, whatever each of them said as it ended", () => {
  const perRecord = (changes: (at: string) => Partial<DumpRecord>): number => {
    const pool = new RecordPool();
    const base = plain(makeRecord()) as unknown as DumpRecord;
    const before = heapUsed();
    const records = Array.from({ length: 30_000 }, (_, at) =>
      pool.pack({ ...base, ...changes(String(at).padStart(60, "x")) }),
    );
    const bytes = (heapUsed() - before) / records.length;
    expect(records.at(-1)?.nodeName).toBe(base.nodeName);
    return bytes;
  };
  const byPod = perRecord((at) => ({ podName: at }));
  const bySummary = perRecord((at) => ({ summary: `panic: no cart ${at} in pay() ← main()`, where: "pay() ← main()" }));
  expect(bySummary / byPod).toBeLessThan(2);
});

function heapUsed(): number {
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
  const { heapUsed: objects, arrayBuffers } = process.memoryUsage();
  return objects + arrayBuffers;
}

it("a text longer than names are is cut in the middle, with a hash of the whole, and two are never one", () => {
  const path = (at: number): string => `/srv/${"x".repeat(2000)}${at}${"y".repeat(2000)}/bin/server`;
  const pool = new RecordPool();
  const long = {
    ...plain(makeRecord()),
    exe: path(1),
    imageRef: `${path(1)}:1.8`,
    podName: path(1),
    signature: "f".repeat(1000),
  };
  const one = pool.pack(long as unknown as DumpRecord);
  const other = pool.pack({ ...long, exe: path(2) } as unknown as DumpRecord);
  expect(one.exe).toMatch(/^\/srv\/x+\.\.\.[\da-f]{8}\.\.\.y+\/bin\/server$/);
  expect(one.imageRef).toMatch(/\/bin\/server:1\.8$/);
  expect([one.exe, one.imageRef, one.podName].every((text) => (text?.length ?? 999) <= SHORT_MAX)).toBe(true);
  expect(other.exe).not.toBe(one.exe);
  expect(one.signature).toBe(long.signature);
  // Packed once more it stays the same.
  expect(pool.pack(one).exe).toBe(one.exe);
});
