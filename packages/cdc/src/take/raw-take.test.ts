import { describe, expect, it } from "vitest";
import { FRAME_BYTES } from "@cdh/core/bundle/zstd-frames";
import { RawTake, type RawTakeOptions } from "./raw-take.ts";

const GIB = 1024 * FRAME_BYTES;

function make(changes: Partial<RawTakeOptions> = {}): RawTake {
  return new RawTake({
    settings: { take: "auto", compression: "zstd" },
    room: () => 100 * GIB,
    expectedBytes: () => GIB,
    isInLine: () => false,
    checksum: undefined,
    ...changes,
  });
}

describe("the choice to take a core raw", () => {
  it("where all allows it", () => {
    const take = make();
    expect(take.needsNoSlot).toBe(true);
    expect([take.begins(), take.stores()]).toEqual([true, true]);
    expect(take.taking).toEqual({ from: "pipe", as: "raw" });
  });

  it.each([
    ["TAKE=pipe", { settings: { take: "pipe", compression: "zstd" } }],
    ["COMPRESSION=none", { settings: { take: "auto", compression: "none" } }],
    ["the room on the disk is not known", { room: () => undefined }],
    ["1.0 GiB are more than a quarter of the room that is left, 3.0 GiB", { room: () => 3 * GIB }],
    ["it does not say how long it is", { expectedBytes: () => 0 }],
  ] satisfies [string, Partial<RawTakeOptions>][])("not: %s", (reason, changes) => {
    const take = make(changes);
    expect(take.begins()).toBe(false);
    expect(take.needsNoSlot).toBe(false);
    expect(take.taking).toEqual({ from: "pipe", as: "packed", reasons: [`not raw: ${reason}`] });
  });

  it("a small core was never asked about", () => {
    expect(make().taking).toEqual({ from: "pipe", as: "packed", reasons: ["not raw: it is small"] });
  });

  it("begins early where others are in line, once the core's headers have come", () => {
    let expected = 0;
    const take = make({ isInLine: () => true, expectedBytes: () => expected });
    expect(take.isUrgent()).toBe(false);
    expected = GIB;
    expect(take.isUrgent()).toBe(true);
  });

  it("compresses for a while where the disk is slow, and then tries it again", () => {
    const take = make();
    take.begins();
    for (let count = 0; count < 16; count += 1) take.wrote(FRAME_BYTES, 20);
    expect([take.stores(), take.needsNoSlot]).toEqual([false, false]);
    let compressed = 1;
    while (!take.stores()) compressed += 1;
    expect(compressed).toBe(32);
    for (let count = 0; count < 64; count += 1) take.wrote(FRAME_BYTES, 1);
    expect(take.stores()).toBe(true);
  });

  it("stores nothing more once the room is gone", () => {
    let room = 100 * GIB;
    const take = make({ room: () => room });
    take.begins();
    room = 0;
    expect(take.stores()).toBe(false);
  });
});
