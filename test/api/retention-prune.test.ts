import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { systemClock } from "@cdh/core/clock";
import { resolveSettingsStrictly } from "@cdh/core/config";
import { openStore } from "@cdh/core/store/open";
import { storeSettings } from "@cdh/core/store/settings";
import type { ObjectStore } from "@cdh/core/store/store";
import { notBuilt, runBuilt, type BuiltResult } from "../helpers/built.ts";
import { chooseS3, startS3Server, type S3Server } from "../helpers/s3-server.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless } from "../helpers/skip.ts";
import { startRetentionCluster } from "./retention-cluster.ts";
import { fillDirectory, leftIn, objectsOf, type StoredSample } from "./retention-store.ts";

const DAY = 86_400_000;
const scratch = scratchDirectory("prune");
const shop = (name: string, more: Partial<StoredSample> = {}): StoredSample => ({ name, namespace: "shop", ...more });

/** Run `cdh-api prune` with nothing but this environment. */
const prune = (args: readonly string[], env: Record<string, string> = {}): Promise<BuiltResult> =>
  runBuilt("cdh-api", ["prune", ...args], { env: { PATH: process.env["PATH"] ?? "", ...env } });

interface Shown {
  removals: { bundle: string; reason: string; why: string; namespace: string; sizeBytes: number; storedAt: string }[];
  dryRun: boolean;
  removed: number;
  kept: Record<string, number>;
}

describeUnless(notBuilt("cdh-api"), "cdh-api prune", () => {
  const samples = [
    shop("old", { ageMs: 40 * DAY }),
    shop("kept", { ageMs: 40 * DAY, keep: true }),
    shop("garbage", { ageMs: 40 * DAY, garbage: true }),
    shop("new"),
  ];

  it("shows what would go and why, changes nothing, and then does it", async () => {
    const directory = mkdtempSync(join(scratch, "store-"));
    const store = await fillDirectory(directory, samples);
    const before = await leftIn(store);
    const args = ["--store", `file://${directory}`, "--max-age", "30d"];
    const table = await prune([...args, "--dry-run"]);
    expect(table).toMatchObject({ exitCode: 0, stderr: "" });
    expect(table.stdout).toMatch(
      /^NAMESPACE +STORED +SIZE +REASON +WHY +BUNDLE\nshop +\S+Z +[\d.]+ KiB +age +40d 0h old, more than 30d 0h +shop\/old\.zip\n/,
    );
    expect(table.stdout).toMatch(
      /\nwould remove 1 \(.*\); 1 within the limits, 1 protected by a keep label, 1 with a manifest that cannot be read \(.*\) stay\n$/,
    );
    const json = JSON.parse((await prune([...args, "--dry-run", "-o", "json"])).stdout) as Shown;
    expect(json).toMatchObject({
      dryRun: true,
      removed: 0,
      removals: [{ bundle: "shop/old.zip", reason: "age", namespace: "shop" }],
    });
    expect(await leftIn(store)).toEqual(before);

    const done = await prune([...args, "-o", "json", "--log-format", "json"]);
    expect(done.exitCode).toBe(0);
    expect(JSON.parse(done.stdout)).toMatchObject({ dryRun: false, removed: 1 });
    expect(JSON.parse(done.stderr)).toMatchObject({
      msg: "removed a bundle",
      audit: true,
      key: "shop/old.zip",
      reason: "age",
    });
    expect(await leftIn(store)).toEqual(before.filter((key) => !key.startsWith("shop/old.")));
    expect((await prune(args)).stdout).toMatch(/^removed 0 \(0 B\); /);
  });

  it.each<[what: string, args: string[], env: Record<string, string>, says: RegExp]>([
    ["no limits", [], {}, /no setting says what may be removed/],
    ["a limit that is none", ["--max-age", "soon"], {}, /--max-age "soon"|RETENTION_MAX_AGE "soon"|not a duration/],
    ["nothing kept at all", ["--max-count", "0"], {}, /at least 1/],
    ["pods without a cluster", [], { RETENTION_POD_GONE_GRACE: "1h" }, /outside of a cluster/],
    [
      "namespaces that are none",
      [],
      { RETENTION_NAMESPACES: '{"a": {"maxAge": "x"}, "B": {}}' },
      /a\.maxAge "x".*"B" is no namespace/,
    ],
  ])("refuses %s, with exit status 10", async (_, args, env, says) => {
    const directory = mkdtempSync(join(scratch, "store-"));
    const store = await fillDirectory(directory, samples);
    const before = await leftIn(store);
    const { exitCode, stderr } = await prune(["--store", `file://${directory}`, ...args], env);
    expect(stderr).toMatch(says);
    expect(exitCode).toBe(10);
    expect(await leftIn(store)).toEqual(before);
  });

  it("asks the cluster from within a pod", async () => {
    await using cluster = await startRetentionCluster();
    cluster.namespaces.add("shop");
    cluster.pods.set("shop/alive", { uid: "u1" });
    const directory = mkdtempSync(join(scratch, "store-"));
    const store = await fillDirectory(directory, [
      shop("a", { pod: "alive", uid: "u1" }),
      shop("b", { pod: "gone", uid: "u2" }),
    ]);
    const env = { ...cluster.env, RETENTION_POD_GONE_GRACE: "0", STORE_URL: `file://${directory}` };
    const { stdout, exitCode } = await prune(["-o", "jsonl"], env);
    expect(exitCode).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ bundle: "shop/b.zip", reason: "podGone" });
    expect(await leftIn(store)).toEqual(["shop/a.manifest.json", "shop/a.zip"]);
    cluster.fault = { path: /./, how: "refuse" };
    expect(await prune([], env)).toMatchObject({ exitCode: 11, stdout: "" });
  });

  it("removes nothing from a store that is not there", async () => {
    const env = {
      S3_ENDPOINT: "http://127.0.0.1:9",
      S3_ACCESS_KEY: "a",
      S3_SECRET: "b",
      STORE_TIMEOUT: "1",
      S3_REGION: "us-east-1",
    };
    const { exitCode, stdout } = await prune(["--store", "s3://cores", "--max-count", "1"], env);
    expect({ exitCode, stdout }).toEqual({ exitCode: 15, stdout: "" });
  }, 120_000);
});

