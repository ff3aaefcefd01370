import { createHash, randomBytes } from "node:crypto";
import { open, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openRegularFile } from "../files/regular-file.ts";
import { digestBytes, digestFile, encodeCrc32, expectedEtag, MAX_PARTS, partBytesFor } from "./digest.ts";

const MIB = 1024 * 1024;
let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "cdh-digest-"));
});
afterAll(async () => {
  await rm(directory, { recursive: true, force: true });
});

async function digestOf(body: Uint8Array, partBytes: number, sizeBytes = body.length) {
  const path = join(directory, "file");
  await writeFile(path, body);
  const handle = await open(path);
  try {
    return await digestFile(handle, { path, sizeBytes }, { partBytes, crc32: true });
  } finally {
    await handle.close();
  }
}

describe("digestFile", () => {
  // Below and above what is hashed without a thread, around part borders, and empty.
  it.each([0, 1, 1000, 5 * MIB - 1, 5 * MIB, 5 * MIB + 1, 11 * MIB])(
    "agrees with one-shot hashes for %i bytes",
    async (size) => {
      const body = randomBytes(size);
      const digest = await digestOf(body, 5 * MIB);
      expect(digest.sha256).toBe(createHash("sha256").update(body).digest("hex"));
      expect(digest.crc32?.whole).toBe(crc32(body));
      const parts = Math.max(1, Math.ceil(size / (5 * MIB)));
      expect(digest.partMd5s.length).toBe(parts);
      for (const [index, md5] of digest.partMd5s.entries()) {
        const part = body.subarray(index * 5 * MIB, (index + 1) * 5 * MIB);
        expect(md5).toEqual(createHash("md5").update(part).digest());
        expect(digest.crc32?.parts[index]).toBe(crc32(part));
      }
    },
  );

  it.each([1000, 2 * MIB])("notices that a file of %i bytes is shorter or longer than it should be", async (size) => {
    const body = randomBytes(size);
    await expect(digestOf(body, 5 * MIB, size + 1)).rejects.toMatchObject({ code: "CDH_STORE_MISMATCH" });
    await expect(digestOf(body, 5 * MIB, size - 1)).rejects.toMatchObject({ code: "CDH_STORE_MISMATCH" });
  });

  it("stops in the middle of a large file, and the next one is hashed as ever", async () => {
    const path = join(directory, "large");
    await writeFile(path, Buffer.alloc(200 * MIB));
    const handle = await open(path);
    const stop = new AbortController();
    const digest = digestFile(handle, { path, sizeBytes: 200 * MIB }, { partBytes: 8 * MIB, signal: stop.signal });
    stop.abort(new Error("enough"));
    await expect(digest).rejects.toThrow("enough");
    await handle.close();
    expect((await digestOf(Buffer.from("x"), 5 * MIB)).sha256).toBe(createHash("sha256").update("x").digest("hex"));
  });

  it("gives many callers their own sums", async () => {
    const bodies = Array.from({ length: 12 }, (_, index) => Buffer.alloc(300_000 + index, index));
    const sums = await Promise.all(
      bodies.map(async (body, index) => {
        const path = join(directory, `many-${index}`);
        await writeFile(path, body);
        const handle = await openRegularFile(path);
        const { sha256 } = await digestFile(handle, { path, sizeBytes: body.length }, { partBytes: 5 * MIB });
        await handle.close();
        return sha256;
      }),
    );
    expect(sums).toEqual(bodies.map((body) => createHash("sha256").update(body).digest("hex")));
  });
});

describe("partBytesFor", () => {
  it.each([
    [0, 8 * MIB, 8 * MIB],
    [1, 1, 5 * MIB],
    [10_000 * 8 * MIB, 8 * MIB, 8 * MIB],
    [10_000 * 8 * MIB + 1, 8 * MIB, 9 * MIB],
    // The largest object that S3 takes.
    [5 * 1024 ** 4, 8 * MIB, 525 * MIB],
  ])("cuts %i bytes, %i wanted, into parts of %i", (size, wanted, parts) => {
    expect(partBytesFor(size, wanted)).toBe(parts);
    expect(Math.ceil(size / parts)).toBeLessThanOrEqual(MAX_PARTS);
  });
});

describe("expectedEtag", () => {
  it("is S3's: an MD5, or an MD5 of MD5s with the number of parts", () => {
    const digest = digestBytes(Buffer.from("hello"));
    expect(expectedEtag(digest, false)).toBe("5d41402abc4b2a76b9719d911017c592");
    expect(expectedEtag(digest, true)).toMatch(/^[0-9a-f]{32}-1$/);
    expect(expectedEtag({ ...digest, partMd5s: [] }, false)).toBeUndefined();
  });
  it("encodes a CRC-32 big-endian in base64", () => {
    expect(encodeCrc32(crc32("123456789"))).toBe("y/Q5Jg==");
  });
});
