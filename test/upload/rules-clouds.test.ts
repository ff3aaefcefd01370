import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { BlobServiceClient, StorageSharedKeyCredential } from "@azure/storage-blob";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startAzurite, type Azurite } from "../helpers/azurite.ts";
import { notBuilt } from "../helpers/built.ts";
import { startFakeGcs, type FakeGcs } from "../helpers/fake-gcs.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import type { BundleSpec } from "./bundles.ts";
import { makeWorkbench, type Workbench } from "./workbench.ts";

/** A bundle whose pod the node has proven. */
const proven = (namespace: string): BundleSpec => ({
  namespace,
  pod: "web-1",
  coreBytes: 6 * 1024 ** 2,
  manifest: { identity: { source: "cgroup", verified: true } },
});

/** What lies in a tenant's store: SHA-256 by name. */
type Stored = Map<string, string>;

const sha256 = (body: Uint8Array): string => createHash("sha256").update(body).digest("hex");

describeUnless(notBuilt("cdh-upload") ?? missingTools("azurite", "fake-gcs-server"), "rules with clouds", () => {
  let azurite: Azurite;
  let gcs: FakeGcs;
  beforeAll(async () => {
    azurite = await startAzurite({ container: "team-a" });
    gcs = await startFakeGcs({ bucket: "team-b" });
  });
  afterAll(async () => {
    await gcs[Symbol.asyncDispose]();
    await azurite[Symbol.asyncDispose]();
  });

  // Both are read with other eyes than the program's.
  async function inAzure(): Promise<Stored> {
    const credential = new StorageSharedKeyCredential(azurite.account, azurite.key);
    const container = new BlobServiceClient(azurite.endpoint, credential).getContainerClient(azurite.container);
    const stored: Stored = new Map();
    for await (const { name } of container.listBlobsFlat())
      stored.set(name, sha256(await container.getBlobClient(name).downloadToBuffer()));
    return stored;
  }

  async function inGoogle(): Promise<Stored> {
    const objects = `${gcs.endpoint}/storage/v1/b/${gcs.bucket}/o`;
    const { items = [] } = (await (await fetch(objects)).json()) as { items?: { name: string }[] };
    const stored: Stored = new Map();
    for (const { name } of items) {
      const body = await fetch(`${objects}/${encodeURIComponent(name)}?alt=media`);
      stored.set(name, sha256(new Uint8Array(await body.arrayBuffer())));
    }
    return stored;
  }

  /** Two tenants: one by a key of its own in Azure, one in Google; the rest goes to a directory. */
  async function bench(key: string): Promise<Workbench & { store: string }> {
    const work = await makeWorkbench({ STORAGE_EMULATOR_HOST: gcs.endpoint });
    const secretDir = join(work.directory, "secret");
    await mkdir(secretDir);
    await writeFile(join(secretDir, "azureStorageKey"), `${key}\n`);
    const rulesFile = join(work.directory, "rules.json");
    const settings = { AZURE_STORAGE_ACCOUNT: azurite.account, AZURE_STORAGE_ENDPOINT: azurite.endpoint };
    const rules = [
      { name: "a", namespaces: ["team-a"], store: `azblob://${azurite.container}/prod`, settings, secretDir },
      { name: "b", namespaces: ["team-b"], store: `gs://${gcs.bucket}/prod` },
    ];
    await writeFile(rulesFile, JSON.stringify({ rules }));
    const store = join(work.directory, "store");
    Object.assign(work.env, { STORE_URL: `file://${store}`, STORE_RULES: rulesFile });
    return { ...work, store };
  }

  it("send each tenant's bundle whole to its own, and the rest to the default store", async () => {
    await using work = await bench(azurite.key);
    const [a, b] = [await work.publish(proven("team-a")), await work.publish(proven("team-b"))];
    const rest = await work.publish(proven("team-c"));
    const result = await work.sweep();
    expect(result.exitCode, result.stdout + result.stderr).toBe(0);
    expect(await work.spool()).toEqual([]);
    const [azure, google] = [await inAzure(), await inGoogle()];
    expect(azure.get(`prod/team-a/${a.name}.zip`)).toBe(a.sha256);
    expect([...azure.keys()].toSorted()).toEqual(["manifest.json", "zip"].map((end) => `prod/team-a/${a.name}.${end}`));
    expect(google.get(`prod/team-b/${b.name}.zip`)).toBe(b.sha256);
    expect([...google.keys()].toSorted()).toEqual(
      ["manifest.json", "zip"].map((end) => `prod/team-b/${b.name}.${end}`),
    );
    expect(existsSync(join(work.store, `team-c/${rest.name}.zip`))).toBe(true);
    expect(existsSync(join(work.store, "team-a"))).toBe(false);
  });

  it("keep a bundle whose tenant's key is refused, and send the other's", async () => {
    await using work = await bench(Buffer.alloc(64, "other").toString("base64"));
    const [a, b] = [await work.publish(proven("team-a")), await work.publish(proven("team-b"))];
    const result = await work.sweep();
    expect(result.exitCode).toBe(15);
    expect(result.stdout).toContain("CDH_STORE_DENIED");
    expect(await work.spool()).toEqual([a.fileName]);
    expect((await inGoogle()).get(`prod/team-b/${b.name}.zip`)).toBe(b.sha256);
  });
});
