import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { systemClock } from "@cdh/core/clock";
import { silentLogger } from "@cdh/core/log";
import type { ObjectStore } from "@cdh/core/store/store";
import { makeManifest, makeTinyCore } from "@cdh/core/testing/sample-bundle";
import { DirectoryStore } from "../../../core/src/store/directory/store.ts";
import { ChangeLog } from "./change-log.ts";
import { DumpIndex } from "./dump-index.ts";
import { Refresher } from "./refresh.ts";

let directory: string;
let store: DirectoryStore;
let index: DumpIndex;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "cdh-refresh-"));
  store = new DirectoryStore(directory, { clock: systemClock });
  index = new DumpIndex(new ChangeLog(1));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const rules = { hostNamespace: "hosts", trustUnverified: false };
const refresherOf = (from: ObjectStore): Refresher =>
  new Refresher({ store: from, index, rules, clock: systemClock, log: silentLogger });

async function put(stem: string, crashId: string, bundle = "PK"): Promise<void> {
  const manifest = makeManifest(makeTinyCore(64), 40, {
    crashId,
    pod: { name: "web", namespace: "shop" },
    identity: { source: "kubelet", verified: true },
  });
  await store.putBytes(`${stem}.zip`, Buffer.from(bundle), { overwrite: true });
  await store.putBytes(`${stem}.manifest.json`, Buffer.from(JSON.stringify(manifest)), { overwrite: true });
}

const shown = (): string[] =>
  [...index.list()].map((dump) => `${dump.namespace}/${dump.name} ${dump.bundleBytes}${dump.keep ? " kept" : ""}`);

it("follows the store by what its listing shows, and reads each manifest once", async () => {
  let reads = 0;
  const counted: ObjectStore = {
    url: store.url,
    putFile: store.putFile.bind(store),
    putBytes: store.putBytes.bind(store),
    head: store.head.bind(store),
    list: store.list.bind(store),
    delete: store.delete.bind(store),
    close: store.close.bind(store),
    get: (...args) => {
      reads += 1;
      return store.get(...args);
    },
  };
  const refresher = refresherOf(counted);
  await put("shop/a", "id-a");
  await put("shop/b", "id-b");
  await store.putBytes("_retention/state.json", Buffer.from("{}"));
  expect(await refresher.look()).toMatchObject({ objects: 5, changes: 2, garbage: 0 });
  expect(shown()).toEqual(["shop/id-a 2", "shop/id-b 2"]);
  expect(await refresher.look()).toMatchObject({ changes: 0 });
  expect(reads).toBe(2);

  const since = index.log.last;
  await store.putBytes("shop/a.keep", Buffer.from("{}"));
  await store.putBytes("shop/b.zip", Buffer.from("PKPK"), { overwrite: true });
  await put("shop/c", "id-c");
  expect(await refresher.look()).toMatchObject({ changes: 3 });
  expect(shown()).toEqual(["shop/id-a 2 kept", "shop/id-b 4", "shop/id-c 2"]);
  expect(reads).toBe(3);
  await store.delete("shop/a.keep");
  await store.delete("shop/b.manifest.json");
  expect(await refresher.look()).toMatchObject({ changes: 2 });
  expect(shown()).toEqual(["shop/id-a 2", "shop/id-c 2"]);
  const changes = index.log.since(since, Date.now()) ?? [];
  expect(changes).toHaveLength(5);
  const revisions = changes.map((change) => change.revision);
  expect(new Set(revisions).size).toBe(5);
  expect(revisions.toSorted((a, b) => a - b)).toEqual(revisions);
});

it("two dumps with one id are both shown, under different names that stay", async () => {
  await put("shop/a", "same");
  await put("shop/b", "same");
  const refresher = refresherOf(store);
  await refresher.look();
  const names = [...index.list()].map((dump) => dump.name).toSorted();
  expect(names[0]).toBe("same");
  expect(names[1]).toMatch(/^x[0-9a-f]{32}$/);
  await put("shop/b", "same", "changed");
  await refresher.look();
  expect([...index.list()].map((dump) => dump.name).toSorted()).toEqual(names);
});

it("a listing that fails half-way changes nothing", async () => {
  await put("shop/a", "id-a");
  await put("shop/b", "id-b");
  const failing = Object.assign(Object.create(store) as ObjectStore, {
    async *list(prefix: string) {
      for await (const object of store.list(prefix)) {
        yield object;
        if (object.key === "shop/a.zip") throw new Error("connection lost");
      }
    },
    get: store.get.bind(store),
  });
  await refresherOf(store).look();
  await store.delete("shop/b.manifest.json");
  await expect(refresherOf(failing).look()).rejects.toThrow("connection lost");
  expect(shown()).toEqual(["shop/id-a 2", "shop/id-b 2"]);
});

it("what a request changes while the store is listed is not undone by the listing", async () => {
  await put("shop/a", "id-a");
  await put("shop/b", "id-b");
  const refresher = refresherOf(store);
  await refresher.look();
  const interrupted = new Refresher({
    store: Object.assign(Object.create(store) as ObjectStore, {
      async *list(prefix: string) {
        for await (const object of store.list(prefix)) yield object;
        // All is listed, nothing is taken in yet: a DELETE and a PATCH come in between.
        const [a, b] = [index.byStem("shop/a"), index.byStem("shop/b")];
        if (a === undefined || b === undefined) return;
        index.remove("shop/a", index.log.next(Date.now()));
        index.put(index.pool.changed(b, { keep: true, revision: index.log.next(Date.now()) }));
      },
      get: store.get.bind(store),
    }),
    index,
    rules,
    clock: systemClock,
    log: silentLogger,
  });
  await interrupted.look();
  expect(shown()).toEqual(["shop/id-b 2 kept"]);
});
