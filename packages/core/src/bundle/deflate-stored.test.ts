import { inflateRawSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { SeededRandom } from "../testing/random.ts";
import { storedBlocksBytes, writeStoredBlocks } from "./deflate-stored.ts";

describe("stored blocks", () => {
  it.each([0, 1, 65_534, 65_535, 65_536, 131_070, 1_048_576])("hold %i bytes as they are", (length) => {
    const random = new SeededRandom(length);
    const chunk = Buffer.alloc(length);
    for (let at = 0; at < length; at += 1) chunk[at] = random.integer(256);
    const stored = writeStoredBlocks(chunk, Buffer.alloc(storedBlocksBytes(length)));
    expect(stored.length).toBe(storedBlocksBytes(length));
    expect(stored.length).toBeLessThan(length + 100);
    // Two of them and the end mark are one stream, and each ends like a flush.
    expect(stored.subarray(-4)).toEqual(Buffer.of(0, 0, 0xff, 0xff));
    const stream = Buffer.concat([stored, stored, Buffer.of(0x03, 0x00)]);
    expect(inflateRawSync(stream).equals(Buffer.concat([chunk, chunk]))).toBe(true);
  });
});
