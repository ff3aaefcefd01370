import { createHash, createSign, createVerify, generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer as createHttpServer, type IncomingMessage, type Server } from "node:http";
import { createServer, request, Agent } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { BlobServiceClient, StorageSharedKeyCredential } from "@azure/storage-blob";
import { afterAll, beforeAll, expect, it } from "vitest";
import { systemClock } from "@cdh/core/clock";
import { resolveSettingsStrictly } from "@cdh/core/config";
import { openStore } from "@cdh/core/store/open";
import { storeSettings } from "@cdh/core/store/settings";
import type { ObjectStore } from "@cdh/core/store/store";
import { startAzurite } from "../helpers/azurite.ts";
import { notBuilt, runBuilt } from "../helpers/built.ts";
import { selfSign } from "../helpers/cluster-pki.ts";
import { startFakeGcs } from "../helpers/fake-gcs.ts";
import { startForwardProxy } from "../helpers/forward-proxy.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { CLIENT, startProvider, TENANT } from "../upload/entra.ts";
import {
  AUDIENCE,
  BASE,
  expectSoon,
  putDump,
  sha256,
  startWorkbench,
  type PutDump,
  type Workbench,
} from "./workbench.ts";

const directory = scratchDirectory("api-clouds");
const LIST = `${BASE}/namespaces/shop/coredumps`;
const token = "admins-token";
const EMAIL = "cores-reader@project.iam.gserviceaccount.com";
const IAM = "iamcredentials.googleapis.com";

/** A cloud, and how cdh-api gets to it: by a token, as in a pod with a workload identity. */
interface Cloud extends AsyncDisposable {
  /** Of cdh-api. */
  env: Record<string, string>;
  /** Of this test, which puts the dumps there. */
  ownEnv: Record<string, string>;
  /** Expect a link to be signed by the service for this identity, and to lead to the zip. */
  expectLink(url: URL, zip: Buffer): Promise<void>;
}

