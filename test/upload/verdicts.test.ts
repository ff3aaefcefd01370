import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { notBuilt, runBuilt } from "../helpers/built.ts";
import { startS3Server, type S3Server } from "../helpers/s3-server.ts";
import { describeUnless } from "../helpers/skip.ts";
import { PASS, useFaultBenches } from "./fault-bench.ts";
import { errorXml, startFaultProxy, type Fault, type FaultProxy, type ProxiedRequest } from "./fault-proxy.ts";
import { expectStored, logLines, type Workbench } from "./workbench.ts";

/** Three parts of the least size. */
const LARGE = { coreBytes: 12 * 1024 ** 2 };
const REGION = "eu-west-1";

interface Row {
  status: string;
  code?: string;
  reason?: string;
  alreadyThere?: boolean;
}

describeUnless(notBuilt("cdh-upload"), "what one look at the store decides", () => {
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

  const { bench } = useFaultBenches(() => ({
    proxy,
    env: {
      ...s3.env,
      S3_ENDPOINT: proxy.endpoint,
      PART_SIZE: "5Mi",
      // One attempt with a bundle that is to blame would do.
      QUARANTINE_ATTEMPTS: "1",
    },
  }));

  async function sweepOne(work: Workbench): Promise<Row> {
    const { stdout, stderr } = await work.sweep();
    const { bundles } = JSON.parse(stdout) as { bundles: Row[] };
    expect(bundles, stderr).toHaveLength(1);
    return bundles[0] as Row;
  }

  async function inQuarantine(work: Workbench): Promise<string[]> {
    return await readdir(join(work.coreDir, "quarantine")).catch(() => []);
  }

  describe("a conflict is one only when the object was looked at", () => {
    const blind: [string, (seen: ProxiedRequest) => Fault][] = [
      ["denied", () => ({ kind: "answer", status: 403, body: errorXml("AccessDenied") })],
      ["answered by 503", () => ({ kind: "answer", status: 503, body: errorXml("SlowDown") })],
      ["cut off", () => ({ kind: "cutBefore" })],
    ];

    it.each(blind)("not when looks are %s after a put that worked", async (_name, fault) => {
      const work = await bench();
      const bundle = await work.publish();
      let puts = 0;
      proxy.decide = (seen) => {
        if (seen.operation === "head" || seen.operation === "get") {
          // Before the put the store is well: this is about what follows a put.
          return puts === 0 ? PASS : fault(seen);
        }
        if (seen.operation !== "put" || !seen.path.endsWith(`${bundle.name}.zip`)) return PASS;
        puts += 1;
        // A server that knows If-None-Match refuses the second.
        return puts === 1 ? PASS : { kind: "answer", status: 412, body: errorXml("PreconditionFailed") };
      };
      for (let turn = 0; turn < 2; turn += 1) {
        const row = await sweepOne(work);
        expect(row.status, row.reason).toBe("failed");
        expect(row.code).toMatch(/^CDH_STORE(_DENIED|_UNREACHABLE)?$/);
      }
      expect(await work.spool()).toEqual([bundle.fileName]);
      expect(await inQuarantine(work)).toEqual([]);

      proxy.decide = () => PASS;
      expect(await sweepOne(work)).toMatchObject({ status: "uploaded", alreadyThere: true });
      await expectStored(s3, s3.bucket, bundle);
    });

    it.each<[string, Fault]>([
      ["is gone when it is read", { kind: "answer", status: 404, body: errorXml("NoSuchKey") }],
      ["comes shorter than it was shown", { kind: "answer", status: 200, body: "short" }],
    ])("not when the object %s", async (_name, fault) => {
      const work = await bench();
      const bundle = await work.publish();
      proxy.decide = ({ operation }) => {
        if (operation === "get") return fault;
        // An ETag that proves nothing, and no name on it: only reading can tell.
        if (operation === "head")
          return { kind: "headers", change: { etag: '"x"', "x-amz-meta-cdh-sha256": undefined } };
        return PASS;
      };
      expect((await sweepOne(work)).code).toBe("CDH_STORE_MISMATCH");
      expect(await inQuarantine(work)).toEqual([]);
      proxy.decide = () => PASS;
      expect(await sweepOne(work)).toMatchObject({ status: "uploaded", alreadyThere: true });
      await expectStored(s3, s3.bucket, bundle);
    });

    it("but it is one when other bytes were seen there", async () => {
      const work = await bench();
      const bundle = await work.publish();
      const other = await bench();
      await other.publish({ name: bundle.name });
      expect((await sweepOne(work)).status).toBe("uploaded");
      const row = await sweepOne(other);
      expect(row.code).toBe("CDH_STORE_CONFLICT");
    });
  });

  describe("a bucket in another region", () => {
    const redirects: [string, () => Fault][] = [
      [
        "301 with the region in a header",
        () => ({
          kind: "answer",
          status: 301,
          body: errorXml("PermanentRedirect"),
          headers: { "x-amz-bucket-region": REGION },
        }),
      ],
      [
        "307 with the region in a header",
        () => ({
          kind: "answer",
          status: 307,
          body: errorXml("TemporaryRedirect"),
          headers: { "x-amz-bucket-region": REGION },
        }),
      ],
      [
        "400 with the region in the body",
        () => ({
          kind: "answer",
          status: 400,
          body: errorXml("AuthorizationHeaderMalformed").replace("</Code>", `</Code><Region>${REGION}</Region>`),
        }),
      ],
    ];
    const isElsewhere = ({ headers }: ProxiedRequest): boolean =>
      !(headers.authorization ?? "").includes(`/${REGION}/s3/`);

    it.each(redirects)("is found by a %s, and gets every byte at once", async (_name, redirect) => {
      // One after the other: s3rver, where it stands in, cannot list while it stores.
      const work = await bench({ UPLOAD_CONCURRENCY: "1" });
      const small = await work.publish();
      const large = await work.publish(LARGE);
      proxy.decide = (seen) => (isElsewhere(seen) ? redirect() : PASS);
      const started = performance.now();
      const { exitCode, stderr } = await work.sweep();
      expect(exitCode, stderr).toBe(0);
      // No request waited for a body that was sent already: STORE_TIMEOUT is 5 s.
      expect(performance.now() - started).toBeLessThan(60_000);
      expect(logLines(stderr)).toContainEqual(expect.objectContaining({ level: "warn", region: REGION }));
      await expectStored(s3, s3.bucket, small);
      await expectStored(s3, s3.bucket, large);
    });

    it("is found while one bundle is sent, by the very request that carries it", async () => {
      const work = await bench();
      const bundle = await work.publish({ coreBytes: 3 * 1024 ** 2 });
      let redirected = 0;
      proxy.decide = (seen) => {
        if (seen.operation !== "put" || !isElsewhere(seen)) return PASS;
        redirected += 1;
        return (redirects[0] as (typeof redirects)[0])[1]();
      };
      const { exitCode, stderr } = await work.sweep();
      expect(exitCode, stderr).toBe(0);
      expect(redirected).toBe(1);
      await expectStored(s3, s3.bucket, bundle);
    });

    it("is named by `check` and `run` alike when its endpoint does not take it there", async () => {
      const work = await bench();
      await work.publish();
      proxy.decide = () => (redirects[0] as (typeof redirects)[0])[1]();
      const row = await sweepOne(work);
      expect(row).toMatchObject({ status: "failed", code: "CDH_STORE" });
      expect(row.reason).toContain(REGION);
      const check = await runBuilt("cdh-upload", ["check"], { env: work.env });
      expect(check.exitCode).not.toBe(0);
      expect(check.stdout + check.stderr).toContain(`the bucket is in the region ${REGION}`);
    });
  });

  it("keeps the parts of an upload whose body was too slow for the store (400 RequestTimeout)", async () => {
    const work = await bench();
    const bundle = await work.publish(LARGE);
    let slow = 0;
    const first = proxy.seen.length;
    proxy.decide = ({ operation, query }) => {
      if (operation !== "part" || query.get("partNumber") !== "2" || slow >= 2) return PASS;
      slow += 1;
      return { kind: "answer", status: 400, body: errorXml("RequestTimeout") };
    };
    expect((await sweepOne(work)).status).toBe("uploaded");
    const mine = proxy.seen.slice(first).map(({ operation }) => operation);
    expect(mine.filter((operation) => operation === "create")).toHaveLength(1);
    expect(mine.filter((operation) => operation === "part")).toHaveLength(5);
    expect(mine).not.toContain("abort");
    await expectStored(s3, s3.bucket, bundle);
  });
});
