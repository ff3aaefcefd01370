import { createHash } from "node:crypto";
import { crc32, zstdDecompressSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { SeededRandom } from "../testing/random.ts";
import { CorePipeline } from "./core-pipeline.ts";
import { makeFrameCompressor } from "./frame-compressor.ts";
import type { FrameStoring } from "./frame-storing.ts";
import { FrameReader, sumUp, type WrittenEntry } from "./read-back.ts";
import { FRAME_BYTES } from "./zstd-frames.ts";

/** Frames of noise, text and zeros in turn. */
function makeCore(frames: number): Buffer {
  const core = Buffer.alloc((frames - 1) * FRAME_BYTES + 70_001);
  const random = new SeededRandom(frames);
  for (let at = 0; at < core.length; at += FRAME_BYTES) {
    const frame = core.subarray(at, at + FRAME_BYTES);
    const kind = random.integer(3);
    if (kind === 1) frame.fill(`line ${at} of a log\n`);
    if (kind === 2)
      for (let i = 0; i + 4 <= frame.length; i += 4) frame.writeUInt32LE(random.integer(0x1_0000_0000), i);
  }
  return core;
}

async function take(
  core: Buffer,
  storing: Partial<FrameStoring>,
  holdBack = 5,
): Promise<{ pipeline: CorePipeline; written: Buffer; entry: WrittenEntry }> {
  const written = Buffer.alloc(core.length + 64 * 1024);
  const pipeline = new CorePipeline({
    compressor: makeFrameCompressor("zstd"),
    sink: { write: async (bytes, offset) => void written.set(bytes, offset) },
    threads: 2,
    buffers: 8,
    holdBack,
    storing: { isUrgent: () => false, begins: () => true, stores: () => true, checksum: undefined, ...storing },
  });
  for (let at = 0; at < core.length; at += FRAME_BYTES) {
    const buffer = await pipeline.acquire();
    pipeline.submit(buffer, core.copy(buffer, 0, at, at + FRAME_BYTES));
  }
  await pipeline.settle();
  const read = async (into: Buffer, offset: number): Promise<void> => void written.copy(into, 0, offset);
  return { pipeline, written, entry: { read, checksum: undefined } };
}

describe("a pipeline that stores frames", () => {
  let turn = 0;
  it.each([
    ["all of them", { stores: () => true }],
    ["every other one", { stores: () => (turn += 1) % 2 === 0 }],
    ["none after all", { stores: () => false }],
  ])("writes an entry that any zstd reads: %s", async (_name, storing) => {
    const core = makeCore(23);
    const { pipeline, written, entry } = await take(core, storing);
    expect(pipeline.isStoring).toBe(true);
    expect(pipeline.summarise(pipeline.trailer()).sha256).toBeUndefined();
    await sumUp(pipeline, entry);
    const trailer = pipeline.trailer();
    const stored = Buffer.concat([written.subarray(0, pipeline.bodyBytes), trailer]);
    expect(zstdDecompressSync(stored).equals(core)).toBe(true);
    expect(pipeline.summarise(trailer)).toEqual({
      sizeBytes: core.length,
      storedBytes: stored.length,
      crc32: crc32(stored),
      sha256: createHash("sha256").update(core).digest("hex"),
    });
  });

  it("gives every frame back as it was", async () => {
    const core = makeCore(17);
    const { pipeline, entry } = await take(core, { stores: () => (turn += 1) % 3 !== 0 });
    const reader = new FrameReader(entry);
    const parts: Buffer[] = [];
    for (const frame of pipeline.frames())
      parts.push(Buffer.from(await reader.core(frame, await reader.stored(frame))));
    expect(Buffer.concat(parts).equals(core)).toBe(true);
  });

  it("a small core is compressed and hashed as ever", async () => {
    const core = makeCore(4);
    const { pipeline } = await take(core, {});
    expect(pipeline.isStoring).toBe(false);
    expect(pipeline.summarise(pipeline.trailer()).sha256).toBe(createHash("sha256").update(core).digest("hex"));
  });

  it("begins before a small core is whole where that is urgent", async () => {
    const { pipeline, entry } = await take(makeCore(4), { isUrgent: () => true });
    expect(pipeline.isStoring).toBe(true);
    expect([...pipeline.frames()].some(({ kind }) => kind === "stored")).toBe(true);
    await sumUp(pipeline, entry);
  });

  it("is compressed and hashed where it is not to begin", async () => {
    const core = makeCore(14);
    const { pipeline } = await take(core, { begins: () => false });
    expect([...pipeline.frames()].every(({ kind }) => kind !== "stored")).toBe(true);
    expect(pipeline.summarise(pipeline.trailer()).sha256).toBe(createHash("sha256").update(core).digest("hex"));
  });

  it("what is not what was written is told", async () => {
    const { pipeline, written, entry } = await take(makeCore(9), {});
    written.fill(0, 0, pipeline.bodyBytes);
    await expect(sumUp(pipeline, entry)).rejects.toThrow(/not what was written/);
  });
});
