import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { systemClock, type Clock } from "@cdh/core/clock";
import { silentLogger } from "@cdh/core/log";
import { NoticeBoard } from "@cdh/core/store/notices";
import type { ObjectStore } from "@cdh/core/store/store";
import { makeManifest, makeTinyCore } from "@cdh/core/testing/sample-bundle";
import { DirectoryStore } from "../../../core/src/store/directory/store.ts";
import { ChangeLog } from "./change-log.ts";
import { DumpIndex } from "./dump-index.ts";
import { Notices } from "./notices.ts";
import { Refresher } from "./refresh.ts";

let directory: string;
let store: ObjectStore;
let board: NoticeBoard;
let listed: string[];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "cdh-notices-"));
  const real = new DirectoryStore(directory, { clock: systemClock });
  listed = [];
  store = new Proxy(real, {
    get(target, name) {
      if (name === "list") {
        return (prefix: string, options: object) => {
          listed.push(prefix);
          return target.list(prefix, options);
        };
      }
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });
  board = new NoticeBoard({ store, clock: systemClock, log: silentLogger });
});
afterEach(() => rm(directory, { recursive: true, force: true }));

/** A replica: an index of its own over the one store. */
function replica(
  number: number,
  clock: Clock = systemClock,
): { notices: Notices; shown: () => string[]; index: DumpIndex } {
  const index = new DumpIndex(new ChangeLog(number));
  const rules = { hostNamespace: "hosts", trustUnverified: false };
  const refresher = new Refresher({ store, index, rules, clock, log: silentLogger });
  const lookAt = (stem: string): Promise<void> => refresher.lookAt(stem);
  const notices = new Notices({ store, index, clock, log: silentLogger, lookAt });
  return { notices, index, shown: () => [...index.list()].map(({ name, keep }) => `${name}${keep ? " kept" : ""}`) };
}

async function putManifest(stem: string, crashId: string): Promise<void> {
  const changes = {
    crashId,
    pod: { name: "web", namespace: "shop" },
    identity: { source: "kubelet", verified: true },
  } as const;
  await store.putBytes(
    `${stem}.manifest.json`,
    Buffer.from(JSON.stringify(makeManifest(makeTinyCore(64), 40, changes))),
  );
}

it("a dump is known after its notice, whichever replica is asked, and whenever its manifest comes", async () => {
  const [one, other] = [replica(1), replica(2)];
  await board.post({ kind: "added", stem: "shop/a" });
  // The notice is there and the manifest is not: nobody shows it, and everybody looks again.
  for (const { notices, shown } of [one, other]) {
    await notices.look();
    expect(shown()).toEqual([]);
  }
  await store.putBytes("shop/a.zip", Buffer.from("PK"));
  await putManifest("shop/a", "id-a");
  for (const { notices, shown, index } of [one, other]) {
    await notices.look();
    expect(shown()).toEqual(["id-a"]);
    expect(index.byName("id-a")?.bundleBytes).toBe(2);
  }
  // What is known is not looked at again.
  listed = [];
  await one.notices.look();
  expect(listed).toEqual(["_notices/"]);
});

it("what is removed or protected at one replica is so at the other", async () => {
  const [one, other] = [replica(1), replica(2)];
  await putManifest("shop/a", "id-a");
  await board.post({ kind: "added", stem: "shop/a" });
  await Promise.all([one.notices.look(), other.notices.look()]);
  await board.post({ kind: "kept", stem: "shop/a" });
  await store.putBytes("shop/a.keep", Buffer.from("{}"));
  await other.notices.look();
  expect(other.shown()).toEqual(["id-a kept"]);
  await board.post({ kind: "released", stem: "shop/a" });
  await store.delete("shop/a.keep");
  await other.notices.look();
  expect(other.shown()).toEqual(["id-a"]);
  await board.post({ kind: "removed", stem: "shop/a" });
  await other.notices.look();
  expect(other.shown()).toEqual(["id-a"]);
  await store.delete("shop/a.manifest.json");
  await other.notices.look();
  expect(other.shown()).toEqual([]);
  expect(other.index.log.last).toBeGreaterThan(0);
});

it("a change that never comes is not waited for for ever; garbage and foreign objects are no notices", async () => {
  let now = Date.now();
  const { notices, shown } = replica(1, { ...systemClock, now: () => now, monotonic: () => now });
  await board.post({ kind: "added", stem: "shop/never" });
  await store.putBytes("_notices/9999999999999-foreign", Buffer.from("\u0000 nothing"));
  await notices.look();
  expect(listed).toContain("shop/never.");
  now += 61_000;
  await notices.look();
  listed = [];
  await notices.look();
  expect([listed, shown()]).toEqual([["_notices/"], []]);
});