async function listening(server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

async function bodyOf(incoming: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** Azurite with tokens, and an identity provider. */
async function startAzure(): Promise<Cloud> {
  const pair = selfSign(directory, "azure", "IP:127.0.0.1");
  const azurite = await startAzurite({ tls: { certificate: pair.cert, key: pair.key } });
  const provider = await startProvider(pair);
  const credential = new StorageSharedKeyCredential(azurite.account, azurite.key);
  const agent = new Agent({ ca: readFileSync(pair.cert) });
  await new BlobServiceClient(azurite.endpoint, credential, { agent } as object).createContainer(azurite.container);
  const tokenFile = join(directory, "token");
  writeFileSync(tokenFile, "the-kubelet-put-this-here");
  const shared = {
    STORE_URL: `azblob://${azurite.container}/prod`,
    AZURE_STORAGE_ACCOUNT: azurite.account,
    AZURE_STORAGE_ENDPOINT: azurite.endpoint,
  };
  const identity = {
    AZURE_AUTHORITY_HOST: `${provider.host}/`,
    AZURE_TENANT_ID: TENANT,
    AZURE_CLIENT_ID: CLIENT,
    AZURE_FEDERATED_TOKEN_FILE: tokenFile,
  };
  return {
    env: { ...shared, ...identity, NODE_EXTRA_CA_CERTS: pair.cert },
    ownEnv: { ...shared, AZURE_STORAGE_KEY: azurite.key, S3_CA_BUNDLE: pair.cert },
    expectLink: async (url, zip) => {
      // A key that was delegated to the user; the account's own key signs without these.
      expect([url.searchParams.get("skoid"), url.searchParams.get("sktid")]).toEqual([CLIENT, TENANT]);
      const outgoing = request(url, { ca: readFileSync(pair.cert) });
      outgoing.end();
      const [answer] = (await once(outgoing, "response")) as [IncomingMessage];
      expect(answer.statusCode).toBe(200);
      expect(answer.headers["content-disposition"]).toContain("attachment");
      expect(sha256(await bodyOf(answer))).toBe(sha256(zip));
    },
    async [Symbol.asyncDispose]() {
      provider.server.closeAllConnections();
      provider.server.close();
      await azurite[Symbol.asyncDispose]();
    },
  };
}

/** fake-gcs-server, a metadata service, and the service that signs, reached by its own name through a proxy. */
async function startGoogle(): Promise<Cloud> {
  const gcs = await startFakeGcs();
  const metadata = createHttpServer((incoming, outgoing) => {
    outgoing.setHeader("metadata-flavor", "Google");
    const url = incoming.url ?? "";
    if (url.endsWith("/email")) return outgoing.end(EMAIL);
    if (url.includes("universe")) return outgoing.end("googleapis.com");
    outgoing.setHeader("content-type", "application/json");
    return outgoing.end(JSON.stringify({ access_token: "of-the-pod", token_type: "Bearer", expires_in: 3600 }));
  });
  const metadataPort = await listening(metadata);
  const pair = selfSign(directory, "iam", `DNS:${IAM}`);
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const signed: { url: string; authorization: string | undefined }[] = [];
  const iam = createServer({ cert: readFileSync(pair.cert), key: readFileSync(pair.key) }, (incoming, outgoing) => {
    void bodyOf(incoming).then((body) => {
      signed.push({ url: incoming.url ?? "", authorization: incoming.headers.authorization });
      const { payload } = JSON.parse(body.toString()) as { payload: string };
      const signature = createSign("RSA-SHA256").update(Buffer.from(payload, "base64")).sign(privateKey, "base64");
      outgoing.writeHead(200, { "content-type": "application/json" });
      outgoing.end(JSON.stringify({ keyId: "1", signedBlob: signature }));
    });
  });
  const proxy = await startForwardProxy({ [`${IAM}:443`]: await listening(iam) });
  return {
    env: {
      STORE_URL: `gs://${gcs.bucket}/prod`,
      GCS_ENDPOINT: gcs.endpoint,
      GCE_METADATA_HOST: `127.0.0.1:${metadataPort}`,
      HTTPS_PROXY: proxy.url,
      NO_PROXY: "127.0.0.1,localhost",
      NODE_EXTRA_CA_CERTS: pair.cert,
      HOME: directory,
    },
    ownEnv: { ...gcs.env, STORE_URL: `gs://${gcs.bucket}/prod` },
    expectLink: async (url, zip) => {
      expect(signed.at(-1)).toEqual({
        url: `/v1/projects/-/serviceAccounts/${EMAIL}:signBlob`,
        authorization: "Bearer of-the-pod",
      });
      expect(proxy.asked).toContain(`${IAM}:443`);
      const [email, ...scope] = (url.searchParams.get("X-Goog-Credential") ?? "").split("/");
      expect(email).toBe(EMAIL);
      // The signature again, by Google's description and with the public key.
      const query = url.search.slice(1).replace(/&X-Goog-Signature=.*$/, "");
      const canonical = `GET\n${url.pathname}\n${query}\nhost:${url.host}\n\nhost\nUNSIGNED-PAYLOAD`;
      const digest = createHash("sha256").update(canonical).digest("hex");
      const text = `GOOG4-RSA-SHA256\n${url.searchParams.get("X-Goog-Date")}\n${scope.join("/")}\n${digest}`;
      const signature = url.searchParams.get("X-Goog-Signature") ?? "";
      expect(createVerify("RSA-SHA256").update(text).verify(publicKey, signature, "hex")).toBe(true);
      const answer = await fetch(url);
      expect(answer.status).toBe(200);
      expect(sha256(Buffer.from(await answer.arrayBuffer()))).toBe(sha256(zip));
    },
    async [Symbol.asyncDispose]() {
      for (const server of [metadata, iam]) {
        server.closeAllConnections();
        server.close();
      }
      await proxy[Symbol.asyncDispose]();
      await gcs[Symbol.asyncDispose]();
    },
  };
}

const missing = notBuilt("cdh-api") ?? missingTools("azurite", "fake-gcs-server", "openssl");
for (const [name, start] of [
  ["Azure Blob Storage", startAzure],
  ["Google Cloud Storage", startGoogle],
] as const) {
  describeUnless(missing, `cdh-api with ${name}, by a token`, () => {
    let cloud: Cloud;
    let store: ObjectStore;
    let bench: Workbench;
    let dump: PutDump;

    beforeAll(async () => {
      cloud = await start();
      const { values } = resolveSettingsStrictly(storeSettings, { env: cloud.ownEnv });
      store = await openStore(values, { clock: systemClock, env: cloud.ownEnv });
      dump = await putDump(store, { coreBytes: 2_000_000 });
      bench = await startWorkbench(join(directory, start.name), {
        env: { ...cloud.env, REFRESH_INTERVAL: "1s", STORE_TIMEOUT: "10s" },
      });
      bench.cluster.tokens.set(token, { user: "admin", audiences: [AUDIENCE] });
      bench.cluster.grants = [{ user: "admin", verbs: ["*"], resources: ["*"], namespaces: ["*"] }];
    }, 180_000);
    afterAll(async () => {
      await bench?.[Symbol.asyncDispose]();
      await store?.close();
      await cloud?.[Symbol.asyncDispose]();
    });

    const get = (path: string, headers: Record<string, string> = {}): ReturnType<Workbench["ask"]> =>
      bench.ask(path, { token, headers });

    it("lists, reads, and downloads whole and in ranges", async () => {
      const list = (await get(LIST)).json<{ items: { metadata: { name: string } }[] }>();
      expect(list.items.map((item) => item.metadata.name)).toEqual([dump.name]);
      expect((await get(`${LIST}/${dump.name}`)).json()).toMatchObject({ spec: { signal: { name: "SIGSEGV" } } });
      const whole = await get(`${LIST}/${dump.name}/bundle`);
      expect(sha256(whole.body)).toBe(sha256(dump.zip));
      const part = await get(`${LIST}/${dump.name}/bundle`, { range: "bytes=-1000" });
      expect(part.body.equals(dump.zip.subarray(-1000))).toBe(true);
      const core = await get(`${LIST}/${dump.name}/core`, { range: "bytes=1500000-" });
      expect(core.body.equals(dump.core.subarray(1_500_000))).toBe(true);
    });

    it("a link leads straight to the store, signed by the service for the pod's identity", async () => {
      const body = { expiresInSeconds: 60 };
      const answer = await bench.ask(`${LIST}/${dump.name}/link`, { token, method: "POST", body });
      expect(answer.status, answer.body.toString()).toBe(201);
      await cloud.expectLink(new URL(answer.json<{ url: string }>().url), dump.zip);
    });

    it("sees what changed between two listings, keeps, and deletes all of a dump", async () => {
      const one = await putDump(store);
      await expectSoon("it is listed", async () => (await get(`${LIST}/${one.name}`)).status === 200);
      const patched = await bench.ask(`${LIST}/${one.name}`, {
        token,
        method: "PATCH",
        body: { metadata: { labels: { "core-dump-handler.dev/keep": "true" } } },
        headers: { "content-type": "application/merge-patch+json" },
      });
      expect(patched.status, patched.body.toString()).toBe(200);
      expect(await store.head(`${one.stem}.keep`)).toBeDefined();
      expect((await bench.ask(`${LIST}/${one.name}`, { token, method: "DELETE" })).status).toBe(200);
      for (const suffix of [".manifest.json", ".zip", ".keep"])
        expect(await store.head(`${one.stem}${suffix}`)).toBeUndefined();
      const other = await putDump(store);
      await expectSoon("it is listed", async () => (await get(`${LIST}/${other.name}`)).status === 200);
      for (const suffix of [".manifest.json", ".zip"]) await store.delete(`${other.stem}${suffix}`);
      await expectSoon("it is gone", async () => (await get(`${LIST}/${other.name}`)).status === 404);
    });

    it("prune shows what is past its limits, changes nothing, and then removes all of it", async () => {
      const newer = await putDump(store, { crashedAt: "2026-11-29T10:00:00.000Z" });
      const env = { PATH: process.env["PATH"] ?? "", ...cloud.env, STORE_TIMEOUT: "10s" };
      const prune = async (...args: string[]): Promise<{ removed: number; removals: { bundle: string }[] }> => {
        const { exitCode, stdout, stderr } = await runBuilt("cdh-api", ["prune", ...args, "-o", "json"], { env });
        expect(exitCode, stderr).toBe(0);
        return JSON.parse(stdout) as { removed: number; removals: { bundle: string }[] };
      };
      const shown = await prune("--max-count", "1", "--dry-run");
      expect(shown).toMatchObject({ removed: 0, removals: [{ bundle: `${dump.stem}.zip` }] });
      const endings = [".manifest.json", ".zip"];
      for (const ending of endings) expect(await store.head(`${dump.stem}${ending}`)).toBeDefined();
      expect(await prune("--max-count", "1")).toMatchObject({ removed: 1 });
      for (const ending of endings) expect(await store.head(`${dump.stem}${ending}`)).toBeUndefined();
      for (const ending of endings) expect(await store.head(`${newer.stem}${ending}`)).toBeDefined();
      await expectSoon("it is gone", async () => (await get(`${LIST}/${dump.name}`)).status === 404);
    });
  });
}
