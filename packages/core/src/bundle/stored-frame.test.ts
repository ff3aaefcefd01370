import { zstdDecompressSync } from "node:zlib";
import { expect, it } from "vitest";
import { SeededRandom } from "../testing/random.ts";
import { STORED_FRAME_MAX_BYTES, tryReadStoredFrame, writeStoredFrame } from "./stored-frame.ts";
import { tryZstdFrameBytes } from "./zstd-frame-length.ts";
import { FRAME_BYTES } from "./zstd-frames.ts";

const KIB = 1024;

/** Noise, with zeros from one offset to another. */
function makeChunk(length: number, zeroFrom = 0, zeroTo = 0): Buffer {
  const random = new SeededRandom(length);
  const chunk = Buffer.alloc(length);
  for (let at = 0; at + 4 <= length; at += 4) chunk.writeUInt32LE(random.integer(0x1_0000_0000), at);
  return chunk.fill(0, zeroFrom, zeroTo);
}

it.each([
  ["one byte", makeChunk(1)],
  ["a short block", makeChunk(1000)],
  ["a block", makeChunk(128 * KIB)],
  ["a block and a byte", makeChunk(128 * KIB + 1)],
  ["a whole frame", makeChunk(FRAME_BYTES)],
  ["zeros between", makeChunk(FRAME_BYTES, 128 * KIB, 700 * KIB)],
  ["zeros at the end", makeChunk(FRAME_BYTES, 512 * KIB, FRAME_BYTES)],
  ["short zeros", Buffer.alloc(5)],
])("a stored frame is zstd's, and reads back: %s", (_name, chunk) => {
  const frame = writeStoredFrame(chunk, Buffer.alloc(STORED_FRAME_MAX_BYTES), undefined);
  expect(tryZstdFrameBytes(Buffer.concat([frame, Buffer.alloc(9)]))).toBe(frame.length);
  expect(zstdDecompressSync(frame).equals(chunk)).toBe(true);
  expect(tryReadStoredFrame(frame, Buffer.alloc(FRAME_BYTES, 1), undefined)?.equals(chunk)).toBe(true);
});

it("zeros take a byte a block", () => {
  const frame = writeStoredFrame(
    makeChunk(FRAME_BYTES, 0, FRAME_BYTES),
    Buffer.alloc(STORED_FRAME_MAX_BYTES),
    undefined,
  );
  expect(frame.length).toBe(9 + 8 * 4);
});

it("a checksum is written, and damage is told by it", () => {
  const sum = (bytes: Uint8Array): bigint => 0xabc_0000_0000n + BigInt(bytes[0] ?? 0);
  const frame = writeStoredFrame(makeChunk(1000), Buffer.alloc(STORED_FRAME_MAX_BYTES), sum);
  expect(tryReadStoredFrame(frame, Buffer.alloc(FRAME_BYTES), sum)).toBeDefined();
  frame.writeUInt8(frame.readUInt8(12) ^ 1, 12);
  expect(tryReadStoredFrame(frame, Buffer.alloc(FRAME_BYTES), sum)).toBeUndefined();
});

it("what is no stored frame, or torn, is not read", () => {
  const frame = writeStoredFrame(makeChunk(300 * KIB), Buffer.alloc(STORED_FRAME_MAX_BYTES), undefined);
  const into = Buffer.alloc(FRAME_BYTES);
  for (let length = 0; length < frame.length; length += 1 + (length > 20 ? 5000 : 0))
    expect(tryReadStoredFrame(frame.subarray(0, length), into, undefined)).toBeUndefined();
  expect(tryReadStoredFrame(Buffer.alloc(64), into, undefined)).toBeUndefined();
  expect(tryReadStoredFrame(frame, Buffer.alloc(1000), undefined)).toBeUndefined();
});
