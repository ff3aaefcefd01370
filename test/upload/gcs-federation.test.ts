import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from "vitest";
import { notBuilt } from "../helpers/built.ts";
import { startFakeGcs, type FakeGcs } from "../helpers/fake-gcs.ts";
import { startForwardProxy, type ForwardProxy } from "../helpers/forward-proxy.ts";
import { freePort } from "../helpers/free-port.ts";
import { describeUnless } from "../helpers/skip.ts";
import { findTool } from "../helpers/tools.ts";
import { startFaultProxy, type FaultProxy } from "./fault-proxy.ts";
import { expectSoon, makeWorkbench, type Workbench } from "./workbench.ts";

const AUDIENCE = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/cluster";
const EMAIL = "cores@project.iam.gserviceaccount.com";
const IMPERSONATION = `/v1/projects/-/serviceAccounts/${EMAIL}:generateAccessToken`;

/** The security token service and the one that gives a service account's tokens. */
interface Sts {
  server: Server;
  url: string;
  /** What the exchange was sent, in order. */
  exchanged: URLSearchParams[];
  /** Tokens that asked for the service account's. */
  impersonated: (string | undefined)[];
  status: number;
  lifetimeSeconds: number;
}

async function startSts(): Promise<Sts> {
  const server = createServer((incoming, outgoing) => {
    let body = "";
    incoming.on("data", (chunk: Buffer) => (body += chunk.toString()));
    incoming.on("end", () => {
      const answer = (status: number, value: object): void =>
        void outgoing.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
      if (incoming.url === IMPERSONATION) {
        sts.impersonated.push(incoming.headers.authorization);
        const expireTime = new Date(Date.now() + 1000 * sts.lifetimeSeconds).toISOString();
        return answer(200, { accessToken: "of-the-account", expireTime });
      }
      sts.exchanged.push(new URLSearchParams(body));
      if (sts.status !== 200) return answer(sts.status, { error: "invalid_grant", error_description: "not this one" });
      return answer(200, {
        access_token: "of-the-pool",
        issued_token_type: "urn:ietf:params:oauth:token-type:access_token",
        token_type: "Bearer",
        expires_in: sts.lifetimeSeconds,
      });
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const sts: Sts = { server, url, exchanged: [], impersonated: [], status: 200, lifetimeSeconds: 3600 };
  return sts;
}

describeUnless(
  notBuilt("cdh-upload") ?? findTool("fake-gcs-server").reason,
  "Google Cloud Storage by workload identity federation",
  () => {
    const directory = mkdtempSync(join(tmpdir(), "cdh-federation-"));
    const credentials = join(directory, "credentials.json");
    const tokenFile = join(directory, "token");
    let gcs: FakeGcs;
    let store: FaultProxy;
    let sts: Sts;
    let work: Workbench;
    let proxy: ForwardProxy;

    beforeAll(async () => {
      const port = await freePort();
      gcs = await startFakeGcs({ publicUrl: `http://127.0.0.1:${port}` });
      store = await startFaultProxy(gcs.endpoint, port);
      sts = await startSts();
      proxy = await startForwardProxy();
    });
    beforeEach(async () => {
      Object.assign(sts, { status: 200, lifetimeSeconds: 3600, exchanged: [], impersonated: [] });
      store.seen.length = 0;
      proxy.asked.length = 0;
      writeFileSync(tokenFile, "the-kubelet-put-this-here");
      configure({});
      work = await makeWorkbench({
        STORE_URL: `gs://${gcs.bucket}/one`,
        GCS_ENDPOINT: store.endpoint,
        GOOGLE_APPLICATION_CREDENTIALS: credentials,
        HOME: directory,
        STORE_TIMEOUT: "20s",
      });
    });
    afterEach(async () => await work[Symbol.asyncDispose]());
    afterAll(async () => {
      sts.server.closeAllConnections();
      sts.server.close();
      await proxy[Symbol.asyncDispose]();
      await store[Symbol.asyncDispose]();
      await gcs[Symbol.asyncDispose]();
      rmSync(directory, { recursive: true, force: true });
    });

    /** Write the configuration as `gcloud iam workload-identity-pools create-cred-config` makes it. */
    function configure(more: Record<string, unknown>): void {
      const configuration = {
        type: "external_account",
        audience: AUDIENCE,
        subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
        token_url: `${sts.url}/v1/token`,
        credential_source: { file: tokenFile, format: { type: "text" } },
        ...more,
      };
      writeFileSync(credentials, JSON.stringify(configuration));
    }

    /** The tokens that the store was sent; an upload's own address carries none. */
    const tokens = (): Set<string | undefined> =>
      new Set(store.seen.filter(({ operation }) => operation !== "part").map(({ headers }) => headers.authorization));

    it("exchanges the pod's token, and sends the store what it got", async () => {
      await work.publish();
      const result = await work.sweep();
      expect(result.exitCode, result.stdout + result.stderr).toBe(0);
      expect(await work.spool()).toEqual([]);
      expect(Object.fromEntries(sts.exchanged[0] ?? [])).toMatchObject({
        grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
        audience: AUDIENCE,
        subject_token: "the-kubelet-put-this-here",
        subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
      });
      expect(sts.exchanged).toHaveLength(1);
      expect(tokens()).toEqual(new Set(["Bearer of-the-pool"]));
    });

    it("takes a service account's token for it, where the configuration names one", async () => {
      configure({ service_account_impersonation_url: `${sts.url}${IMPERSONATION}` });
      await work.publish();
      const result = await work.sweep();
      expect(result.exitCode, result.stdout + result.stderr).toBe(0);
      expect(await work.spool()).toEqual([]);
      expect(sts.impersonated).toEqual(["Bearer of-the-pool"]);
      expect(tokens()).toEqual(new Set(["Bearer of-the-account"]));
    });

    it("reads the pod's token again when what it got runs out", async () => {
      sts.lifetimeSeconds = 1;
      await work.publish();
      const child = work.run({ INTERVAL: "500ms" });
      await expectSoon("it is stored", async () => (await work.spool()).length === 0, { child });
      writeFileSync(tokenFile, "the-next-one");
      const before = sts.exchanged.length;
      await work.publish();
      await expectSoon("the next is stored", async () => (await work.spool()).length === 0, { child });
      const since = sts.exchanged.slice(before).map((asked) => asked.get("subject_token"));
      expect(since).toContain("the-next-one");
      await child.stop();
    });

    it("asks the token service through the proxy", async () => {
      await work.publish();
      const result = await work.sweep([], { HTTP_PROXY: proxy.url, HTTPS_PROXY: proxy.url });
      expect(result.exitCode, result.stdout + result.stderr).toBe(0);
      expect(new Set(proxy.asked.map((asked) => asked.replace(/^http:\/\/([^/]+).*/, "$1")))).toEqual(
        new Set([new URL(sts.url).host, new URL(store.endpoint).host]),
      );
    });

    it("takes a proxy that reaches no token service for trouble, not for missing credentials", async () => {
      configure({ token_url: "https://sts.invalid/v1/token" });
      const bundle = await work.publish();
      const result = await work.sweep([], { HTTPS_PROXY: proxy.url, NO_PROXY: "127.0.0.1" });
      expect(proxy.asked).toContain("sts.invalid:443");
      expect(result.stdout).toContain("CDH_STORE_UNREACHABLE");
      expect(await work.spool()).toEqual([bundle.fileName]);
    });

    it.each<[what: string, spoil: () => void, code: string]>([
      ["the exchange is refused", () => (sts.status = 400), "CDH_STORE_DENIED"],
      ["the token service is in trouble", () => (sts.status = 503), "CDH_STORE_UNREACHABLE"],
      ["there is no token", () => rmSync(tokenFile), "CDH_STORE_DENIED"],
      ["the token is empty", () => writeFileSync(tokenFile, ""), "CDH_STORE_DENIED"],
      ["the configuration is none", () => writeFileSync(credentials, "{"), "CDH_STORE_DENIED"],
    ])("where %s it is told, and the bundle waits", async (_what, spoil, code) => {
      spoil();
      const bundle = await work.publish();
      const result = await work.sweep();
      expect(result.exitCode).not.toBe(0);
      expect(result.stdout + result.stderr).toContain(code);
      expect(result.stderr).toContain('"hint"');
      expect(result.stdout + result.stderr).not.toContain("the-kubelet-put-this-here");
      expect(await work.spool()).toEqual([bundle.fileName]);
    });
  },
);
