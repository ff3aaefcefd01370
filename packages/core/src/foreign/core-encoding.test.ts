import { gzipSync, zstdCompressSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { SeededRandom } from "../testing/random.ts";
import { decodeCore, encodingOf, fileKindOf, isDecodeError, type CoreEncoding } from "./core-encoding.ts";

const CORE = new SeededRandom(1).bytes(100_000);

/** One frame of LZ4 whose blocks are not compressed. @see the lz4 repository, doc/lz4_Frame_format.md */
function lz4(content: Uint8Array): Buffer {
  const parts: Uint8Array[] = [Buffer.from("04224d18604000", "hex")];
  for (let at = 0; at < content.length; at += 65_536) {
    const block = content.subarray(at, at + 65_536);
    const header = Buffer.alloc(4);
    header.writeUInt32LE((block.length | 0x80000000) >>> 0);
    parts.push(header, block);
  }
  return Buffer.concat([...parts, Buffer.alloc(4)]);
}

async function* inPieces(bytes: Uint8Array, failure?: Error): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += 10_000) yield Buffer.from(bytes.subarray(at, at + 10_000));
  if (failure !== undefined) throw failure;
}

async function decode(encoding: CoreEncoding, pieces: AsyncIterable<Buffer>): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of decodeCore(encoding, pieces, "test")) parts.push(part);
  return Buffer.concat(parts);
}

describe("compressions around cores", () => {
  const packed = { plain: CORE, gzip: gzipSync(CORE), zstd: zstdCompressSync(CORE), lz4: lz4(CORE) };

  it.each(Object.entries(packed) as [keyof typeof packed, Uint8Array][])("reads %s", async (encoding, bytes) => {
    expect(encodingOf(fileKindOf(bytes))).toBe(encoding);
    expect((await decode(encoding, inPieces(bytes))).equals(CORE)).toBe(true);
  });

  it.each(["gzip", "zstd", "lz4"] as const)("tells a %s that breaks off from a disk that fails", async (encoding) => {
    const cut = packed[encoding].subarray(0, 50_000);
    await expect(decode(encoding, inPieces(cut))).rejects.toSatisfy(isDecodeError);
    const failure = Object.assign(new Error("i/o error"), { code: "EIO" });
    const failed = decode(encoding, inPieces(cut, failure));
    await expect(failed).rejects.toBe(failure);
    expect(isDecodeError(failure)).toBe(false);
  });

  it("refuses xz before it reads", () => {
    expect(fileKindOf(Buffer.from("fd377a585a000000", "hex"))).toBe("xz");
    expect(() => decodeCore("xz", inPieces(CORE), "test")).toThrow(
      expect.objectContaining({ code: "CDH_BUNDLE_METHOD" }),
    );
  });
});
