import { createHash } from "node:crypto";
import { zstdCompressSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { SeededRandom } from "../testing/random.ts";
import { makeRawZip, type RawZipEntry } from "../testing/raw-zip.ts";
import { makeFrames } from "../testing/sample-bundle.ts";
import type { CoreReader } from "./core-layout.ts";
import { openCore } from "./core-reader.ts";
import { bytesSource } from "./reader-source.ts";
import { openBundle } from "./reader.ts";

/** Five and a bit frames: noise, zeros, text. */
const core = Buffer.concat([
  Buffer.from(new SeededRandom(1).bytes(1_500_000)),
  Buffer.alloc(2_000_000),
  Buffer.from("abc".repeat(700_001)),
]);

async function coreOf(entry: RawZipEntry): Promise<CoreReader> {
  return openCore(await openBundle(bytesSource("test.zip", makeRawZip([entry]))));
}

const layouts: [string, RawZipEntry][] = [
  ["frames", { name: "N.core.zst", data: makeFrames(core).bytes }],
  ["frames", { name: "N.core.zst", data: makeFrames(core, 70_001).bytes }],
  ["zstd", { name: "N.core.zst", data: zstdCompressSync(core) }],
  ["deflate", { name: "N.core", data: core, method: 8 }],
  ["stored", { name: "N.core", data: core }],
];

describe.each(layouts)("a core as %s", (layout, entry) => {
  it("comes back byte by byte, in order", async () => {
    const reader = await coreOf(entry);
    expect(reader.layout).toBe(layout);
    const hash = createHash("sha256");
    let at = 0;
    for await (const { offset, bytes } of reader.chunks()) {
      expect(offset).toBe(at);
      hash.update(bytes);
      at += bytes.length;
    }
    expect(at).toBe(core.length);
    expect(hash.digest("hex")).toBe(createHash("sha256").update(core).digest("hex"));
    expect(reader.sizeBytes).toBe(core.length);
  });

  it("gives any range, forwards and backwards", async () => {
    const reader = await coreOf(entry);
    const random = new SeededRandom(7);
    for (let round = 0; round < 12; round += 1) {
      const offset = random.integer(core.length);
      const length = random.integer(round < 4 ? 5000 : 1_800_000);
      const expected = core.subarray(offset, offset + length);
      expect((await reader.read(offset, length)).equals(expected), `${offset}+${length}`).toBe(true);
    }
    expect(await reader.read(core.length + 5, 10)).toHaveLength(0);
  });

  it("starts in the middle", async () => {
    const reader = await coreOf(entry);
    const parts: Buffer[] = [];
    for await (const { bytes } of reader.chunks({ from: 1_234_567 })) parts.push(Buffer.from(bytes));
    expect(Buffer.concat(parts).equals(core.subarray(1_234_567))).toBe(true);
  });

  it("stops when asked to", async () => {
    const reader = await coreOf(entry);
    const stop = new AbortController();
    const reading = (async () => {
      for await (const _chunk of reader.chunks({ signal: stop.signal })) stop.abort(new Error("enough"));
    })();
    await expect(reading).rejects.toThrow("enough");
  });
});

// A deflated entry checks its own checksum: nobody needs its stored bytes.
describe.each(layouts.filter(([layout]) => layout !== "deflate"))(
  "the stored bytes of a core as %s",
  (_layout, entry) => {
    it("are shown as they are read, in order", async () => {
      const reader = await coreOf(entry);
      const seen: Uint8Array[] = [];
      for await (const _chunk of reader.chunks({ onStoredBytes: (bytes) => seen.push(Buffer.from(bytes)) }));
      expect(Buffer.concat(seen).equals(entry.data ?? Buffer.alloc(0))).toBe(true);
    });
  },
);