for (const kind of ["minio", "versitygw"] as const) {
  describeUnless(notBuilt("cdh-api") ?? chooseS3(kind).standIn, `cdh-api prune on ${kind}`, () => {
    let server: S3Server;
    let store: ObjectStore;
    let env: Record<string, string>;
    beforeAll(async () => {
      server = await startS3Server({ kind });
      env = { ...server.env, STORE_URL: `s3://${server.bucket}/prod` };
      const { values } = resolveSettingsStrictly(storeSettings, { env });
      store = await openStore(values, { clock: systemClock, env: {} });
    });
    afterAll(async () => {
      await store?.close();
      await server?.[Symbol.asyncDispose]();
    });

    const put = async (...samples: StoredSample[]): Promise<void> => {
      for (const sample of samples) for (const { key, body } of objectsOf(sample)) await store.putBytes(key, body);
    };

    it("keeps the newest, what is protected, and what cannot be judged; and finishes what was cut short", async () => {
      const at = (hours: number): Partial<StoredSample> => ({
        changes: { crashedAt: new Date(systemClock.now() - hours * 3600e3).toISOString() },
      });
      await put(
        shop("h1", at(1)),
        shop("h2", at(2)),
        shop("h3", at(3)),
        shop("h4", { ...at(4), keep: true }),
        shop("garbage", { garbage: true }),
        shop("uploading", { without: "manifest" }),
        shop("t1", { namespace: "till", ...at(9) }),
      );
      const dry = JSON.parse((await prune(["--max-count", "2", "--dry-run", "-o", "json"], env)).stdout) as Shown;
      expect(dry.removals.map(({ bundle, why }) => [bundle, why])).toEqual([["shop/h3.zip", "shop has 2 newer ones"]]);
      const before = await leftIn(store);
      const done = await prune(["--max-count", "2", "-o", "json"], env);
      expect(done.exitCode).toBe(0);
      expect(await leftIn(store)).toEqual(before.filter((key) => !key.startsWith("shop/h3.")));

      // As a replica leaves it that dies between the two deletions.
      const bundle = await store.head("shop/h2.zip");
      const removing = [{ stem: "shop/h2", modifiedAt: bundle?.modifiedAt }];
      await store.putBytes(
        "_retention/removing-dead.json",
        Buffer.from(JSON.stringify({ schemaVersion: 1, removing })),
      );
      await store.delete("shop/h2.manifest.json");
      const finished = JSON.parse((await prune(["--max-count", "2", "-o", "json"], env)).stdout) as Shown;
      expect(finished).toMatchObject({ removed: 1, removals: [{ bundle: "shop/h2.zip", reason: "halfRemoved" }] });
      expect(await leftIn(store)).toEqual(before.filter((key) => !/^shop\/h[23]\./.test(key)));
    });
  });
}
