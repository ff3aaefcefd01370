import { createHash, createVerify, generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from "vitest";
import { systemClock } from "@cdh/core/clock";
import { resolveSettingsStrictly } from "@cdh/core/config";
import { openStore } from "@cdh/core/store/open";
import { storeSettings } from "@cdh/core/store/settings";
import { notBuilt } from "../helpers/built.ts";
import { startFakeGcs, type FakeGcs } from "../helpers/fake-gcs.ts";
import { startForwardProxy, type ForwardProxy } from "../helpers/forward-proxy.ts";
import { freePort } from "../helpers/free-port.ts";
import { describeUnless } from "../helpers/skip.ts";
import { findTool } from "../helpers/tools.ts";
import { startFaultProxy, type FaultProxy } from "./fault-proxy.ts";
import { expectSoon, makeWorkbench, type Workbench } from "./workbench.ts";

const EMAIL = "cores@project.iam.gserviceaccount.com";

/** What a service that gives tokens was asked. */
interface Asked {
  url: string;
  headers: IncomingHttpHeaders;
  body: string;
}

/** Start a token service and a metadata service in one. */
async function startTokens(): Promise<{ server: Server; host: string; asked: Asked[]; status: number }> {
  const asked: Asked[] = [];
  const tokens = { status: 200 };
  const server = createServer((incoming, outgoing) => {
    let body = "";
    incoming.on("data", (chunk: Buffer) => (body += chunk.toString()));
    incoming.on("end", () => {
      const url = incoming.url ?? "";
      asked.push({ url, headers: incoming.headers, body });
      outgoing.setHeader("metadata-flavor", "Google");
      outgoing.statusCode = tokens.status;
      if (url.endsWith("/email")) return outgoing.end(EMAIL);
      outgoing.setHeader("content-type", "application/json");
      if (tokens.status !== 200) return outgoing.end(JSON.stringify({ error: "invalid_grant" }));
      return outgoing.end(JSON.stringify({ access_token: "the-token", token_type: "Bearer", expires_in: 3600 }));
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return Object.assign(tokens, { server, host, asked });
}

describeUnless(notBuilt("cdh-upload") ?? findTool("fake-gcs-server").reason, "Google Cloud Storage by a token", () => {
  const directory = mkdtempSync(join(tmpdir(), "cdh-google-"));
  const keyFile = join(directory, "key.json");
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  let gcs: FakeGcs;
  let store: FaultProxy;
  let tokens: Awaited<ReturnType<typeof startTokens>>;
  let proxy: ForwardProxy;
  let work: Workbench;

  beforeAll(async () => {
    const port = await freePort();
    gcs = await startFakeGcs({ publicUrl: `http://127.0.0.1:${port}` });
    store = await startFaultProxy(gcs.endpoint, port);
    tokens = await startTokens();
    proxy = await startForwardProxy();
    const key = privateKey.export({ type: "pkcs8", format: "pem" });
    const account = { type: "service_account", project_id: "project", private_key_id: "1", client_email: EMAIL };
    writeFileSync(
      keyFile,
      JSON.stringify({ ...account, private_key: key, client_id: "1", token_uri: `http://${tokens.host}/token` }),
    );
  });
  beforeEach(async () => {
    tokens.asked.length = 0;
    tokens.status = 200;
    store.seen.length = 0;
    proxy.asked.length = 0;
    // HOME: without it Google's own credentials of whoever runs this would be found.
    work = await makeWorkbench({ STORE_URL: `gs://${gcs.bucket}/one`, GCS_ENDPOINT: store.endpoint, HOME: directory });
  });
  afterEach(async () => await work[Symbol.asyncDispose]());
  afterAll(async () => {
    tokens.server.closeAllConnections();
    tokens.server.close();
    await proxy[Symbol.asyncDispose]();
    await store[Symbol.asyncDispose]();
    await gcs[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true, force: true });
  });

  /** Expect every request to carry the token, but those of an upload: their address is the permission. */
  function expectToken(): void {
    const authorizations = store.seen
      .filter(({ operation }) => operation !== "part")
      .map(({ headers }) => headers.authorization);
    expect(new Set(authorizations)).toEqual(new Set(["Bearer the-token"]));
  }

  it("takes a service account's key file: the key signs the tokens itself", async () => {
    await work.publish();
    const result = await work.sweep([], { GOOGLE_APPLICATION_CREDENTIALS: keyFile });
    expect(result.exitCode, result.stdout + result.stderr).toBe(0);
    expect(result.stderr).not.toContain("deprecated");
    expect(await work.spool()).toEqual([]);
    const [head, claims, signature] = (store.seen[0]?.headers.authorization ?? "").replace("Bearer ", "").split(".");
    const verify = createVerify("RSA-SHA256").update(`${head}.${claims}`);
    expect(verify.verify(publicKey, signature ?? "", "base64url")).toBe(true);
    expect(String(Buffer.from(claims ?? "", "base64url"))).toContain("devstorage.read_write");
  });

  it("takes the workload identity of a pod on GKE from the metadata service, and never through a proxy", async () => {
    await work.publish();
    const env = {
      GCE_METADATA_HOST: tokens.host,
      HTTP_PROXY: proxy.url,
      HTTPS_PROXY: proxy.url,
      NO_PROXY: "127.0.0.1",
    };
    const result = await work.sweep([], env);
    expect(result.exitCode, result.stdout + result.stderr).toBe(0);
    expect(
      tokens.asked.some(({ url, headers }) => url.includes("/token") && headers["metadata-flavor"] === "Google"),
    ).toBe(true);
    expect(proxy.asked).toEqual([]);
    expectToken();
    // Without an address of its own it is Google's, which no proxy is asked for.
    await work.publish();
    await work.sweep([], { HTTP_PROXY: proxy.url, HTTPS_PROXY: proxy.url, STORE_TIMEOUT: "3s" });
    expect(proxy.asked.filter((asked) => /169\.254|metadata/.test(asked))).toEqual([]);
  });

  it("goes through the proxy", async () => {
    await work.publish();
    const env = { GOOGLE_APPLICATION_CREDENTIALS: keyFile, HTTP_PROXY: proxy.url, HTTPS_PROXY: proxy.url };
    const result = await work.sweep([], env);
    expect(result.exitCode, result.stdout + result.stderr).toBe(0);
    expect(proxy.asked.some((asked) => asked.includes(new URL(store.endpoint).host))).toBe(true);
  });

  it.each([
    [400, "CDH_STORE_DENIED", "no credentials"],
    [503, "CDH_STORE_UNREACHABLE", "the metadata service answers HTTP 503"],
  ])("is told when no token is given (%i), and the bundle waits", async (status, code, words) => {
    tokens.status = status;
    const bundle = await work.publish();
    const result = await work.sweep([], { GCE_METADATA_HOST: tokens.host, STORE_TIMEOUT: "20s" });
    expect(result.exitCode).not.toBe(0);
    expect(result.stdout + result.stderr).toContain(code);
    expect(result.stdout + result.stderr).toContain(words);
    expect(await work.spool()).toEqual([bundle.fileName]);
  });

  it("asks a metadata service again that was in trouble when the program started", async () => {
    tokens.status = 503;
    await work.publish();
    const child = work.run({ GCE_METADATA_HOST: tokens.host, STORE_TIMEOUT: "20s" });
    await expectSoon("it is told", () => child.output().includes("the metadata service answers HTTP 503"), { child });
    tokens.status = 200;
    await expectSoon("the bundle is stored", async () => (await work.spool()).length === 0, { child });
    await child.stop();
  });

  it("makes links that read one object for a while", async () => {
    const env = {
      STORE_URL: `gs://${gcs.bucket}/one`,
      GCS_ENDPOINT: store.endpoint,
      GOOGLE_APPLICATION_CREDENTIALS: keyFile,
    };
    const settings = resolveSettingsStrictly(storeSettings, { env });
    process.env["GOOGLE_APPLICATION_CREDENTIALS"] = keyFile;
    const opened = await openStore(settings.values, { clock: systemClock, env });
    const link = new URL((await opened.presign?.("a b/x.zip", { lifetimeSeconds: 60, fileName: "x.zip" })) ?? "");
    delete process.env["GOOGLE_APPLICATION_CREDENTIALS"];
    await opened.close();
    expect(link.pathname).toBe(`/${gcs.bucket}/one/a%20b/x.zip`);
    // The signature again, by Google's description and with the public key.
    const signature = link.searchParams.get("X-Goog-Signature") ?? "";
    const query = link.search.slice(1).replace(/&X-Goog-Signature=.*$/, "");
    const canonical = `GET\n${link.pathname}\n${query}\nhost:${link.host}\n\nhost\nUNSIGNED-PAYLOAD`;
    const date = link.searchParams.get("X-Goog-Date") ?? "";
    const scope = (link.searchParams.get("X-Goog-Credential") ?? "").replace(`${EMAIL}/`, "");
    const digest = createHash("sha256").update(canonical).digest("hex");
    const verify = createVerify("RSA-SHA256").update(`GOOG4-RSA-SHA256\n${date}\n${scope}\n${digest}`);
    expect(verify.verify(publicKey, signature, "hex")).toBe(true);
    expect(link.searchParams.get("X-Goog-Expires")).toBe("60");
  });
});
