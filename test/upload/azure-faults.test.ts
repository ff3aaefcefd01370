import { createHash } from "node:crypto";
import { BlobServiceClient, StorageSharedKeyCredential, type ContainerClient } from "@azure/storage-blob";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startAzurite, type Azurite } from "../helpers/azurite.ts";
import { notBuilt, runBuilt } from "../helpers/built.ts";
import { describeUnless } from "../helpers/skip.ts";
import { findTool } from "../helpers/tools.ts";
import type { MadeBundle } from "./bundles.ts";
import { PASS, useFaultBenches } from "./fault-bench.ts";
import { startFaultProxy, type Fault, type FaultProxy, type Operation } from "./fault-proxy.ts";

/** Three blocks of the least size. */
const LARGE = { coreBytes: 12 * 1024 ** 2 };

/** Azure's way to say that something went wrong. */
function answerOf(status: number, code: string): Fault {
  const body = `<?xml version="1.0" encoding="utf-8"?><Error><Code>${code}</Code><Message>${code}</Message></Error>`;
  return { kind: "answer", status, body, headers: { "content-type": "application/xml", "x-ms-error-code": code } };
}

describeUnless(
  notBuilt("cdh-upload") ?? findTool("azurite").reason,
  "cdh-upload to Azure through a proxy that fails",
  () => {
    let azurite: Azurite;
    let proxy: FaultProxy;
    let container: ContainerClient;

    beforeAll(async () => {
      azurite = await startAzurite();
      proxy = await startFaultProxy(azurite.endpoint);
      const credential = new StorageSharedKeyCredential(azurite.account, azurite.key);
      container = new BlobServiceClient(azurite.endpoint, credential).getContainerClient(azurite.container);
    });
    afterAll(async () => {
      await proxy[Symbol.asyncDispose]();
      await azurite[Symbol.asyncDispose]();
    });

    const { bench, failFirst } = useFaultBenches(() => ({
      proxy,
      env: {
        ...azurite.env,
        AZURE_STORAGE_ENDPOINT: `${proxy.endpoint}/${azurite.account}`,
        PART_SIZE: "5Mi",
      },
    }));

    /** Expect a bundle to lie in the container, whole, with its manifest, read with other eyes than the program's. */
    async function expectStored(bundle: MadeBundle & { sha256: string }): Promise<void> {
      const names: string[] = [];
      for await (const { name } of container.listBlobsFlat({ prefix: `_host/${bundle.name}` })) names.push(name);
      expect(names.toSorted()).toEqual([`_host/${bundle.name}.manifest.json`, `_host/${bundle.name}.zip`]);
      const body = await container.getBlobClient(`_host/${bundle.name}.zip`).downloadToBuffer();
      expect(createHash("sha256").update(body).digest("hex")).toBe(bundle.sha256);
    }

    describe("when the connection is cut", () => {
      const cases: [Operation, Fault, { coreBytes?: number }][] = [
        ["head", { kind: "cutBefore" }, {}],
        ["part", { kind: "cutBefore" }, {}],
        ["part", { kind: "cutInBody", afterBytes: 3000 }, {}],
        ["part", { kind: "cutInBody", afterBytes: 2_000_000 }, LARGE],
        ["part", { kind: "cutAfter" }, LARGE],
        ["complete", { kind: "cutBefore" }, LARGE],
        ["complete", { kind: "cutAfter" }, LARGE],
        ["complete", { kind: "cutAfter" }, {}],
        ["listParts", { kind: "cutBefore" }, LARGE],
      ];
      it.each(cases)("at %s: %o", async (operation, fault, spec) => {
        const work = await bench();
        const bundle = await work.publish(spec);
        const happened = failFirst(operation, 1, fault);
        const result = await work.sweep();
        expect(happened()).toBe(1);
        expect(result.exitCode, result.stderr).toBe(0);
        await expectStored(bundle);
        expect(await work.spool()).toEqual([]);
      });
    });

    it.each([
      ["500", answerOf(500, "InternalError")],
      ["503", answerOf(503, "ServerBusy")],
      ["a damaged block", answerOf(400, "Md5Mismatch")],
      ["nothing", { kind: "silence" } as const],
    ])("is answered with %s: the block is sent again", async (_name, fault) => {
      const work = await bench({ STORE_TIMEOUT: "2s" });
      const bundle = await work.publish(LARGE);
      const happened = failFirst("part", 2, fault);
      const result = await work.sweep();
      expect(happened()).toBe(2);
      expect(result.exitCode, result.stderr).toBe(0);
      await expectStored(bundle);
    });

    it("goes on with the blocks that the store has", async () => {
      const work = await bench({ PART_CONCURRENCY: "1" });
      const bundle = await work.publish(LARGE);
      let parts = 0;
      proxy.decide = (seen) => {
        if (seen.operation !== "part") return PASS;
        parts += 1;
        return parts > 2 ? { kind: "cutBefore" } : PASS;
      };
      const failed = await work.sweep();
      expect(failed.exitCode).not.toBe(0);
      expect(await work.spool()).toEqual([bundle.fileName]);
      const before = proxy.seen.length;
      proxy.decide = () => PASS;
      const result = await work.sweep();
      expect(result.exitCode, result.stderr).toBe(0);
      const sent = proxy.seen
        .slice(before)
        .filter(({ operation, path }) => operation === "part" && path.endsWith(".zip"));
      expect(sent).toHaveLength(1);
      await expectStored(bundle);
    });

    it.each([
      ["AuthorizationPermissionMismatch", 403, "Storage Blob Data Contributor"],
      ["AuthenticationFailed", 403, "clock"],
      ["InvalidAuthenticationInfo", 401, "another tenant"],
      ["ContainerNotFound", 404, "create the container"],
      ["KeyBasedAuthenticationNotPermitted", 403, "workload identity"],
      ["AuthorizationFailure", 403, "firewall"],
      ["BlobArchived", 409, "rehydrate"],
      ["BlobUsesCustomerSpecifiedEncryption", 409, "AZURE_CUSTOMER_PROVIDED_KEY"],
    ])("%s never counts against the bundle, and says what to do", async (code, status, hint) => {
      const work = await bench();
      const bundle = await work.publish();
      proxy.decide = () => answerOf(status, code);
      for (let turn = 0; turn < 4; turn += 1) {
        const result = await work.sweep();
        expect(result.exitCode).not.toBe(0);
        expect(result.stdout + result.stderr).toContain(hint);
      }
      expect(await work.spool()).toEqual([bundle.fileName]);
    });

    it("looks before it calls anything a conflict: reads that fail after a put that worked are the store's trouble", async () => {
      const work = await bench({ STORE_TIMEOUT: "2s" });
      const bundle = await work.publish();
      let committed = false;
      proxy.decide = (seen) => {
        if (seen.operation === "complete") committed = true;
        return committed && ["head", "get", "listParts"].includes(seen.operation)
          ? answerOf(403, "AuthorizationPermissionMismatch")
          : PASS;
      };
      for (let turn = 0; turn < 4; turn += 1) expect((await work.sweep()).exitCode).not.toBe(0);
      expect(await work.spool()).toEqual([bundle.fileName]);
      proxy.decide = () => PASS;
      const result = await work.sweep();
      expect(result.exitCode, result.stderr).toBe(0);
      await expectStored(bundle);
    });

    it("never replaces other content", async () => {
      const work = await bench();
      const bundle = await work.publish();
      await container.getBlockBlobClient(`_host/${bundle.name}.zip`).upload("somebody else's", 15);
      const result = await work.sweep();
      expect(result.exitCode).not.toBe(0);
      expect(result.stdout + result.stderr).toContain("other content lies there");
      const there = await container.getBlobClient(`_host/${bundle.name}.zip`).downloadToBuffer();
      expect(there.toString()).toBe("somebody else's");
    });

    it.each([
      ["an immutability policy", 409, "BlobImmutableDueToPolicy", "once the policy's time is over"],
      ["a legal hold", 409, "BlobImmutableDueToLegalHold", "once the hold is taken off"],
      ["a lease", 412, "LeaseIdMissing", "somebody holds a lease"],
      ["snapshots", 409, "SnapshotsPresent", "what lies there has snapshots"],
    ])("%s is told as what it is, though a damaged object lies there", async (_what, status, code, words) => {
      const work = await bench();
      const bundle = await work.publish();
      // Damaged, with our own hash: it would be replaced, were it not protected.
      const metadata = { cdh_sha256: bundle.sha256 };
      await container.getBlockBlobClient(`_host/${bundle.name}.zip`).upload("damaged", 7, { metadata });
      proxy.decide = (seen) => (seen.operation === "complete" ? answerOf(status, code) : PASS);
      const refused = await work.sweep();
      expect(refused.exitCode).not.toBe(0);
      expect(refused.stdout + refused.stderr).toContain("CDH_STORE_CONFLICT");
      expect(refused.stdout + refused.stderr).toContain(words);
      expect(await work.spool()).toEqual([bundle.fileName]);
    });

    it("is read by cdh-inspect by ranges, and checked by cdh-upload check", async () => {
      const work = await bench();
      const bundle = await work.publish(LARGE);
      expect((await work.sweep()).exitCode).toBe(0);
      const { env } = work;
      const checked = await runBuilt("cdh-upload", ["check"], { env });
      expect(checked.exitCode, checked.stdout + checked.stderr).toBe(0);
      const listed = await runBuilt("cdh-inspect", ["ls", `azblob://${azurite.container}`, "-o", "json"], { env });
      expect(listed.stdout).toContain(bundle.name);
      const before = proxy.seen.length;
      const shown = await runBuilt("cdh-inspect", ["show", `azblob://${azurite.container}/_host/${bundle.name}.zip`], {
        env,
      });
      expect(shown.exitCode, shown.stderr).toBe(0);
      expect(proxy.seen.length - before).toBeLessThanOrEqual(8);
    });

    it.each([
      [{ AZURE_STORAGE_SAS_TOKEN: "sv=2024&sig=x" }, "AZURE_STORAGE_KEY and AZURE_STORAGE_SAS_TOKEN"],
      [{ STORE_URL: "azblob://Cores" }, "no container's name"],
      [{ STORE_URL: "gopher://cores" }, "none of s3://"],
      [{ AZURE_STORAGE_ENDPOINT: "", AZURE_STORAGE_ACCOUNT: "" }, "no storage account"],
      [{ AZURE_CUSTOMER_PROVIDED_KEY: "c2hvcnQ=" }, "32 bytes"],
      [{ AZURE_ACCESS_TIER: "Lukewarm" }, "AZURE_ACCESS_TIER"],
      [{ AZURE_BLOB_TAGS: "no equals sign" }, "AZURE_BLOB_TAGS"],
    ])("refuses %o before anything is lost", async (more, words) => {
      const work = await bench(more);
      const bundle = await work.publish();
      const result = await work.sweep();
      expect(result.exitCode).not.toBe(0);
      expect(result.stdout + result.stderr).toContain(words);
      expect(await work.spool()).toEqual([bundle.fileName]);
    });
  },
);
