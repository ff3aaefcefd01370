import { describe, expect, it } from "vitest";
import { run } from "@cdh/core/exec";
import { SeededRandom } from "@cdh/core/testing/random";
import { decompressLz4 } from "./lz4.ts";

/**
 * `abcabcabc…`, 40 bytes, and then one copy of everything so far, as two linked blocks: made by hand after the format's
 * description, so that no other program is needed.
 */
const frame = Buffer.concat([
  Buffer.from("04224d18", "hex"),
  // Version 1, linked blocks, no checksums; 64 KiB blocks; header checksum, which nobody checks.
  Buffer.from("404000", "hex"),
  // Block 1: three literals and a copy of 37 bytes from 3 back (15 + 18 + 4), then the last literals, none.
  Buffer.from("08000000", "hex"),
  Buffer.from([0x3f, 0x61, 0x62, 0x63, 3, 0, 18, 0x00]),
  // Block 2: no literals, a copy of 40 bytes from 40 back, in the block before.
  Buffer.from("05000000", "hex"),
  Buffer.from([0x0f, 40, 0, 21, 0x00]),
  // Block 3, not compressed.
  Buffer.from("03000080", "hex"),
  Buffer.from("end"),
  Buffer.from("00000000", "hex"),
]);
const plain = `${"abc".repeat(14).slice(0, 40).repeat(2)}end`;

async function decompress(bytes: Buffer, pieceBytes = 7): Promise<Buffer> {
  const pieces = async function* (): AsyncGenerator<Buffer> {
    for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes);
  };
  const parts: Buffer[] = [];
  for await (const chunk of decompressLz4(pieces(), "test")) parts.push(chunk);
  return Buffer.concat(parts);
}

describe("decompressLz4", () => {
  it("decodes copies that overlap themselves and reach into the block before", async () => {
    expect((await decompress(frame)).toString()).toBe(plain);
  });

  it("passes over skippable frames and goes on with the next one", async () => {
    const skippable = Buffer.from("502a4d1803000000aabbcc", "hex");
    expect((await decompress(Buffer.concat([skippable, frame, frame]))).toString()).toBe(plain + plain);
  });

  it("refuses what is cut or lies, with a code", async () => {
    for (let length = 1; length < frame.length - 4; length += 1) {
      await expect(decompress(frame.subarray(0, length)), `${length} bytes`).rejects.toMatchObject({
        code: expect.stringMatching(/^CDH_BUNDLE_/) as unknown,
      });
    }
    const random = new SeededRandom(9);
    for (let round = 0; round < 500; round += 1) {
      const changed = Buffer.from(frame);
      changed[random.integer(changed.length)] = random.integer(256);
      await decompress(changed).catch((error: unknown) =>
        expect(error).toMatchObject({ code: expect.stringMatching(/^CDH_BUNDLE_/) as unknown }),
      );
    }
  });

  it("agrees with lz4 itself", async (context) => {
    const probe = await run("lz4", ["--version"]);
    if (probe.failed) context.skip("lz4 is not on this machine");
    const random = new SeededRandom(4);
    const text = Buffer.concat(
      Array.from({ length: 300 }, () => Buffer.from("core dump ".repeat(random.integer(300)) + random.next())),
    );
    for (const flags of [["-1"], ["-9"], ["-BD", "-B4"], ["-BX", "--content-size"]]) {
      const { spawnSync } = await import("node:child_process");
      const packed = spawnSync("lz4", [...flags, "-c"], { input: text, maxBuffer: 64 * 1024 * 1024 }).stdout;
      expect((await decompress(packed, 65_536)).equals(text), flags.join(" ")).toBe(true);
    }
  });
});
