import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { notBuilt } from "../helpers/built.ts";
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

const directory = scratchDirectory("api-downloads");
const CORE_BYTES = 2_500_000;

describeUnless(notBuilt("cdh-api") ?? missingTools("openssl"), "downloads of cdh-api", () => {
  let bench: Workbench;
  let dump: PutDump;
  let deflated: PutDump;
  let plain: PutDump;
  let path: string;
  const token = "admins-token";

  beforeAll(async () => {
    bench = await startWorkbench(directory, {
      prepare: async (store) => {
        dump = await putDump(store, { coreBytes: CORE_BYTES });
        deflated = await putDump(store, { coreBytes: CORE_BYTES, compression: "deflate" });
        plain = await putDump(store, { coreBytes: CORE_BYTES, compression: "none" });
      },
    });
    bench.cluster.tokens.set(token, { user: "admin", audiences: [AUDIENCE] });
    bench.cluster.grants = [{ user: "admin", verbs: ["*"], resources: ["*"], namespaces: ["*"] }];
    path = `${BASE}/namespaces/shop/coredumps/${dump.name}`;
  });
  afterAll(() => bench?.[Symbol.asyncDispose]());

  const get = (where: string, headers: Record<string, string> = {}, method = "GET"): ReturnType<Workbench["ask"]> =>
    bench.ask(where, { token, headers, method });

  describe("of a bundle", () => {
    it("are what was stored, with everything that a client needs to go on", async () => {
      const answer = await get(`${path}/bundle`);
      expect(answer.status).toBe(200);
      expect(sha256(answer.body)).toBe(sha256(dump.zip));
      expect(answer.headers).toMatchObject({
        "content-type": "application/zip",
        "content-length": String(dump.zip.length),
        "accept-ranges": "bytes",
        etag: `"${sha256(dump.zip)}"`,
        "content-disposition": `attachment; filename="${dump.manifest.bundle}"`,
        "cache-control": "private, no-cache",
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
      });
      expect(Date.parse(answer.headers["last-modified"] ?? "")).not.toBeNaN();
      const head = await get(`${path}/bundle`, {}, "HEAD");
      expect(head.status).toBe(200);
      expect(head.body.length).toBe(0);
      expect(head.headers["content-length"]).toBe(String(dump.zip.length));
    });

    it.each([
      ["bytes=0-99", 0, 100],
      ["bytes=1000-", 1000, undefined],
      ["bytes=-77", -77, undefined],
      ["bytes=5-5", 5, 6],
      ["bytes=10-99999999999", 10, undefined],
    ])("serves the range %s", async (range, start, end) => {
      const { status, headers, body } = await get(`${path}/bundle`, { range });
      expect(status).toBe(206);
      const wanted = dump.zip.subarray(start, end);
      expect(body.equals(wanted)).toBe(true);
      const first = start < 0 ? dump.zip.length + start : start;
      expect(headers["content-range"]).toBe(`bytes ${first}-${first + wanted.length - 1}/${dump.zip.length}`);
    });

    it("refuses a range that is not there, and ignores one that it does not understand", async () => {
      const { status, headers } = await get(`${path}/bundle`, { range: `bytes=${dump.zip.length}-` });
      expect([status, headers["content-range"]]).toEqual([416, `bytes */${dump.zip.length}`]);
      for (const range of ["bytes=9-3", "bytes=0-1,5-6", "lines=1-2", "bytes=-"]) {
        expect([range, (await get(`${path}/bundle`, { range }, "HEAD")).status]).toEqual([range, 200]);
      }
    });

    it("goes on only with the same bundle", async () => {
      const etag = `"${sha256(dump.zip)}"`;
      const status = async (headers: Record<string, string>): Promise<number> =>
        (await get(`${path}/bundle`, headers, "HEAD")).status;
      expect(await status({ range: "bytes=0-1", "if-range": etag })).toBe(206);
      expect(await status({ range: "bytes=0-1", "if-range": '"another"' })).toBe(200);
      expect(await status({ "if-match": etag })).toBe(200);
      expect(await status({ "if-match": '"another"' })).toBe(412);
      expect(await status({ "if-none-match": `W/${etag}` })).toBe(304);
      const modified = (await get(`${path}/bundle`, {}, "HEAD")).headers["last-modified"] ?? "";
      expect(await status({ "if-modified-since": modified })).toBe(304);
      expect(await status({ "if-unmodified-since": "Mon, 01 Jan 2001 00:00:00 GMT" })).toBe(412);
      expect(await status({ range: "bytes=0-1", "if-range": modified })).toBe(206);
    });

    it("each leave one line that says who, what, how much and from where; no token is ever in the log", async () => {
      const lines = (): Record<string, unknown>[] => bench.logged("download").filter((line) => line["offset"] === 100);
      await get(`${path}/bundle`, { range: "bytes=100-299" });
      await expectSoon("the line is there", () => lines().length === 1);
      expect(lines()[0]).toMatchObject({
        audit: true,
        user: "admin",
        via: "token",
        namespace: "shop",
        name: dump.name,
        subresource: "bundle",
        from: "127.0.0.1",
        status: 206,
        offset: 100,
        sentBytes: 200,
        isWhole: true,
      });
      expect(bench.server.output()).not.toContain(token);
      expect(bench.server.output()).not.toContain("the-servers-own-token");
    });
  });

  describe("of a core", () => {
    it("are decompressed, whatever way it is kept", async () => {
      for (const one of [dump, deflated, plain]) {
        const { status, body } = await get(`${BASE}/namespaces/shop/coredumps/${one.name}/core`);
        expect([status, sha256(body)]).toEqual([200, sha256(one.core)]);
      }
    });

    it("are served in ranges too when it is in frames", async () => {
      const { status, body, headers } = await get(`${path}/core`, { range: "bytes=1048570-1048590" });
      expect(status).toBe(206);
      expect(body.equals(dump.core.subarray(1_048_570, 1_048_591))).toBe(true);
      expect(headers["content-range"]).toBe(`bytes 1048570-1048590/${CORE_BYTES}`);
      const last = await get(`${path}/core`, { range: "bytes=-10" });
      expect(last.body.equals(dump.core.subarray(-10))).toBe(true);
    });
  });

  it("a report comes as JSON, text or a page of its own", async () => {
    const json = await get(`${path}/report`);
    expect(json.json()).toMatchObject({
      bundleBytes: dump.zip.length,
      logs: [{ lines: ["listening", "about to fall over"] }],
    });
    const text = await get(`${path}/report`, { accept: "text/plain" });
    expect(text.body.toString()).toContain("SIGSEGV");
    const html = await get(`${path}/report?format=html`);
    expect(html.headers["content-type"]).toBe("text/html; charset=utf-8");
    expect(html.headers["content-security-policy"]).toContain("default-src 'none'");
    expect(html.body.toString()).toContain("about to fall over");
    expect((await get(`${path}/report?format=pdf`)).status).toBe(400);
    expect((await get(`${path}/report`, { accept: "image/png" })).status).toBe(406);
  });

  describe("by a link", () => {
    const link = async (body: unknown): Promise<{ url: string; expiresAt: string }> => {
      const answer = await bench.ask(`${path}/link`, { token, method: "POST", body });
      expect(answer.status).toBe(201);
      return answer.json();
    };

    it("work without a token, for exactly what they were made for", async () => {
      const { url, expiresAt } = await link({ subresource: "bundle" });
      expect(Date.parse(expiresAt) - Date.now()).toBeLessThanOrEqual(300_000);
      const answer = await bench.ask(url);
      expect([answer.status, sha256(answer.body)]).toEqual([200, sha256(dump.zip)]);
      const ticket = new URL(url, "https://x").searchParams.get("ticket") ?? "";
      for (const other of [
        `${path}/core?ticket=${ticket}`,
        `${path}/report?ticket=${ticket}`,
        `${BASE}/namespaces/shop/coredumps/${plain.name}/bundle?ticket=${ticket}`,
        `${path}/bundle?ticket=${ticket.slice(0, -2)}`,
        `${path}/bundle?ticket=x${ticket}`,
        `${path}/bundle?ticket=`,
        `${path}?ticket=${ticket}`,
      ]) {
        expect([other, (await bench.ask(other)).status]).toEqual([other, 401]);
      }
      await expectSoon("the log says so", () => bench.logged("download").some((line) => line["via"] === "link"));
      expect(bench.server.output()).not.toContain(ticket);
    });

    it("end", async () => {
      const { url } = await link({ subresource: "core", expiresInSeconds: 1 });
      await expectSoon("it is over", async () => (await bench.ask(url, { method: "HEAD" })).status === 401);
    });

    it("are refused for what there are none for", async () => {
      for (const body of [{ subresource: "report" }, { expiresInSeconds: -1 }, { expiresInSeconds: "5" }]) {
        const { status } = await bench.ask(`${path}/link`, { token, method: "POST", body });
        expect([body, status]).toEqual([body, 400]);
      }
    });
  });

  describe("as koredump's clients ask for them", () => {
    it("list, oldest first, with its keys", async () => {
      const older = await putDump(bench.store, { crashedAt: "2020-01-01T00:00:00.000Z" });
      await expectSoon("it is listed", async () => {
        const list = (await get("/apiv1/cores?namespace=shop&pod=web-0")).json<Record<string, unknown>[]>();
        return list[0]?.["id"] === older.name;
      });
      const list = (await get("/apiv1/cores?namespace=shop")).json<Record<string, unknown>[]>();
      expect(list).toHaveLength(4);
      const times = list.map((one) => Number(one["COREDUMP_TIMESTAMP"]));
      expect(times).toEqual(times.toSorted((a, b) => a - b));
      expect(list[0]).toMatchObject({
        id: older.name,
        node: "worker-3",
        pod: "web-0",
        container: "app",
        namespace: "shop",
        image_name: "registry.example/server:1",
        ARCH: "x64",
        COREDUMP_TIMESTAMP: Date.parse("2020-01-01T00:00:00.000Z") * 1000,
        COREDUMP_PID: 4211,
        COREDUMP_SIGNAL: 11,
        COREDUMP_SIGNAL_NAME: "SIGSEGV",
        COREDUMP_EXE: "/usr/bin/server",
      });
      expect((await get("/apiv1/cores?namespace=shop&pod=none")).json()).toEqual([]);
    });

    it("metadata, download, decompressed or not", async () => {
      const metadata = await get(`/apiv1/cores/metadata/worker-3/${dump.name}`);
      expect(metadata.json()).toMatchObject({
        id: dump.name,
        COREDUMP_FILENAME: `${dump.stem.split("/")[1]}.core.zst`,
      });
      const raw = await get(`/apiv1/cores/download/worker-3/${dump.name}`);
      expect(raw.status).toBe(200);
      expect(raw.headers["content-type"]).toBe("application/octet-stream");
      expect(raw.headers["content-disposition"]).toMatch(/\.core\.zst"$/);
      expect(raw.body.readUInt32LE(0)).toBe(0xfd2fb528);
      const part = await get(`/apiv1/cores/download/worker-3/${dump.name}`, { range: "bytes=4-9" });
      expect(part.body.equals(raw.body.subarray(4, 10))).toBe(true);
      const core = await get(`/apiv1/cores/download/worker-3/${dump.name}?decompress=true`);
      expect(sha256(core.body)).toBe(sha256(dump.core));
      expect((await get(`/apiv1/cores/download/worker-3/${plain.name}?decompress=true`)).status).toBe(415);
      expect(sha256((await get(`/apiv1/cores/download/worker-3/${plain.name}`)).body)).toBe(sha256(plain.core));
    });

    it("404 for another node, an unknown id and an unknown route; 200 OK for /health", async () => {
      expect((await get(`/apiv1/cores/metadata/worker-4/${dump.name}`)).status).toBe(404);
      expect((await get("/apiv1/cores/metadata/worker-3/none")).status).toBe(404);
      expect((await get("/apiv1/nothing")).status).toBe(404);
      expect((await bench.ask("/health")).body.toString()).toBe("OK");
      expect((await get("/apiv1/openapi.json")).json()).toMatchObject({ openapi: "3.0.0" });
    });
  });

  it("names are looked up and never become paths", async () => {
    const names = [
      "..%2f..%2fetc%2fpasswd",
      "%2e%2e",
      "..",
      "shop%2f" + dump.name,
      `../other/${dump.name}`,
      "%00",
      "%ff",
      "a".repeat(5000),
      encodeURIComponent(dump.stem),
      "__proto__",
      "constructor",
    ];
    for (const name of names) {
      for (const where of [
        `${BASE}/namespaces/shop/coredumps/${name}`,
        `${BASE}/namespaces/shop/coredumps/${name}/bundle`,
        `${BASE}/namespaces/${name}/coredumps/${dump.name}/bundle`,
        `${path}/${name}`,
        `/apiv1/cores/download/worker-3/${name}`,
        `/apiv1/cores/download/${name}/${dump.name}`,
        `/page/${name}`,
        `/${name}`,
      ]) {
        const { status, body } = await get(where);
        expect([where, [400, 404].includes(status), body.includes("root:")]).toEqual([where, true, false]);
      }
    }
  });

  it("selectors and parameters that make no sense are refused, however large", async () => {
    const list = `${BASE}/namespaces/shop/coredumps`;
    const bad: [string, number][] = [
      [`?labelSelector=${"a,".repeat(60)}a`, 400],
      [`?labelSelector=${"a".repeat(5000)}`, 400],
      [`?fieldSelector=${"metadata.name%3Dx,".repeat(60)}metadata.name%3Dx`, 400],
      [`?labelSelector=${"a".repeat(40_000)}`, 431],
      ["?labelSelector=a%20in%20(", 400],
      ["?labelSelector=%3D%3D", 400],
      ["?fieldSelector=__proto__%3D1", 400],
      ["?limit=-1", 400],
      ["?limit=x", 400],
      ["?continue=abc", 400],
      [`?continue=${Buffer.from('[1,"x",null]').toString("base64url")}`, 400],
      ["?watch=1&resourceVersion=abc", 400],
      ["?watch=1&resourceVersion=1", 410],
    ];
    for (const [query, status] of bad) {
      expect([query.slice(0, 60), (await get(`${list}${query}`)).status]).toEqual([query.slice(0, 60), status]);
    }
    const gone = await get(`${list}?watch=1&resourceVersion=1`);
    expect(gone.json()).toMatchObject({ kind: "Status", reason: "Expired", code: 410 });
    expect((await bench.ask(path, { token, method: "PUT", body: {} })).status).toBe(405);
    const patch = (contentType: string, body: unknown): ReturnType<Workbench["ask"]> =>
      bench.ask(path, { token, method: "PATCH", body, headers: { "content-type": contentType } });
    expect((await patch("application/json-patch+json", [])).status).toBe(415);
    expect((await patch("application/merge-patch+json", { spec: {} })).status).toBe(422);
    expect((await patch("application/merge-patch+json", "x".repeat(70_000))).status).toBe(413);
  });
});
