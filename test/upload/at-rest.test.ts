import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { request, type IncomingHttpHeaders } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import {
  BlobServiceClient,
  ContainerSASPermissions,
  generateBlobSASQueryParameters,
  SASProtocol,
  StorageSharedKeyCredential,
} from "@azure/storage-blob";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startAzurite, type Azurite } from "../helpers/azurite.ts";
import { notBuilt, runBuilt } from "../helpers/built.ts";
import { selfSign } from "../helpers/cluster-pki.ts";
import { startFakeGcs } from "../helpers/fake-gcs.ts";
import { freePort } from "../helpers/free-port.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless } from "../helpers/skip.ts";
import { findTool, missingTools } from "../helpers/tools.ts";
import { startFaultProxy, type FaultProxy } from "./fault-proxy.ts";
import { makeWorkbench } from "./workbench.ts";

const directory = scratchDirectory("at-rest");

describeUnless(notBuilt("cdh-upload") ?? missingTools("azurite", "openssl"), "what Azure is told of a blob", () => {
  let azurite: Azurite;
  let proxy: FaultProxy;
  let env: Record<string, string>;
  beforeAll(async () => {
    azurite = await startAzurite();
    proxy = await startFaultProxy(azurite.endpoint);
    env = { ...azurite.env, AZURE_STORAGE_ENDPOINT: `${proxy.endpoint}/${azurite.account}` };
  });
  afterAll(async () => {
    await proxy[Symbol.asyncDispose]();
    await azurite[Symbol.asyncDispose]();
  });

  /** A shared access signature for the container. */
  function signatureFor(permissions: string): string {
    const credential = new StorageSharedKeyCredential(azurite.account, azurite.key);
    const expiresOn = new Date(Date.now() + 3_600_000);
    const signed = {
      containerName: azurite.container,
      permissions: ContainerSASPermissions.parse(permissions),
      protocol: SASProtocol.HttpsAndHttp,
      expiresOn,
    };
    return generateBlobSASQueryParameters(signed, credential).toString();
  }

  it("is tier, tags and encryption scope, by every request that takes them", async () => {
    const more = { AZURE_ACCESS_TIER: "Cool", AZURE_BLOB_TAGS: "team=a", AZURE_ENCRYPTION_SCOPE: "scope1" };
    await using work = await makeWorkbench({ ...env, ...more });
    const bundle = await work.publish();
    const result = await work.sweep();
    expect(result.exitCode, result.stdout + result.stderr).toBe(0);
    const sent = proxy.seen.filter(({ path }) => path.endsWith(`${bundle.name}.zip`));
    const commit = sent.find(({ operation }) => operation === "complete");
    expect(commit?.headers).toMatchObject({ "x-ms-access-tier": "Cool", "x-ms-tags": "team=a" });
    for (const { operation, headers } of sent)
      if (["part", "complete"].includes(operation)) expect(headers["x-ms-encryption-scope"]).toBe("scope1");
    const credential = new StorageSharedKeyCredential(azurite.account, azurite.key);
    const container = new BlobServiceClient(azurite.endpoint, credential).getContainerClient(azurite.container);
    const blob = container.getBlobClient(`_host/${bundle.name}.zip`);
    expect((await blob.getProperties()).accessTier).toBe("Cool");
    expect((await blob.getTags()).tags).toEqual({ team: "a" });
  });

  it.each([
    ["racwdl", 0],
    ["rl", 15],
  ])("is a shared access signature for %s in place of the key: ends with %i", async (permissions, status) => {
    const token = signatureFor(permissions);
    await using work = await makeWorkbench({ ...env, AZURE_STORAGE_KEY: "", AZURE_STORAGE_SAS_TOKEN: token });
    const bundle = await work.publish();
    const result = await work.sweep();
    expect(result.exitCode, result.stdout + result.stderr).toBe(status);
    expect(await work.spool()).toEqual(status === 0 ? [] : [bundle.fileName]);
    expect(result.stdout.includes("CDH_STORE_DENIED")).toBe(status !== 0);
    const signature = /sig=([^&]+)/.exec(token)?.[1] ?? "";
    expect(signature.length).toBeGreaterThan(40);
    expect(result.stdout + result.stderr).not.toContain(signature);
    expect(result.stdout + result.stderr).not.toContain(decodeURIComponent(signature));
  });

  it("is the customer's own key, by every request that writes or reads, and by https only", async () => {
    const pair = selfSign(directory, "azure", "IP:127.0.0.1");
    const seen: { method: string; url: URL; headers: IncomingHttpHeaders }[] = [];
    // The emulator refuses the key's headers, so they end here with TLS; a signature in the address does not cover them.
    const front = createServer({ cert: readFileSync(pair.cert), key: readFileSync(pair.key) }, (incoming, outgoing) => {
      const { method = "", headers, url = "" } = incoming;
      seen.push({ method, url: new URL(url, "https://azure"), headers });
      const plain = Object.entries(headers).filter(([name]) => !name.startsWith("x-ms-encryption-"));
      const { origin } = new URL(azurite.endpoint);
      const onward = request(`${origin}${url}`, { method, headers: Object.fromEntries(plain) }, (answer) => {
        outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(outgoing);
      });
      onward.on("error", () => outgoing.destroy());
      incoming.pipe(onward);
    });
    front.listen(0, "127.0.0.1");
    await once(front, "listening");
    const key = randomBytes(32);
    const more = {
      AZURE_STORAGE_KEY: "",
      AZURE_STORAGE_SAS_TOKEN: signatureFor("racwdl"),
      AZURE_CUSTOMER_PROVIDED_KEY: key.toString("base64"),
    };
    const endpoint = `https://127.0.0.1:${(front.address() as AddressInfo).port}/${azurite.account}`;
    try {
      await using work = await makeWorkbench({
        ...env,
        ...more,
        AZURE_STORAGE_ENDPOINT: endpoint,
        S3_CA_BUNDLE: pair.cert,
      });
      const bundle = await work.publish();
      const result = await work.sweep();
      expect(result.exitCode, result.stdout + result.stderr).toBe(0);
      const url = `azblob://${azurite.container}/_host/${bundle.name}.zip`;
      const shown = await runBuilt("cdh-inspect", ["show", url], { env: work.env });
      expect(shown.exitCode, shown.stderr).toBe(0);
      const expected = {
        "x-ms-encryption-key": key.toString("base64"),
        "x-ms-encryption-key-sha256": createHash("sha256").update(key).digest("base64"),
        "x-ms-encryption-algorithm": "AES256",
      };
      const ofBlob = seen.filter(({ url: at }) => at.pathname.endsWith(`${bundle.name}.zip`));
      for (const [what, method, comp] of [
        ["blocks", "PUT", "block"],
        ["the list of them", "PUT", "blocklist"],
        ["a look", "HEAD", null],
        ["a read", "GET", null],
      ] as const) {
        const sent = ofBlob.filter((each) => each.method === method && each.url.searchParams.get("comp") === comp);
        expect(sent.length, what).toBeGreaterThan(0);
        for (const { headers } of sent) expect(headers, what).toMatchObject(expected);
      }
      // What is not encrypted on its way does not get the key.
      await using plain = await makeWorkbench({ ...env, ...more });
      const waiting = await plain.publish();
      const from = proxy.seen.length;
      expect((await plain.sweep()).exitCode).not.toBe(0);
      expect(await plain.spool()).toEqual([waiting.fileName]);
      expect(proxy.seen.slice(from).filter(({ headers }) => headers["x-ms-encryption-key"] !== undefined)).toEqual([]);
    } finally {
      front.closeAllConnections();
      front.close();
    }
  });
});

