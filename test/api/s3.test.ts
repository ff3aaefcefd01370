import { afterAll, beforeAll, expect, it } from "vitest";
import { systemClock } from "@cdh/core/clock";
import { resolveSettingsStrictly } from "@cdh/core/config";
import { openStore } from "@cdh/core/store/open";
import { storeSettings } from "@cdh/core/store/settings";
import type { ObjectStore } from "@cdh/core/store/store";
import { notBuilt } from "../helpers/built.ts";
import { startS3Server, type S3Server } from "../helpers/s3-server.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
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

const directory = scratchDirectory("api-s3");
const LIST = `${BASE}/namespaces/shop/coredumps`;
const token = "admins-token";

describeUnless(notBuilt("cdh-api") ?? missingTools("openssl"), "cdh-api with a real S3 server", () => {
  let s3: S3Server;
  let store: ObjectStore;
  let bench: Workbench;
  let dump: PutDump;

  beforeAll(async () => {
    s3 = await startS3Server();
    const env = { ...s3.env, STORE_URL: "s3://cores/prod" };
    const { values } = resolveSettingsStrictly(storeSettings, { env });
    store = await openStore(values, { clock: systemClock, env });
    dump = await putDump(store, { coreBytes: 2_000_000 });
    bench = await startWorkbench(directory, {
      env: { ...env, REFRESH_INTERVAL: "1s", STORE_TIMEOUT: "3s" },
    });
    bench.cluster.tokens.set(token, { user: "admin", audiences: [AUDIENCE] });
    bench.cluster.grants = [{ user: "admin", verbs: ["*"], resources: ["*"], namespaces: ["*"] }];
  }, 120_000);
  afterAll(async () => {
    await bench?.[Symbol.asyncDispose]();
    await store?.close();
    await s3?.[Symbol.asyncDispose]();
  });

  const get = (path: string, headers: Record<string, string> = {}): ReturnType<Workbench["ask"]> =>
    bench.ask(path, { token, headers });

  it("lists, reads, and downloads whole and in ranges", async () => {
    const list = (await get(LIST)).json<{ items: { metadata: { name: string } }[] }>();
    expect(list.items.map((item) => item.metadata.name)).toEqual([dump.name]);
    expect((await get(`${LIST}/${dump.name}`)).json()).toMatchObject({ spec: { signal: { name: "SIGSEGV" } } });
    const whole = await get(`${LIST}/${dump.name}/bundle`);
    expect([whole.headers["etag"], sha256(whole.body)]).toEqual([`"${sha256(dump.zip)}"`, sha256(dump.zip)]);
    const part = await get(`${LIST}/${dump.name}/bundle`, { range: "bytes=-1000" });
    expect(part.body.equals(dump.zip.subarray(-1000))).toBe(true);
    const core = await get(`${LIST}/${dump.name}/core`, { range: "bytes=1500000-" });
    expect(core.body.equals(dump.core.subarray(1_500_000))).toBe(true);
  });

  it("a link leads straight to the store, without a token, for a while", async () => {
    const link = async (expiresInSeconds: number): Promise<string> => {
      const body = { expiresInSeconds };
      return (await bench.ask(`${LIST}/${dump.name}/link`, { token, method: "POST", body })).json<{ url: string }>()
        .url;
    };
    const url = await link(60);
    expect(url.startsWith(s3.endpoint)).toBe(true);
    const answer = await fetch(url);
    expect(answer.status).toBe(200);
    expect(answer.headers.get("content-disposition")).toContain(dump.manifest.bundle);
    expect(sha256(Buffer.from(await answer.arrayBuffer()))).toBe(sha256(dump.zip));
    const short = await link(1);
    await expectSoon("it ends", async () => (await fetch(short)).status === 403);
    // The store holds nothing that is decompressed: that link is this server's.
    const core = await bench.ask(`${LIST}/${dump.name}/link`, { token, method: "POST", body: { subresource: "core" } });
    const own = core.json<{ url: string }>().url;
    expect(sha256((await bench.ask(own)).body)).toBe(sha256(dump.core));
  });

  it("keeps, and deletes both objects", async () => {
    const one = await putDump(store);
    await expectSoon("it is listed", async () => (await get(`${LIST}/${one.name}`)).status === 200);
    const patched = await bench.ask(`${LIST}/${one.name}`, {
      token,
      method: "PATCH",
      body: { metadata: { labels: { "core-dump-handler.dev/keep": "true" } } },
      headers: { "content-type": "application/merge-patch+json" },
    });
    expect(patched.status).toBe(200);
    expect(await store.head(`${one.stem}.keep`)).toBeDefined();
    expect((await bench.ask(`${LIST}/${one.name}`, { token, method: "DELETE" })).status).toBe(200);
    for (const suffix of [".manifest.json", ".zip", ".keep"]) {
      expect(await store.head(`${one.stem}${suffix}`)).toBeUndefined();
    }
  });

  it("while the store is down the list stays readable and says so; the rest is 503 with a reason", async () => {
    await s3.stop();
    await expectSoon("it is noticed", async () => (await get(LIST)).headers["warning"] !== undefined);
    const list = await get(LIST);
    expect(list.status).toBe(200);
    expect(list.headers["warning"]).toMatch(/^299 - "the store does not answer; this is what it held at 20/);
    expect(list.json<{ items: unknown[] }>().items).toHaveLength(1);
    for (const path of [`${LIST}/${dump.name}`, `${LIST}/${dump.name}/bundle`, `${LIST}/${dump.name}/core`]) {
      const { status, headers, body } = await get(path);
      expect([path, status, headers["retry-after"]]).toEqual([path, 503, "5"]);
      const said = JSON.parse(body.toString()) as { kind: string; reason: string; message: string };
      expect([said.kind, said.reason]).toEqual(["Status", "ServiceUnavailable"]);
      expect(said.message).toContain("CDH_STORE_UNREACHABLE");
      // Where the store is, is none of a tenant's business.
      expect(said.message).not.toContain("s3:");
    }
    expect(await bench.metric('cdh_api_listings_total{outcome="failed"}')).toBeGreaterThan(0);
    await s3.start();
    await expectSoon("all is well again", async () => (await get(LIST)).headers["warning"] === undefined);
    expect((await get(`${LIST}/${dump.name}/bundle`)).status).toBe(200);
  });

  it("a server that never saw its store is not ready and answers 503", async () => {
    await using own = await startWorkbench(`${directory}/never`, {
      env: { ...s3.env, S3_ENDPOINT: "http://127.0.0.1:9", STORE_URL: "s3://cores/prod", STORE_TIMEOUT: "1s" },
      waits: false,
    });
    own.cluster.tokens.set(token, { user: "admin", audiences: [AUDIENCE] });
    own.cluster.grants = [{ user: "admin", verbs: ["*"], resources: ["*"], namespaces: ["*"] }];
    await expectSoon("it listens", async () => (await own.ask("/healthz").catch(() => undefined))?.status === 200);
    expect((await own.ask("/readyz")).status).toBe(503);
    await expectSoon("it says why", async () => {
      const { status, body } = await own.ask(LIST, { token });
      expect(status).toBe(503);
      return body.includes("the store could not be listed yet");
    });
  });
});
