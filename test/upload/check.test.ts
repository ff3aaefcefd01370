import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { notBuilt, runBuilt } from "../helpers/built.ts";
import { listKeys } from "../helpers/s3-request.ts";
import { chooseS3, startS3Server, type S3Server } from "../helpers/s3-server.ts";
import { describeUnless } from "../helpers/skip.ts";
import { errorXml, startFaultProxy, type FaultProxy, type Operation } from "./fault-proxy.ts";
import { expectNoUploads, makeWorkbench, type Workbench } from "./workbench.ts";

interface Step {
  step: string;
  result: string;
  right?: string;
  detail: string;
}

/** Of several parts, so that every way of an upload is gone. */
const LARGE = { coreBytes: 12_000_000 };
const DENIED = { kind: "answer", status: 403, body: errorXml("AccessDenied") } as const;

describeUnless(notBuilt("cdh-upload"), "cdh-upload check", () => {
  const open: AsyncDisposable[] = [];
  afterEach(async () => {
    for (const each of open.splice(0)) await each[Symbol.asyncDispose]();
  });

  async function bench(env: Record<string, string>): Promise<Workbench> {
    const made = await makeWorkbench(env);
    open.push(made);
    return made;
  }

  async function check(work: Workbench): Promise<{ exitCode: number | null; steps: Step[]; shown: string }> {
    const { exitCode, stdout, stderr } = await runBuilt("cdh-upload", ["check", "-o", "json"], { env: work.env });
    const steps = stdout === "" ? [] : (JSON.parse(stdout) as { steps: Step[] }).steps;
    return { exitCode, steps, shown: stdout + stderr };
  }

  const resultsOf = (steps: readonly Step[]): string[] => steps.map(({ step, result }) => `${step}: ${result}`);

  it("proves a directory, and leaves nothing behind", async () => {
    const directory = mkdtempSync(join(tmpdir(), "cdh-check-"));
    try {
      const work = await bench({ STORE_URL: `file://${directory}` });
      const { exitCode, steps, shown } = await check(work);
      expect(exitCode, shown).toBe(0);
      expect(resultsOf(steps)).toEqual(
        ["write", "look up", "read back", "keep", "write in parts", "list", "delete"].map((step) => `${step}: ok`),
      );
      const left = readdirSync(directory, { recursive: true, encoding: "utf8" });
      expect(left.filter((name) => name.includes("check"))).toEqual([]);
      expect(await work.spool()).toEqual([]);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });

  describeUnless(chooseS3("minio").standIn, "of a bucket", () => {
    let s3: S3Server;
    let proxy: FaultProxy;
    beforeAll(async () => {
      s3 = await startS3Server({ kind: "minio" });
      proxy = await startFaultProxy(s3.endpoint);
    });
    afterEach(() => {
      proxy.decide = () => ({ kind: "pass" });
      proxy.seen.splice(0);
    });
    afterAll(async () => {
      await proxy[Symbol.asyncDispose]();
      await s3[Symbol.asyncDispose]();
    });

    it("goes each way that an upload goes, names the right that each needs, and leaves nothing behind", async () => {
      const work = await bench({ ...s3.env, S3_ENDPOINT: proxy.endpoint, STORE_URL: `s3://${s3.bucket}/probe` });
      const { exitCode, steps, shown } = await check(work);
      expect(exitCode, shown).toBe(0);
      expect(steps.map(({ step, result, right }) => [step, result, right])).toEqual([
        ["write", "ok", "s3:PutObject"],
        ["look up", "ok", "s3:GetObject"],
        ["read back", "ok", "s3:GetObject"],
        ["keep", "ok", "s3:PutObject"],
        ["write in parts", "ok", "s3:PutObject s3:GetObject"],
        ["list", "ok", "s3:ListBucket"],
        ["list uploads", "ok", "s3:ListBucketMultipartUploads"],
        ["list parts", "ok", "s3:ListMultipartUploadParts"],
        ["abort upload", "ok", "s3:AbortMultipartUpload"],
        ["delete", "ok", "s3:DeleteObject"],
      ]);
      const done = new Set(proxy.seen.map(({ operation }) => operation));
      for (const operation of ["put", "create", "part", "complete", "head", "get", "listUploads", "listParts"])
        expect(done).toContain(operation);
      expect([...(await listKeys(s3, s3.bucket, "probe/")).keys()]).toEqual([]);
      const large = proxy.seen.find(({ operation }) => operation === "create")?.path.replace(`/${s3.bucket}/`, "");
      await expectNoUploads(s3, s3.bucket, large ?? "none was begun");
    });

    const cases: { denied: Operation[]; right: string; needed: boolean }[] = [
      { denied: ["put"], right: "s3:PutObject", needed: true },
      { denied: ["create"], right: "s3:PutObject", needed: true },
      { denied: ["part"], right: "s3:PutObject", needed: true },
      { denied: ["complete"], right: "s3:PutObject", needed: true },
      { denied: ["head", "get"], right: "s3:GetObject", needed: true },
      { denied: ["list"], right: "s3:ListBucket", needed: false },
      { denied: ["listUploads"], right: "s3:ListBucketMultipartUploads", needed: false },
      { denied: ["listParts"], right: "s3:ListMultipartUploadParts", needed: false },
      { denied: ["abort"], right: "s3:AbortMultipartUpload", needed: false },
      { denied: ["delete"], right: "s3:DeleteObject", needed: false },
    ];

    describe.each(cases)("where $denied is denied", ({ denied, right, needed }) => {
      it("says what the uploader then does, and names the right", async () => {
        const work = await bench({ ...s3.env, S3_ENDPOINT: proxy.endpoint });
        await work.publish(LARGE);
        proxy.decide = ({ operation }) => (denied.includes(operation) ? DENIED : { kind: "pass" });
        const { exitCode, steps, shown } = await check(work);
        const swept = await work.sweep();
        // The same verdict.
        expect([exitCode, swept.exitCode], shown + swept.stdout).toEqual(needed ? [15, expect.any(Number)] : [0, 0]);
        expect(swept.exitCode === 0, swept.stdout).toBe(!needed);
        const told = steps.filter(({ result }) => result === (needed ? "failed" : "missing"));
        expect(told.map((step) => step.right).join(" "), shown).toContain(right);
        if (!needed) expect(told).toMatchObject([{ detail: expect.stringContaining("without it") as string }]);
        if (needed) return;
        const table = await runBuilt("cdh-upload", ["check"], { env: work.env });
        expect(table.stdout).toContain(`can be used; a right is missing: ${right}`);
      });
    });

    it("fails where the store replaces what lies there", async () => {
      const work = await bench({ ...s3.env, S3_ENDPOINT: proxy.endpoint });
      // A store that shows nothing and knows no condition: the second write takes the place of the first.
      let written = "";
      proxy.decide = ({ operation, path, headers }) => {
        if (operation === "put" && written === "") written = path;
        if (operation === "head" && path === written) return { kind: "answer", status: 404 };
        if (headers["if-none-match"] === undefined) return { kind: "pass" };
        return { kind: "answer", status: 501, body: errorXml("NotImplemented") };
      };
      const { exitCode, steps, shown } = await check(work);
      expect(exitCode, shown).not.toBe(0);
      expect(resultsOf(steps), shown).toContain("keep: failed");
    });
  });
});
