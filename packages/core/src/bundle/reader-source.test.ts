import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ObjectStore } from "../store/store.ts";
import { SeededRandom } from "../testing/random.ts";
import { fileSource, storeSource } from "./reader-source.ts";

const bytes = Buffer.from(new SeededRandom(3).bytes(3_000_000));

describe("fileSource", () => {
  let directory: string;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "cdh-source-"));
  });
  afterEach(async () => {
    await rm(directory, { recursive: true, force: true });
  });

  it("reads any range exactly, and says where the file ends", async () => {
    const path = join(directory, "file");
    await writeFile(path, bytes);
    const source = await fileSource(path);
    const random = new SeededRandom(5);
    for (let round = 0; round < 200; round += 1) {
      const offset = random.integer(bytes.length);
      const length = Math.min(random.integer(100_000), bytes.length - offset);
      expect((await source.read(offset, length)).equals(bytes.subarray(offset, offset + length))).toBe(true);
    }
    await expect(source.read(bytes.length - 1, 2)).rejects.toMatchObject({ code: "CDH_BUNDLE_CUT_SHORT" });
    await expect(source.read(-1, 2)).rejects.toMatchObject({ code: "CDH_BUNDLE_CUT_SHORT" });
    await source.close();
  });

  it("says what is not there and what is no file", async () => {
    await expect(fileSource(join(directory, "nothing"))).rejects.toMatchObject({ code: "CDH_NOT_FOUND" });
    await expect(fileSource(directory)).rejects.toMatchObject({ code: "CDH_DISK" });
  });
});

/** A store of one object in memory that counts requests; it may break the first of them. */
function makeStore(failures = 0): { store: ObjectStore; requests: string[] } {
  const requests: string[] = [];
  let left = failures;
  const store = {
    url: "s3://cores",
    head: async () => ({ key: "k", sizeBytes: bytes.length, modifiedAt: 0 }),
    get: async (_key: string, range: { offset: number; length: number }) => {
      requests.push(`${range.offset}+${range.length}`);
      if (left > 0) {
        left -= 1;
        throw new Error("the network is down");
      }
      return (async function* () {
        for (let at = range.offset; at < range.offset + range.length; at += 10_000) {
          yield bytes.subarray(at, Math.min(at + 10_000, range.offset + range.length));
        }
      })();
    },
  };
  return { store: store as unknown as ObjectStore, requests };
}

describe("storeSource", () => {
  it("takes the end once and serves small reads from it", async () => {
    const { store, requests } = makeStore();
    const source = await storeSource(store, "k");
    for (const back of [22, 46, 100_000, 1_000_000]) {
      const at = bytes.length - back;
      expect((await source.read(at, 20)).equals(bytes.subarray(at, at + 20))).toBe(true);
    }
    expect(requests).toHaveLength(1);
    await source.read(0, 8);
    await source.read(10, 1000);
    expect(requests).toHaveLength(2);
    expect(source.traffic.requests).toBe(3);
  });

  it("takes little when only a glance is wanted, and asks for no size that is known", async () => {
    const { store } = makeStore();
    const source = await storeSource(store, "k", { glance: true, sizeBytes: bytes.length });
    await source.read(bytes.length - 22, 22);
    await source.read(0, 8);
    expect(source.traffic).toEqual({ requests: 2, bytes: 2 * 32 * 1024 });
  });

  it("does not keep a failure", async () => {
    const { store } = makeStore(1);
    const source = await storeSource(store, "k");
    await expect(source.read(bytes.length - 5, 5)).rejects.toThrow("the network is down");
    expect((await source.read(bytes.length - 5, 5)).equals(bytes.subarray(-5))).toBe(true);
  });
});
