import { execFileSync } from "node:child_process";
import { chmod, mkdir, mkdtemp, readdir, readlink, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { systemClock } from "../../base/clock.ts";
import { describeStoreContract, keysOf, readAll } from "../../testing/store-contract.ts";
import { DirectoryStore } from "./store.ts";

const made: string[] = [];

async function temporary(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "cdh-store-"));
  made.push(directory);
  return directory;
}

afterAll(async () => {
  for (const directory of made) await rm(directory, { recursive: true, force: true });
});

describeStoreContract(
  "DirectoryStore",
  async () => new DirectoryStore(join(await temporary(), "not yet there"), { clock: systemClock }),
);

describe("DirectoryStore", () => {
  it("never follows a symbolic link to a stored object, and lists none", async () => {
    const root = await temporary();
    const store = new DirectoryStore(root, { clock: systemClock });
    await writeFile(join(root, "..", "secret-of-others"), "secret");
    made.push(join(root, "..", "secret-of-others"));
    await symlink(join(root, "..", "secret-of-others"), join(root, "link"));
    expect(await store.get("link")).toBeUndefined();
    expect(await keysOf(store, "")).toEqual([]);
    await expect(store.putBytes("link", Buffer.from("x"))).rejects.toMatchObject({ code: "CDH_STORE_CONFLICT" });
  });

  it("clears away what a dead writer left, and only that", async () => {
    const root = await temporary();
    const stale = join(root, "team", ".a.zip.0123456789ab.partial");
    const fresh = join(root, "team", ".b.zip.0123456789ab.partial");
    await mkdir(join(root, "team"));
    for (const path of [stale, fresh]) await writeFile(path, "half");
    await utimes(stale, 1, 1);
    await new DirectoryStore(root, { clock: systemClock }).putBytes("team/c", Buffer.from("c"));
    const names = await readdir(join(root, "team"));
    expect(names.toSorted()).toEqual([".b.zip.0123456789ab.partial", ".c.meta.json", "c"]);
  });

  it.each([
    ["unread", -1],
    ["before the first chunk", 0],
    ["after the first chunk", 1],
  ])("keeps no file open of which somebody wants no more, %s", async (_when, chunks) => {
    const store = new DirectoryStore(await temporary(), { clock: systemClock });
    await store.putBytes("team/c", Buffer.alloc(3 * 1024));
    const openFiles = async (): Promise<string[]> => {
      const links = await Promise.all(
        (await readdir("/proc/self/fd")).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => "")),
      );
      return links.filter((link) => link.endsWith("/team/c"));
    };
    const stop = new AbortController();
    const body = await store.get("team/c", { offset: 0, chunkBytes: 1024 }, stop.signal);
    const iterator = chunks < 0 ? undefined : body?.[Symbol.asyncIterator]();
    for (let index = 0; index < chunks; index++) await iterator?.next();
    expect(await openFiles()).toHaveLength(chunks > 0 ? 1 : 0);
    stop.abort(new Error("enough"));
    if (iterator !== undefined) await expect(iterator.next()).rejects.toThrow("enough");
    await expect.poll(openFiles, { timeout: 2000 }).toEqual([]);
  });

  it("says so when an object is gone before it is read", async () => {
    const store = new DirectoryStore(await temporary(), { clock: systemClock });
    await store.putBytes("team/c", Buffer.from("c"));
    const body = await store.get("team/c");
    await store.delete("team/c");
    await expect(body?.[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: "CDH_NOT_FOUND" });
  });

  it("writes objects that only their owner may read", async () => {
    const root = await temporary();
    await new DirectoryStore(root, { clock: systemClock }).putBytes("team/c", Buffer.from("c"));
    expect(execFileSync("stat", ["-c", "%a", join(root, "team"), join(root, "team/c")], { encoding: "utf8" })).toBe(
      "700\n600\n",
    );
  });

  it("says that the store is full, and leaves nothing half-made", async (context) => {
    const root = await temporary();
    try {
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", root], { stdio: "ignore" });
    } catch {
      context.skip("mounting a tmpfs is not permitted here");
    }
    try {
      const store = new DirectoryStore(root, { clock: systemClock });
      const put = store.putBytes("team/big", Buffer.alloc(2_000_000, 1));
      await expect(put).rejects.toMatchObject({
        code: "CDH_STORE",
        message: expect.stringContaining("no space left on device"),
      });
      expect(await keysOf(store, "")).toEqual([]);
      expect(await readdir(join(root, "team"))).toEqual([]);
    } finally {
      execFileSync("umount", [root]);
    }
  });

  it("says so where directories cannot be made, in place of trying for ever", async () => {
    const store = new DirectoryStore("/proc/cdh-no-such-store", { clock: systemClock });
    await expect(store.putBytes("a/b", Buffer.from("x"))).rejects.toMatchObject({ code: "CDH_STORE" });
  });

  it("says that it may not write", async (context) => {
    if (process.getuid?.() === 0) context.skip("root may write everywhere");
    const root = await temporary();
    await chmod(root, 0o500);
    const put = new DirectoryStore(root, { clock: systemClock }).putBytes("a", Buffer.from("a"));
    await expect(put).rejects.toMatchObject({ code: "CDH_STORE_DENIED" });
  });

  it("gives metadata back to an object whose writer died before it wrote them", async () => {
    const root = await temporary();
    const store = new DirectoryStore(root, { clock: systemClock });
    await writeFile(join(root, "a"), "content");
    expect(await store.putBytes("a", Buffer.from("content"), { metadata: { "cdh-pod": "p" } })).toMatchObject({
      alreadyThere: true,
    });
    expect((await store.head("a"))?.metadata).toMatchObject({ "cdh-pod": "p" });
    expect((await readAll(store, "a"))?.toString()).toBe("content");
  });
});
