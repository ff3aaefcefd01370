import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ObjectStore, PutSource } from "../store/store.ts";

/** Read a whole object; undefined when there is none. */
export async function readAll(
  store: ObjectStore,
  key: string,
  range?: { offset: number; length?: number },
): Promise<Buffer | undefined> {
  const body = await store.get(key, range);
  if (body === undefined) return undefined;
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** List the keys below a prefix. */
export async function keysOf(store: ObjectStore, prefix: string, startAfter?: string): Promise<string[]> {
  const keys: string[] = [];
  for await (const object of store.list(prefix, startAfter === undefined ? {} : { startAfter })) keys.push(object.key);
  return keys;
}

/** What every store must do. Each implementation runs it against the real thing. */
export function describeStoreContract(name: string, open: () => Promise<ObjectStore>): void {
  describe(`${name} keeps the store contract`, () => {
    let store: ObjectStore;
    let directory: string;
    const file = async (fileName: string, body: Uint8Array): Promise<PutSource> => {
      const path = join(directory, fileName);
      await writeFile(path, body);
      return { path, sizeBytes: body.length };
    };

    beforeAll(async () => {
      store = await open();
      directory = await mkdtemp(join(tmpdir(), "cdh-contract-"));
    });
    afterAll(async () => {
      await store.close();
      await rm(directory, { recursive: true, force: true });
    });

    // 5 MiB is the least for a part, 16 MiB + 1 makes three of the default size with a last one of one byte.
    it.each([0, 1, 4096, 8 * 1024 ** 2, 16 * 1024 ** 2 + 1])(
      "stores and gives back a file of %i bytes",
      async (sizeBytes) => {
        const body = randomBytes(sizeBytes);
        const key = `sizes/${sizeBytes}.bin`;
        let sent = 0;
        const put = await store.putFile(key, await file("body", body), {
          metadata: { "cdh-pod": "web-1" },
          onProgress: (bytes) => (sent = bytes),
        });
        const sha256 = createHash("sha256").update(body).digest("hex");
        expect(put).toMatchObject({ key, sizeBytes, sha256, alreadyThere: false });
        if (sizeBytes > 0) expect(sent).toBe(sizeBytes);
        const info = await store.head(key);
        expect(info).toMatchObject({ key, sizeBytes, metadata: { "cdh-sha256": sha256, "cdh-pod": "web-1" } });
        expect(Math.abs((info?.modifiedAt ?? 0) - put.modifiedAt)).toBeLessThan(5000);
        const back = await readAll(store, key);
        expect(back?.equals(body)).toBe(true);
      },
    );

    it("keeps metadata with any text in it", async () => {
      const metadata = { "cdh-pod": 'wéb "1" % 100% \u{1f4a5}', "cdh-node": "n".repeat(200) };
      await store.putBytes("meta.json", Buffer.from("{}"), { metadata, contentType: "application/json" });
      expect((await store.head("meta.json"))?.metadata).toMatchObject(metadata);
    });

    it("counts the same content as done and never replaces other content", async () => {
      const first = await file("first", Buffer.from("the only copy"));
      await store.putFile("once", first);
      expect(await store.putFile("once", first)).toMatchObject({ alreadyThere: true });
      const sameSize = await file("other", Buffer.from("another  copy"));
      await expect(store.putFile("once", sameSize)).rejects.toMatchObject({ code: "CDH_STORE_CONFLICT" });
      await expect(store.putBytes("once", Buffer.from("longer than before"))).rejects.toMatchObject({
        code: "CDH_STORE_CONFLICT",
      });
      expect((await readAll(store, "once"))?.toString()).toBe("the only copy");
    });

    it("replaces when it is told to", async () => {
      await store.putBytes("twice", Buffer.from("one"));
      expect(await store.putBytes("twice", Buffer.from("two"), { overwrite: true })).toMatchObject({
        alreadyThere: false,
      });
      expect((await readAll(store, "twice"))?.toString()).toBe("two");
    });

    it("lets two writers of the same content both succeed, and of two contents only one", async () => {
      const source = await file("same", randomBytes(100_000));
      const both = await Promise.all([store.putFile("race/same", source), store.putFile("race/same", source)]);
      expect(both.map((put) => put.sha256)).toEqual([both[0].sha256, both[0].sha256]);
      const bodies = [Buffer.from("left"), Buffer.from("right")];
      const ends = await Promise.allSettled(bodies.map((body) => store.putBytes("race/other", body)));
      const won = ends.flatMap((end, index) => (end.status === "fulfilled" ? [bodies[index]] : []));
      expect(won.length).toBeGreaterThan(0);
      expect(won.map(String)).toContain((await readAll(store, "race/other"))?.toString());
    });

    it("reads ranges from either end", async () => {
      const body = randomBytes(3_000_000);
      await store.putFile("ranges", await file("ranges", body));
      const cases: [{ offset: number; length?: number }, Buffer][] = [
        [{ offset: 0, length: 1 }, body.subarray(0, 1)],
        [{ offset: 1_234_567, length: 1_000_001 }, body.subarray(1_234_567, 2_234_568)],
        [{ offset: 2_999_990 }, body.subarray(2_999_990)],
        [{ offset: 2_999_990, length: 1000 }, body.subarray(2_999_990)],
        [{ offset: -22 }, body.subarray(-22)],
        [{ offset: 5, length: 0 }, Buffer.alloc(0)],
        [{ offset: 3_000_000, length: 10 }, Buffer.alloc(0)],
      ];
      for (const [range, wanted] of cases) {
        expect((await readAll(store, "ranges", range))?.equals(wanted), JSON.stringify(range)).toBe(true);
      }
    });

    it("lets a reader stop early", async () => {
      await store.putFile("early", await file("early", randomBytes(4_000_000)));
      for await (const chunk of (await store.get("early")) ?? []) {
        expect(chunk.length).toBeGreaterThan(0);
        break;
      }
      expect((await readAll(store, "early", { offset: 0, length: 4 }))?.length).toBe(4);
    });

    it("says undefined for what is not there", async () => {
      expect(await store.head("missing/x")).toBeUndefined();
      expect(await store.get("missing/x")).toBeUndefined();
      expect(await store.get("missing/x", { offset: -5 })).toBeUndefined();
      await store.delete("missing/x");
    });

    it("lists in key order, below a prefix and after a key", async () => {
      const keys = ["list/a", "list/a-b/1", "list/a.b", "list/a/1", "list/a/2", "list/ä", "list/z", "listing"];
      // A directory cannot hold both the file `a` and the folder `a`.
      const usable = keys.filter((key) => key !== "list/a");
      for (const key of usable) await store.putBytes(key, Buffer.from(key));
      const sorted = usable
        .filter((key) => key.startsWith("list/"))
        .toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
      expect(await keysOf(store, "list/")).toEqual(sorted);
      expect(await keysOf(store, "list/a/")).toEqual(["list/a/1", "list/a/2"]);
      expect(await keysOf(store, "list/a")).toEqual(["list/a-b/1", "list/a.b", "list/a/1", "list/a/2"]);
      expect(await keysOf(store, "list/", "list/a/1")).toEqual(["list/a/2", "list/z", "list/ä"]);
      expect(await keysOf(store, "none/")).toEqual([]);
      await store.delete("list/a/1");
      expect(await keysOf(store, "list/a/")).toEqual(["list/a/2"]);
      for await (const object of store.list("list/z")) expect(object).toMatchObject({ key: "list/z", sizeBytes: 6 });
    });

    it.each(["", "/x", "a//b", "../x", "a/../b", ".hidden", "a/.hidden", "a\nb", "a\u0000b", "x".repeat(1025), "a/"])(
      "refuses the key %j",
      async (key) => {
        await expect(store.putBytes(key, Buffer.from("x"))).rejects.toMatchObject({ code: "CDH_STORE_REFUSED" });
      },
    );

    it("takes names that need encoding", async () => {
      const key = "odd/über uns+100% (1)&=?#.zip";
      await store.putBytes(key, Buffer.from("odd"));
      expect((await readAll(store, key))?.toString()).toBe("odd");
      expect(await keysOf(store, "odd/")).toEqual([key]);
    });

    it("stores nothing of a file that is shorter than it should be, or longer, or no file", async () => {
      const source = await file("changing", randomBytes(10_000));
      await truncate(source.path, 5000);
      await expect(store.putFile("changing/short", source)).rejects.toMatchObject({ code: "CDH_STORE_MISMATCH" });
      await truncate(source.path, 20_000);
      await expect(store.putFile("changing/long", source)).rejects.toMatchObject({ code: "CDH_STORE_MISMATCH" });
      await expect(
        store.putFile("changing/gone", { path: join(directory, "gone"), sizeBytes: 1 }),
      ).rejects.toMatchObject({ code: "CDH_NOT_FOUND" });
      await expect(store.putFile("changing/dir", { path: directory, sizeBytes: 1 })).rejects.toMatchObject({
        code: "CDH_DISK",
      });
      expect(await keysOf(store, "changing/")).toEqual([]);
    });

    it("stops when it is told to, and leaves nothing behind", async () => {
      const source = await file("stopped", randomBytes(20 * 1024 ** 2));
      const stop = new AbortController();
      const put = store.putFile("stopped", source, {
        signal: stop.signal,
        onProgress: () => stop.abort(new Error("enough")),
      });
      await expect(put).rejects.toThrow("enough");
      expect(await store.head("stopped")).toBeUndefined();
    });
  });
}
