import { createHash } from "node:crypto";
import { crc32, inflateRawSync, zstdDecompressSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { SeededRandom } from "../testing/random.ts";
import { CorePipeline, type CoreSink } from "./core-pipeline.ts";
import { makeFrameCompressor } from "./frame-compressor.ts";
import type { Compression } from "./manifest.ts";
import { FRAME_BYTES } from "./zstd-frames.ts";

/** Keeps what is written, and runs full where the test says so. */
class MemorySink implements CoreSink {
  bytes: Buffer = Buffer.alloc(0);
  readonly #roomBytes: number;

  constructor(roomBytes = Number.POSITIVE_INFINITY) {
    this.#roomBytes = roomBytes;
  }

  async write(bytes: Uint8Array, offset: number): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    if (offset + bytes.length > this.#roomBytes) throw Object.assign(new Error("full"), { code: "ENOSPC" });
    // A hole reads as zeros.
    if (offset + bytes.length > this.bytes.length) {
      this.bytes = Buffer.concat([this.bytes, Buffer.alloc(offset + bytes.length - this.bytes.length)]);
    }
    this.bytes.set(bytes, offset);
  }
}

/** A core of frames of several kinds in a random order: zeros, text, and bytes that don't compress. */
function makeCore(seed: number, frames: number, lastBytes: number): Buffer {
  const random = new SeededRandom(seed);
  const core = Buffer.alloc((frames - 1) * FRAME_BYTES + lastBytes);
  for (let at = 0; at < core.length; at += FRAME_BYTES) {
    const frame = core.subarray(at, at + FRAME_BYTES);
    const kind = random.integer(3);
    if (kind === 1) frame.fill(`line ${random.integer(1000)} of a log\n`);
    if (kind === 2)
      for (let i = 0; i + 4 <= frame.length; i += 4) frame.writeUInt32LE(random.integer(0x1_0000_0000), i);
  }
  return core;
}

async function feed(pipeline: CorePipeline, core: Buffer): Promise<void> {
  for (let at = 0; at < core.length; at += FRAME_BYTES) {
    const buffer = await pipeline.acquire();
    pipeline.submit(buffer, core.copy(buffer, 0, at, at + FRAME_BYTES));
  }
  await pipeline.settle();
}

function decode(compression: Compression, stored: Buffer): Buffer {
  if (compression === "none") return stored;
  return compression === "zstd" ? zstdDecompressSync(stored) : inflateRawSync(stored);
}

describe.each(["zstd", "deflate", "none"] as const)("the core pipeline with %s", (compression) => {
  it.each([1, 2, 5])("keeps every byte in order with %i threads", async (threads) => {
    const core = makeCore(threads, 23, 77_777);
    const sink = new MemorySink();
    const pipeline = new CorePipeline({
      compressor: makeFrameCompressor(compression),
      sink,
      threads,
      buffers: threads + 3,
    });
    await feed(pipeline, core);
    const trailer = pipeline.trailer();
    const summary = pipeline.summarise(trailer);
    const stored = Buffer.concat([sink.bytes, Buffer.alloc(pipeline.bodyBytes - sink.bytes.length), trailer]);
    expect(summary).toMatchObject({ sizeBytes: core.length, storedBytes: stored.length });
    expect(summary.sha256).toBe(createHash("sha256").update(core).digest("hex"));
    expect(summary.crc32).toBe(crc32(compression === "zstd" ? stored : core));
    expect(decode(compression, stored).equals(core)).toBe(true);
  });

  it("makes frames that decode each on its own, from lanes used over and over", async () => {
    const compressor = makeFrameCompressor(compression);
    for (let seed = 0; seed < 12; seed++) {
      const chunk = makeCore(seed, 1, 1 + seed * 80_000);
      const frame = await compressor.compress(chunk);
      expect(decode(compression, Buffer.concat([frame.bytes, compressor.trailer])).equals(chunk)).toBe(true);
      frame.release();
    }
    compressor.close();
  });

  it("holds back the work on a small core until it is whole, and on a large one until enough has come", async () => {
    for (const frames of [3, 12]) {
      const core = makeCore(frames, frames, 999);
      const sink = new MemorySink();
      const pipeline = new CorePipeline({
        compressor: makeFrameCompressor(compression),
        sink,
        threads: 2,
        buffers: 8,
        holdBack: 5,
      });
      for (let at = 0; at < core.length; at += FRAME_BYTES) {
        const buffer = await pipeline.acquire();
        pipeline.submit(buffer, core.copy(buffer, 0, at, at + FRAME_BYTES));
        if (at < 4 * FRAME_BYTES) expect([pipeline.frameCount, sink.bytes.length]).toEqual([0, 0]);
      }
      await pipeline.settle();
      const stored = Buffer.concat([
        sink.bytes,
        Buffer.alloc(pipeline.bodyBytes - sink.bytes.length),
        pipeline.trailer(),
      ]);
      expect(decode(compression, stored).equals(core)).toBe(true);
    }
  });

  it("on a full disk keeps whole frames, and no hash that is not theirs", async () => {
    const core = makeCore(4, 20, FRAME_BYTES);
    const sink = new MemorySink(3_000_000);
    const pipeline = new CorePipeline({ compressor: makeFrameCompressor(compression), sink, threads: 3, buffers: 6 });
    await feed(pipeline, core);
    expect(pipeline.failure).toMatchObject({ code: "ENOSPC" });
    pipeline.shrinkBy(0);
    const summary = pipeline.summarise(pipeline.trailer());
    expect(summary.sha256).toBeUndefined();
    expect(summary.sizeBytes % FRAME_BYTES).toBe(0);
    const stored = Buffer.concat([
      Buffer.concat([sink.bytes, Buffer.alloc(3_000_000)]).subarray(0, pipeline.bodyBytes),
      pipeline.trailer(),
    ]);
    expect(decode(compression, stored).equals(core.subarray(0, summary.sizeBytes))).toBe(true);
  });

  it("makes room at its end, and what is left is whole", async () => {
    const core = makeCore(6, 9, 333);
    const sink = new MemorySink();
    const pipeline = new CorePipeline({ compressor: makeFrameCompressor(compression), sink, threads: 2, buffers: 4 });
    await feed(pipeline, core);
    for (let before = pipeline.bodyBytes; before > 0; before = pipeline.bodyBytes) {
      pipeline.shrinkBy(1_500_000);
      expect(pipeline.bodyBytes).toBeLessThanOrEqual(Math.max(0, before - 1_500_000));
      const trailer = pipeline.trailer();
      const summary = pipeline.summarise(trailer);
      const room = Buffer.concat([sink.bytes, Buffer.alloc(core.length)]);
      const stored = Buffer.concat([room.subarray(0, pipeline.bodyBytes), trailer]);
      expect(summary).toMatchObject({ storedBytes: stored.length });
      expect(summary.crc32).toBe(crc32(compression === "zstd" ? stored : core.subarray(0, summary.sizeBytes)));
      expect(summary.sha256).toBeUndefined();
      const left = pipeline.frameCount === 0 ? Buffer.alloc(0) : decode(compression, stored);
      expect(left.equals(core.subarray(0, summary.sizeBytes))).toBe(true);
    }
  });

  it("an empty core is an entry that decodes to nothing", async () => {
    const sink = new MemorySink();
    const pipeline = new CorePipeline({ compressor: makeFrameCompressor(compression), sink, threads: 2, buffers: 4 });
    await feed(pipeline, Buffer.alloc(0));
    const summary = pipeline.summarise(pipeline.trailer());
    expect(summary).toMatchObject({ sizeBytes: 0, sha256: createHash("sha256").digest("hex") });
    expect(sink.bytes.length).toBe(0);
  });
});
