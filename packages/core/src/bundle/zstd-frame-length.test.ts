import { zstdCompressSync, constants } from "node:zlib";
import { describe, expect, it } from "vitest";
import { SeededRandom } from "../testing/random.ts";
import { tryZstdFrameBytes } from "./zstd-frame-length.ts";

describe("tryZstdFrameBytes", () => {
  const contents = [0, 1, 255, 256, 65_791, 65_792, 300_000].flatMap((length) => [
    Buffer.alloc(length),
    Buffer.from(new SeededRandom(length).bytes(length)),
    Buffer.alloc(length, "text and more text, "),
  ]);

  it.each([0, 1])("finds the end of real frames, checksum %d, and only a whole one", (checksum) => {
    for (const content of contents) {
      const frame = zstdCompressSync(content, { params: { [constants.ZSTD_c_checksumFlag]: checksum } });
      expect(tryZstdFrameBytes(frame)).toBe(frame.length);
      expect(tryZstdFrameBytes(Buffer.concat([frame, frame, Buffer.alloc(9)]))).toBe(frame.length);
      for (const cut of [0, 1, 4, 5, frame.length - 1]) {
        expect(tryZstdFrameBytes(frame.subarray(0, Math.min(cut, frame.length - 1)))).toBeUndefined();
      }
    }
  });

  it("is total, and stays within the bytes it is given", () => {
    for (let seed = 1; seed <= 20_000; seed += 1) {
      const random = new SeededRandom(seed);
      const bytes = Buffer.from(random.bytes(random.integer(64)));
      if (bytes.length >= 4 && random.integer(4) > 0) bytes.writeUInt32LE(0xfd2fb528, 0);
      expect(tryZstdFrameBytes(bytes) ?? 0, `seed ${seed}`).toBeLessThanOrEqual(bytes.length);
    }
  });
});
