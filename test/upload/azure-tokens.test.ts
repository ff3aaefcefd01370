import { execFileSync, spawnSync } from "node:child_process";
import { constants, verify, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { Agent, request as tlsRequest } from "node:https";
import { connect, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BlobServiceClient, StorageSharedKeyCredential } from "@azure/storage-blob";
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from "vitest";
import { systemClock } from "@cdh/core/clock";
import { resolveSettingsStrictly } from "@cdh/core/config";
import { openStore } from "@cdh/core/store/open";
import { storeSettings } from "@cdh/core/store/settings";
import { startAzurite, type Azurite } from "../helpers/azurite.ts";
import { builtPath, notBuilt, runPath, type BuiltResult } from "../helpers/built.ts";
import { selfSign, type KeyPair } from "../helpers/cluster-pki.ts";
import { startForwardProxy, type ForwardProxy } from "../helpers/forward-proxy.ts";
import { REPOSITORY } from "../helpers/repository.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { CLIENT, startMetadata, startProvider, TENANT, type Metadata, type Provider } from "./entra.ts";
import { makeWorkbench, type Workbench } from "./workbench.ts";

/** Joins sockets in the file system with addresses of the network that it runs in: `SOCKET:ADDRESS:PORT…`. */
const JOIN = join(REPOSITORY, "test/upload/join-network.mjs");

/** Why no network of its own can be made here; undefined where one can. */
function noNetwork(): string | undefined {
  const tried = spawnSync("unshare", ["-n", "ip", "link", "set", "lo", "up"]);
  return tried.status === 0 ? undefined : "no network namespace can be made here (unshare, ip, root)";
}

describeUnless(notBuilt("cdh-upload") ?? missingTools("azurite", "openssl"), "Azure by a token", () => {
  const directory = mkdtempSync(join(tmpdir(), "cdh-entra-"));
  let azurite: Azurite;
  let provider: Provider;
  let proxy: ForwardProxy;
  let pair: KeyPair;
  let work: Workbench;
  const tokenFile = join(directory, "token");

  beforeAll(async () => {
    pair = selfSign(directory, "azure", "IP:127.0.0.1");
    azurite = await startAzurite({ tls: { certificate: pair.cert, key: pair.key } });
    provider = await startProvider(pair);
    proxy = await startForwardProxy();
    writeFileSync(tokenFile, "the-kubelet-put-this-here");
    const credential = new StorageSharedKeyCredential(azurite.account, azurite.key);
    const agent = new Agent({ ca: readFileSync(pair.cert) });
    const service = new BlobServiceClient(azurite.endpoint, credential, { agent } as object);
    await service.createContainer(azurite.container);
  });
  beforeEach(async () => {
    provider.asked.length = 0;
    provider.refuse = false;
    provider.audience = "https://storage.azure.com";
    proxy.asked.length = 0;
    work = await makeWorkbench(envOf());
  });
  afterEach(async () => await work[Symbol.asyncDispose]());
  afterAll(async () => {
    provider.server.closeAllConnections();
    provider.server.close();
    await proxy[Symbol.asyncDispose]();
    await azurite[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true, force: true });
  });

  /** What AKS's webhook gives a pod with a workload identity, and the store's own. */
  function envOf(more: Record<string, string> = {}): Record<string, string> {
    return {
      STORE_URL: `azblob://${azurite.container}/one`,
      AZURE_STORAGE_ACCOUNT: azurite.account,
      AZURE_STORAGE_ENDPOINT: azurite.endpoint,
      AZURE_AUTHORITY_HOST: `${provider.host}/`,
      AZURE_TENANT_ID: TENANT,
      AZURE_CLIENT_ID: CLIENT,
      AZURE_FEDERATED_TOKEN_FILE: tokenFile,
      NODE_EXTRA_CA_CERTS: pair.cert,
      ...more,
    };
  }

  it("takes a workload identity's token, got with the token that the kubelet renews", async () => {
    await work.publish();
    const result = await work.sweep();
    expect(result.exitCode, result.stdout + result.stderr).toBe(0);
    expect(await work.spool()).toEqual([]);
    expect(provider.asked[0]?.get("client_assertion")).toBe("the-kubelet-put-this-here");
    expect(provider.asked[0]?.get("scope")).toContain("https://storage.azure.com/.default");
  });

  it("takes a client secret", async () => {
    await work.publish();
    const result = await work.sweep([], { AZURE_FEDERATED_TOKEN_FILE: "", AZURE_CLIENT_SECRET: "hush" });
    expect(result.exitCode, result.stdout + result.stderr).toBe(0);
    expect(provider.asked[0]?.get("client_secret")).toBe("hush");
  });

  it("takes a certificate: its key signs what the provider is sent", async () => {
    const files = ["-keyout", join(directory, "client.key"), "-out", join(directory, "client.crt")];
    execFileSync(
      "openssl",
      ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=cdh", ...files],
      {
        stdio: "ignore",
      },
    );
    const certificate = readFileSync(join(directory, "client.crt"), "utf8");
    const path = join(directory, "client.pem");
    writeFileSync(path, `${certificate}${readFileSync(join(directory, "client.key"), "utf8")}`);
    await work.publish();
    const result = await work.sweep([], { AZURE_FEDERATED_TOKEN_FILE: "", AZURE_CLIENT_CERTIFICATE_PATH: path });
    expect(result.exitCode, result.stdout + result.stderr).toBe(0);
    expect(await work.spool()).toEqual([]);
    const assertion = provider.asked[0]?.get("client_assertion") ?? "";
    const [head = "", claims = "", signature = ""] = assertion.split(".");
    const { alg } = JSON.parse(String(Buffer.from(head, "base64url"))) as { alg: string };
    const { publicKey } = new X509Certificate(certificate);
    const key = alg === "PS256" ? { key: publicKey, padding: constants.RSA_PKCS1_PSS_PADDING } : publicKey;
    expect(verify("sha256", Buffer.from(`${head}.${claims}`), key, Buffer.from(signature, "base64url"))).toBe(true);
    expect(JSON.parse(String(Buffer.from(claims, "base64url")))).toMatchObject({ iss: CLIENT, sub: CLIENT });
  });

  describeUnless(noNetwork(), "of a managed identity", () => {
    let metadata: Metadata;
    const relays: Server[] = [];
    beforeAll(async () => {
      metadata = await startMetadata(join(directory, "metadata.sock"));
      // The store as the pod's network sees it: through a socket in the file system.
      const store = new URL(azurite.endpoint);
      const relay = createServer((socket) => {
        const onward = connect(Number(store.port), store.hostname);
        socket.pipe(onward).pipe(socket);
        socket.on("error", () => onward.destroy());
        onward.on("error", () => socket.destroy());
      });
      relay.listen(join(directory, "store.sock"));
      await once(relay, "listening");
      relays.push(relay);
    });
    afterAll(async () => {
      for (const relay of relays) relay.close();
      await metadata?.[Symbol.asyncDispose]();
    });
    beforeEach(() => {
      metadata.asked.length = 0;
      metadata.answer = undefined;
    });

    /** Sweep in a network of its own, which has the metadata service where Azure's machines have it, and no proxy. */
    async function sweepThere(more: Record<string, string> = {}): Promise<BuiltResult> {
      const port = new URL(azurite.endpoint).port;
      const joins = `${directory}/metadata.sock:169.254.169.254:80 ${directory}/store.sock:127.0.0.1:${port}`;
      const script = [
        "ip link set lo up && ip address add 169.254.169.254/32 dev lo || exit 99",
        // The first line says that it listens.
        `exec 3< <("${process.execPath}" "${JOIN}" ${joins}) && read -r _ <&3 || exit 99`,
        `trap 'kill $!' EXIT`,
        '"$0" sweep -o json',
      ].join("\n");
      const without = { AZURE_FEDERATED_TOKEN_FILE: "", AZURE_TENANT_ID: "", AZURE_CLIENT_ID: "" };
      // Whoever asks the metadata service through it would not get there.
      const deadProxy = { HTTP_PROXY: "http://127.0.0.1:9", NO_PROXY: "127.0.0.1" };
      return await runPath("unshare", ["-n", "/bin/bash", "-c", script, builtPath("cdh-upload")], {
        env: { ...work.env, PATH: "/usr/sbin:/usr/bin:/sbin:/bin", ...without, ...deadProxy, ...more },
        timeoutMs: 60_000,
      });
    }

    it.each([
      ["the node's own", "", null],
      ["one that is named", CLIENT, CLIENT],
    ])("takes %s from the metadata service, never through a proxy", async (_what, client, named) => {
      await work.publish();
      const result = await sweepThere({ AZURE_CLIENT_ID: client });
      expect(result.exitCode, result.stdout + result.stderr).toBe(0);
      expect(await work.spool()).toEqual([]);
      const asked = metadata.asked.filter(({ isMarked }) => isMarked).map(({ query }) => query);
      expect(asked[0]?.get("resource")).toContain("https://storage.azure.com");
      expect(asked[0]?.get("client_id")).toBe(named);
    });

    it("is told when the node has none, and the bundle waits", async () => {
      metadata.answer = { status: 400, body: { error: "invalid_request", error_description: "Identity not found" } };
      const bundle = await work.publish();
      const result = await sweepThere();
      expect(result.exitCode).not.toBe(0);
      expect(result.stdout + result.stderr).toContain("CDH_STORE_DENIED");
      expect(await work.spool()).toEqual([bundle.fileName]);
    });
  });

  it("is told when the provider gives none, and the bundle waits", async () => {
    provider.refuse = true;
    const bundle = await work.publish();
    for (let turn = 0; turn < 4; turn += 1) {
      const result = await work.sweep();
      expect(result.exitCode).not.toBe(0);
      expect(result.stdout + result.stderr).toContain("CDH_STORE_DENIED");
    }
    expect(await work.spool()).toEqual([bundle.fileName]);
  });

  it("is told when the token is for something else", async () => {
    provider.audience = "https://vault.azure.net";
    const bundle = await work.publish();
    const result = await work.sweep();
    expect(result.exitCode).not.toBe(0);
    expect(result.stdout + result.stderr).toContain("CDH_STORE_DENIED");
    expect(await work.spool()).toEqual([bundle.fileName]);
  });

  it("goes through the proxy, store and provider alike, but for what NO_PROXY names", async () => {
    await work.publish();
    const result = await work.sweep([], { HTTPS_PROXY: proxy.url });
    expect(result.exitCode, result.stdout + result.stderr).toBe(0);
    const hosts = new Set(proxy.asked);
    expect(hosts).toEqual(new Set([new URL(azurite.endpoint).host, new URL(provider.host).host]));
    proxy.asked.length = 0;
    await work.publish();
    const direct = await work.sweep([], { HTTPS_PROXY: proxy.url, NO_PROXY: "127.0.0.1" });
    expect(direct.exitCode, direct.stdout + direct.stderr).toBe(0);
    expect(proxy.asked).toEqual([]);
  });

  it("asks no metadata service through the proxy", async () => {
    await work.publish();
    const without = {
      AZURE_FEDERATED_TOKEN_FILE: "",
      AZURE_TENANT_ID: "",
      AZURE_CLIENT_ID: "",
      HTTPS_PROXY: proxy.url,
    };
    const result = await work.sweep([], { ...without, HTTP_PROXY: proxy.url, STORE_TIMEOUT: "3s" });
    expect(result.exitCode).not.toBe(0);
    expect(result.stdout + result.stderr).toContain("CDH_STORE_");
    expect(proxy.asked.filter((asked) => /169\.254|metadata/.test(asked))).toEqual([]);
  });

  it.each(["the account's key", "a token"])(
    "makes links that read one blob for a while, signed with %s",
    async (how) => {
      const key = how === "a token" ? {} : { AZURE_STORAGE_KEY: azurite.key };
      const script = `${how === "a token" ? "token" : "key"}/x.zip`;
      // In a process of its own, because certificates are trusted from its start.
      const { values } = resolveSettingsStrictly(storeSettings, { env: { ...envOf(key), S3_CA_BUNDLE: pair.cert } });
      const before = { ...process.env };
      Object.assign(process.env, envOf(key));
      try {
        const store = await openStore(values, { clock: systemClock, env: envOf(key) });
        await store.putBytes(script, Buffer.from("zip"));
        const link = await store.presign?.(script, { lifetimeSeconds: 60, fileName: "x.zip" });
        await store.close();
        const answer = await read(link ?? "", pair);
        expect(answer).toEqual({ status: 200, body: "zip", disposition: 'attachment; filename="x.zip"' });
        expect((await read((link ?? "").replace("x.zip", "y.zip"), pair)).status).toBe(403);
      } finally {
        process.env = before;
      }
    },
  );
});

/** Read a URL with a certificate that only this suite trusts. */
async function read(url: string, pair: KeyPair): Promise<{ status: number; body: string; disposition: string }> {
  const outgoing = tlsRequest(url, { ca: readFileSync(pair.cert) });
  outgoing.end();
  const [answer] = (await once(outgoing, "response")) as [IncomingMessage];
  let body = "";
  for await (const chunk of answer) body += String(chunk);
  return { status: answer.statusCode ?? 0, body, disposition: answer.headers["content-disposition"] ?? "" };
}
