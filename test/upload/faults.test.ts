import { createHash } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { notBuilt } from "../helpers/built.ts";
import { s3Request } from "../helpers/s3-request.ts";
import { chooseS3, startS3Server, type S3Server } from "../helpers/s3-server.ts";
import { describeUnless } from "../helpers/skip.ts";
import { PASS, useFaultBenches } from "./fault-bench.ts";
import { errorXml, startFaultProxy, type Fault, type FaultProxy, type Operation } from "./fault-proxy.ts";
import { expectNoUploads, expectStored, logLines, expectSoon } from "./workbench.ts";

/** Three parts of the least size. */
const LARGE = { coreBytes: 12 * 1024 ** 2 };

describeUnless(notBuilt("cdh-upload") ?? chooseS3("minio").standIn, "cdh-upload through a proxy that fails", () => {
  let s3: S3Server;
  let proxy: FaultProxy;

  beforeAll(async () => {
    s3 = await startS3Server({ kind: "minio" });
    proxy = await startFaultProxy(s3.endpoint);
  });
  afterAll(async () => {
    await proxy[Symbol.asyncDispose]();
    await s3[Symbol.asyncDispose]();
  });

  const { bench, failFirst } = useFaultBenches(() => ({
    proxy,
    env: {
      ...s3.env,
      S3_ENDPOINT: proxy.endpoint,
      PART_SIZE: "5Mi",
    },
  }));

  describe("when the connection is cut", () => {
    const cases: [Operation, Fault, { coreBytes?: number }][] = [
      ["head", { kind: "cutBefore" }, {}],
      ["head", { kind: "cutAfter" }, {}],
      ["put", { kind: "cutBefore" }, {}],
      ["put", { kind: "cutInBody", afterBytes: 3000 }, {}],
      ["put", { kind: "cutAfter" }, {}],
      ["create", { kind: "cutBefore" }, LARGE],
      ["create", { kind: "cutAfter" }, LARGE],
      ["create", { kind: "cutInAnswer", afterBytes: 40 }, LARGE],
      ["part", { kind: "cutBefore" }, LARGE],
      ["part", { kind: "cutInBody", afterBytes: 2_000_000 }, LARGE],
      ["part", { kind: "cutAfter" }, LARGE],
      ["complete", { kind: "cutBefore" }, LARGE],
      ["complete", { kind: "cutAfter" }, LARGE],
      ["complete", { kind: "cutInAnswer", afterBytes: 20 }, LARGE],
      ["listUploads", { kind: "cutBefore" }, LARGE],
    ];
    it.each(cases)("at %s: %o", async (operation, fault, spec) => {
      const work = await bench();
      const bundle = await work.publish(spec);
      const happened = failFirst(operation, 1, fault);
      const result = await work.sweep();
      expect(happened()).toBe(1);
      expect(result.exitCode, result.stderr).toBe(0);
      await expectStored(s3, s3.bucket, bundle);
      await expectNoUploads(s3, s3.bucket, `_host/${bundle.fileName}`);
      expect(await work.spool()).toEqual([]);
    });
  });

  it.each([
    ["500", { kind: "answer", status: 500, body: errorXml("InternalError") }],
    ["503", { kind: "answer", status: 503, body: "<html>nobody home</html>" }],
    ["SlowDown", { kind: "answer", status: 503, body: errorXml("SlowDown") }],
    ["429", { kind: "answer", status: 429, body: "" }],
    ["403", { kind: "answer", status: 403, body: errorXml("AccessDenied") }],
    ["ExpiredToken", { kind: "answer", status: 400, body: errorXml("ExpiredToken") }],
    ["InvalidAccessKeyId", { kind: "answer", status: 403, body: errorXml("InvalidAccessKeyId") }],
    [
      "a proxy's page",
      { kind: "answer", status: 200, body: "<html>please log in</html>", headers: { "content-type": "text/html" } },
    ],
  ] as [string, Fault][])("outlives a storm of %s without blaming a bundle", async (_name, fault) => {
    const work = await bench();
    const bundles = [await work.publish(), await work.publish(LARGE)];
    let storm = true;
    let refused = 0;
    proxy.decide = () => {
      if (!storm) return PASS;
      refused += 1;
      return fault;
    };
    const child = work.run();
    await expectSoon("the storm was felt", () => refused >= 3, { child });
    storm = false;
    await expectSoon("the spool is empty", async () => (await work.spool()).length === 0, { child });
    for (const bundle of bundles) await expectStored(s3, s3.bucket, bundle);
    await child.stop();
    expect(await child.ended).toBe(0);
    expect(logLines(child.output()).filter((line) => line["msg"] === "moved to quarantine")).toEqual([]);
  });

  it.each([
    ["complete", { kind: "endless" }, LARGE],
    ["head", { kind: "silence" }, {}],
    ["part", { kind: "silence" }, LARGE],
    ["put", { kind: "silence" }, {}],
  ] as [Operation, Fault, object][])("does not wait for ever at %s for %o", async (operation, fault, spec) => {
    const work = await bench({ STORE_TIMEOUT: "500ms" });
    const bundle = await work.publish(spec);
    const happened = failFirst(operation, 1, fault);
    // The daemon, because on a busy machine even a healthy answer may take longer now and then.
    const child = work.run();
    await expectSoon("the spool is empty", async () => (await work.spool()).length === 0, { child, timeoutMs: 50_000 });
    expect(happened()).toBe(1);
    await expectStored(s3, s3.bucket, bundle);
  });

  it("takes a 200 that carries an error as a failure", async () => {
    const work = await bench();
    const bundle = await work.publish(LARGE);
    const happened = failFirst("complete", 1, {
      kind: "answer",
      status: 200,
      body: errorXml("InternalError", "We encountered an internal error."),
    });
    const result = await work.sweep();
    expect(happened()).toBe(1);
    expect(result.exitCode, result.stderr).toBe(0);
    await expectStored(s3, s3.bucket, bundle);
  });

  it("takes a 200 that carries an error to a whole put as a failure", async () => {
    const work = await bench();
    const bundle = await work.publish();
    failFirst("put", 1, { kind: "answer", status: 200, body: errorXml("InternalError") });
    const child = work.run();
    await expectSoon("the spool is empty", async () => (await work.spool()).length === 0, { child });
    await expectStored(s3, s3.bucket, bundle);
  });

  it("notices a part that the store said it had and has not", async () => {
    const work = await bench();
    const bundle = await work.publish(LARGE);
    failFirst("part", 1, {
      kind: "instead",
      work: async (body) => ({
        status: 200,
        body: "",
        headers: { etag: `"${createHash("md5").update(body).digest("hex")}"` },
      }),
    });
    const child = work.run();
    await expectSoon("the spool is empty", async () => (await work.spool()).length === 0, { child });
    await expectStored(s3, s3.bucket, bundle);
    await expectNoUploads(s3, s3.bucket, `_host/${bundle.fileName}`);
    expect(child.output()).toContain("CDH_STORE_MISMATCH");
  });

  it("notices an object that was put together from too few parts", async () => {
    const work = await bench();
    const bundle = await work.publish(LARGE);
    const path = `/${s3.bucket}/_host/${bundle.fileName}`;
    let uploadId = "";
    let cheated = 0;
    proxy.decide = (seen) => {
      if (seen.operation !== "complete" || cheated > 0) return PASS;
      cheated += 1;
      uploadId = seen.query.get("uploadId") ?? "";
      return {
        kind: "instead",
        work: async (body) => {
          const fewer = body.toString().replace(/<Part>(?:(?!<Part>).)*<\/Part>(?=<\/CompleteMultipartUpload>)/s, "");
          const answer = await s3Request(s3, "POST", path, { query: { uploadId }, body: fewer });
          return { status: answer.status, body: await answer.text() };
        },
      };
    };
    const child = work.run();
    await expectSoon("the spool is empty", async () => (await work.spool()).length === 0, { child });
    expect(cheated).toBe(1);
    expect(child.output()).toContain("CDH_STORE_MISMATCH");
    await expectStored(s3, s3.bucket, bundle);
  });

  it("keeps its copy when the store loses the object after a 200", async () => {
    const work = await bench();
    const bundle = await work.publish();
    const path = `/${s3.bucket}/_host/${bundle.fileName}`;
    let lost = 0;
    proxy.decide = (seen) => {
      // The second look is the one after the put.
      if (seen.operation !== "head" || !seen.path.endsWith(".zip") || lost >= 2) return PASS;
      lost += 1;
      if (lost === 1) return PASS;
      return { kind: "first", work: async () => void (await s3Request(s3, "DELETE", path)) };
    };
    const child = work.run();
    await expectSoon("the loss was noticed", () => child.output().includes("CDH_STORE_MISMATCH"), { child });
    await expectSoon("the spool is empty", async () => (await work.spool()).length === 0, { child });
    await expectStored(s3, s3.bucket, bundle);
  });

  describe("a store whose ETags are no MD5s and that keeps no checksums", () => {
    const ANONYMOUS: Fault = {
      kind: "headers",
      change: { etag: '"0123456789abcdef0123456789abcdef-9"', "x-amz-checksum-sha256": undefined },
    };

    it.each([
      ["whole", {}],
      ["in parts", LARGE],
    ])("is believed once every byte was read back: %s", async (_name, spec) => {
      const work = await bench();
      const bundle = await work.publish(spec);
      proxy.decide = (seen) => (seen.operation === "head" || seen.operation === "put" ? ANONYMOUS : PASS);
      const result = await work.sweep();
      expect(result.exitCode, result.stderr).toBe(0);
      expect(JSON.parse(result.stdout)).toMatchObject({ bundles: [{ verifiedBy: "readBack" }] });
      await expectStored(s3, s3.bucket, bundle);
    });

    it("is not believed when what it gives back is something else of the same size", async () => {
      const work = await bench();
      const bundle = await work.publish();
      const path = `/${s3.bucket}/_host/${bundle.fileName}`;
      let lies = 0;
      proxy.decide = (seen) => {
        if (seen.operation === "head" || seen.operation === "put") return ANONYMOUS;
        if (seen.operation !== "get" || !seen.path.endsWith(".zip") || lies > 0) return PASS;
        lies += 1;
        // Its disk forgets, but its metadata still says that it is ours.
        const forget = async (): Promise<void> => {
          const headers = { "x-amz-meta-cdh-sha256": bundle.sha256 };
          await s3Request(s3, "PUT", path, { body: Buffer.alloc(bundle.sizeBytes), headers });
        };
        return { kind: "first", work: forget };
      };
      const first = await work.sweep();
      expect(lies).toBe(1);
      expect(first.exitCode).toBe(15);
      expect(JSON.parse(first.stdout)).toMatchObject({ bundles: [{ code: "CDH_STORE_MISMATCH" }] });
      expect(await work.spool()).toEqual([bundle.fileName]);
      const second = await work.sweep();
      expect(second.exitCode, second.stderr).toBe(0);
      await expectStored(s3, s3.bucket, bundle);
    });
  });

  it("goes on with a server that was restarted in the middle", async () => {
    const work = await bench({ BANDWIDTH_LIMIT: "20M" });
    const bundles = [await work.publish({ coreBytes: 30_000_000 }), await work.publish()];
    let parts = 0;
    proxy.decide = (seen) => {
      if (seen.operation === "part") parts += 1;
      return PASS;
    };
    const child = work.run();
    await expectSoon("parts are on their way", () => parts >= 2, { child });
    await s3.stop("KILL");
    await expectSoon("the trouble was noticed", () => child.output().includes("CDH_STORE"), { child });
    await s3.start();
    await expectSoon("the spool is empty", async () => (await work.spool()).length === 0, { child, timeoutMs: 50_000 });
    for (const bundle of bundles) await expectStored(s3, s3.bucket, bundle);
  });

  describe("an upload that was interrupted goes on with the parts that the store has", () => {
    const SIX_PARTS = { coreBytes: 30_000_000 };
    const partsSent = (): number[] =>
      proxy.seen.filter((seen) => seen.operation === "part").map((seen) => Number(seen.query.get("partNumber")));

    it("after the connection was lost", async () => {
      const work = await bench({ PART_CONCURRENCY: "1" });
      const bundle = await work.publish(SIX_PARTS);
      proxy.seen.splice(0);
      let away = false;
      let refused = 0;
      proxy.decide = (seen) => {
        if (seen.operation === "part" && seen.query.get("partNumber") === "4" && refused === 0) away = true;
        if (!away) return PASS;
        refused += 1;
        return { kind: "cutBefore" };
      };
      const child = work.run();
      await expectSoon("it gave up for now", () => child.output().includes("the store is in trouble"), { child });
      proxy.seen.splice(0);
      away = false;
      await expectSoon("the spool is empty", async () => (await work.spool()).length === 0, { child });
      expect(partsSent()).toEqual([4, 5, 6]);
      await expectStored(s3, s3.bucket, bundle);
      await expectNoUploads(s3, s3.bucket, `_host/${bundle.fileName}`);
    });

    it("after it was killed", async () => {
      const work = await bench({ PART_CONCURRENCY: "1" });
      const bundle = await work.publish(SIX_PARTS);
      proxy.seen.splice(0);
      const killed = work.run({ BANDWIDTH_LIMIT: "8M" });
      await expectSoon("three parts are there", () => partsSent().includes(4), { child: killed });
      await killed.stop("KILL");
      proxy.seen.splice(0);
      const result = await work.sweep();
      expect(result.exitCode, result.stderr).toBe(0);
      expect(partsSent()).toEqual([4, 5, 6]);
      await expectStored(s3, s3.bucket, bundle);
      await expectNoUploads(s3, s3.bucket, `_host/${bundle.fileName}`);
    });

    it("but never with parts of other bytes", async () => {
      const work = await bench();
      const bundle = await work.publish(SIX_PARTS);
      const path = `/${s3.bucket}/_host/${bundle.fileName}`;
      const begun = await (await s3Request(s3, "POST", path, { query: { uploads: "" } })).text();
      const uploadId = /<UploadId>([^<]+)</.exec(begun)?.[1] ?? "";
      const other = Buffer.alloc(5 * 1024 ** 2, "somebody else's");
      const part = await s3Request(s3, "PUT", path, { query: { uploadId, partNumber: "1" }, body: other });
      expect(part.status).toBe(200);
      proxy.seen.splice(0);
      const result = await work.sweep();
      expect(result.exitCode, result.stderr).toBe(0);
      expect(partsSent().toSorted()).toEqual([1, 2, 3, 4, 5, 6]);
      await expectStored(s3, s3.bucket, bundle);
      await expectNoUploads(s3, s3.bucket, `_host/${bundle.fileName}`);
    });
  });

  it("corrects its own clock when it is off by an hour", async () => {
    const work = await bench();
    const bundle = await work.publish(LARGE);
    const shift = join(work.directory, "shift.mjs");
    await writeFile(
      shift,
      "const now = Date.now; Date.now = () => now() - 3600e3; const Real = Date; globalThis.Date = class extends Real { constructor(...a) { super(...(a.length === 0 ? [Real.now()] : a)); } };",
    );
    const result = await work.sweep([], { NODE_OPTIONS: `--import=${shift}` });
    expect(result.exitCode, result.stderr + result.stdout).toBe(0);
    await expectStored(s3, s3.bucket, bundle);
  });

  it("blames nobody while another bundle is the one that the store does not take", async () => {
    const work = await bench();
    const good = await work.publish();
    const bad = await work.publish();
    proxy.decide = (seen) =>
      seen.operation === "put" && seen.path.includes(bad.name)
        ? { kind: "answer", status: 500, body: errorXml("InternalError") }
        : PASS;
    const child = work.run();
    await expectSoon("the good one is stored", async () => !(await work.spool()).includes(good.fileName), { child });
    await expectStored(s3, s3.bucket, good);
    expect(await work.spool()).toContain(bad.fileName);
  });
});