describeUnless(notBuilt("cdh-upload") ?? findTool("fake-gcs-server").reason, "what Google is told of an object", () => {
  it("is its class and its key", async () => {
    const port = await freePort();
    await using gcs = await startFakeGcs({ publicUrl: `http://127.0.0.1:${port}` });
    await using proxy = await startFaultProxy(gcs.endpoint, port);
    const key = "projects/p/locations/eu/keyRings/r/cryptoKeys/k";
    const more = { GCS_STORAGE_CLASS: "NEARLINE", GCS_KMS_KEY: key };
    await using work = await makeWorkbench({ ...gcs.env, STORAGE_EMULATOR_HOST: proxy.endpoint, ...more });
    const bundle = await work.publish();
    const result = await work.sweep();
    expect(result.exitCode, result.stdout + result.stderr).toBe(0);
    const made = proxy.seen.filter(({ operation }) => ["create", "put"].includes(operation));
    expect(made.map(({ query }) => query.get("kmsKeyName"))).toEqual([key, key]);
    const name = encodeURIComponent(`_host/${bundle.name}.zip`);
    const shown = await fetch(`${gcs.endpoint}/storage/v1/b/${gcs.bucket}/o/${name}`);
    expect(await shown.json()).toMatchObject({ storageClass: "NEARLINE" });
  });
});
