import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { systemClock } from "@cdh/core/clock";
import { silentLogger } from "@cdh/core/log";
import { makeManifest, makeTinyCore } from "@cdh/core/testing/sample-bundle";
import { DirectoryStore } from "../../../core/src/store/directory/store.ts";
import { makeRecord } from "../testing/record.ts";
import { ChangeLog } from "./change-log.ts";
import { DumpIndex } from "./dump-index.ts";
import type { DumpRecord } from "./dump-record.ts";
import { Prover } from "./prove-recalled.ts";
import { RECALLED } from "./row-block.ts";

const rules = { hostNamespace: "hosts", trustUnverified: false };
let directory: string;
let store: DirectoryStore;
let index: DumpIndex;
let prover: Prover;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "cdh-prove-"));
  store = new DirectoryStore(directory, { clock: systemClock });
  index = new DumpIndex(new ChangeLog(1));
  prover = new Prover({ store, index, rules, clock: systemClock, log: silentLogger });
  const manifest = makeManifest(makeTinyCore(64), 40, {
    crashId: "id-a",
    pod: { name: "web", namespace: "till" },
    identity: { source: "kubelet", verified: true },
  });
  await store.putBytes("till/a.manifest.json", Buffer.from(JSON.stringify(manifest)));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

function recall(changes: Partial<DumpRecord>): void {
  index.put(
    makeRecord({
      stem: "till/a",
      name: "id-a",
      namespace: "till",
      podNamespace: "till",
      podName: "web",
      podUid: undefined,
      ...changes,
    }),
  );
  index.pool.setFlags(index.idOfStem("till/a"), RECALLED);
}

it("a dump that a segment places elsewhere is placed where its manifest says, and is not found there", async () => {
  recall({ namespace: "shop", podNamespace: "shop" });
  expect(await prover.prove("till/a")).toBe(false);
  expect(index.find("shop", "id-a")).toBeUndefined();
  expect(index.find("till", "id-a")).toMatchObject({ podNamespace: "till", bundleBytes: 100 });
  expect(await prover.prove("till/a")).toBe(true);
});

it("nor one that says that it is not restricted, or has another name", async () => {
  recall({ restricted: true });
  expect(await prover.prove("till/a")).toBe(false);
  recall({ name: "id-b" });
  expect(await prover.prove("till/a")).toBe(false);
  expect([...index.list()].map(({ namespace, name }) => `${namespace}/${name}`)).toEqual(["till/id-a"]);
});

it("what agrees is read once, also after it changed, and what is gone is not there", async () => {
  recall({});
  let reads = 0;
  const get = store.get.bind(store);
  store.get = (...args) => {
    reads += 1;
    return get(...args);
  };
  const { pool } = index;
  const before = index.byStem("till/a");
  if (before !== undefined) index.put(pool.changed(before, { keep: true, revision: 9 }));
  expect(pool.flags(index.idOfStem("till/a")) & RECALLED).toBe(RECALLED);
  expect([await prover.prove("till/a"), await prover.prove("till/a"), reads]).toEqual([true, true, 1]);
  recall({});
  await store.delete("till/a.manifest.json");
  expect(await prover.prove("till/a")).toBe(false);
  expect(await prover.prove("till/none")).toBe(false);
});
