import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { notBuilt, runBuilt } from "../helpers/built.ts";
import { startFakeGcs, type FakeGcs } from "../helpers/fake-gcs.ts";
import { freePort } from "../helpers/free-port.ts";
import { describeUnless } from "../helpers/skip.ts";
import { findTool } from "../helpers/tools.ts";
import type { MadeBundle } from "./bundles.ts";
import { PASS, useFaultBenches } from "./fault-bench.ts";
import { startFaultProxy, type Fault, type FaultProxy, type Operation } from "./fault-proxy.ts";

const LARGE = { coreBytes: 6 * 1024 ** 2 };

/** Google's way to say that something went wrong. */
function answerOf(status: number, reason: string, message = reason): Fault {
  const body = JSON.stringify({ error: { code: status, message, errors: [{ reason, message }] } });
  return { kind: "answer", status, body, headers: { "content-type": "application/json" } };
}

describeUnless(
  notBuilt("cdh-upload") ?? findTool("fake-gcs-server").reason,
  "cdh-upload to Google Cloud Storage through a proxy that fails",
  () => {
    let gcs: FakeGcs;
    let proxy: FaultProxy;

    beforeAll(async () => {
      // The address of an upload is in the service's answer: it must lead through the proxy too.
      const port = await freePort();
      gcs = await startFakeGcs({ publicUrl: `http://127.0.0.1:${port}` });
      proxy = await startFaultProxy(gcs.endpoint, port);
    });
    afterAll(async () => {
      await proxy[Symbol.asyncDispose]();
      await gcs[Symbol.asyncDispose]();
    });

    const { bench, failFirst } = useFaultBenches(() => ({
      proxy,
      env: {
        ...gcs.env,
        STORAGE_EMULATOR_HOST: proxy.endpoint,
      },
    }));

    /** Read an object with other eyes than the program's. */
    async function read(name: string): Promise<Buffer | undefined> {
      const answer = await fetch(`${gcs.endpoint}/storage/v1/b/${gcs.bucket}/o/${encodeURIComponent(name)}?alt=media`);
      return answer.status === 404 ? undefined : Buffer.from(await answer.arrayBuffer());
    }

    async function expectStored(bundle: MadeBundle & { sha256: string }): Promise<void> {
      const body = await read(`_host/${bundle.name}.zip`);
      expect(
        createHash("sha256")
          .update(body ?? "")
          .digest("hex"),
      ).toBe(bundle.sha256);
      expect(await read(`_host/${bundle.name}.manifest.json`)).toBeDefined();
    }

    describe("when the connection is cut", () => {
      const cases: [Operation, Fault, { coreBytes?: number }][] = [
        ["head", { kind: "cutBefore" }, {}],
        ["put", { kind: "cutBefore" }, {}],
        ["put", { kind: "cutAfter" }, {}],
        ["create", { kind: "cutBefore" }, {}],
        ["create", { kind: "cutAfter" }, LARGE],
        ["part", { kind: "cutBefore" }, LARGE],
        ["part", { kind: "cutInBody", afterBytes: 2_000_000 }, LARGE],
        ["part", { kind: "cutAfter" }, LARGE],
      ];
      it.each(cases)("at %s: %o", async (operation, fault, spec) => {
        const work = await bench();
        const bundle = await work.publish(spec);
        const happened = failFirst(operation, 1, fault);
        const result = await work.sweep();
        expect(happened()).toBe(1);
        expect(result.exitCode, result.stdout + result.stderr).toBe(0);
        await expectStored(bundle);
        expect(await work.spool()).toEqual([]);
      });
    });

    it.each([
      ["503", answerOf(503, "backendError")],
      ["429", answerOf(429, "rateLimitExceeded")],
      ["a forgotten upload", answerOf(410, "gone")],
      ["damage on the way", answerOf(400, "invalid", "Provided MD5 hash does not match calculated MD5 hash.")],
      ["nothing", { kind: "silence" } as const],
    ])("is answered with %s: the object is sent again", async (_name, fault) => {
      const work = await bench({ STORE_TIMEOUT: "2s" });
      const bundle = await work.publish(LARGE);
      const happened = failFirst("part", 1, fault);
      const result = await work.sweep();
      expect(happened()).toBe(1);
      expect(result.exitCode, result.stdout + result.stderr).toBe(0);
      await expectStored(bundle);
    });

    it("goes on where the service stopped", async () => {
      const work = await bench();
      const bundle = await work.publish(LARGE);
      // The service says that it has the first MiB of what was cut off.
      const MIB = 1024 ** 2;
      const sent: string[] = [];
      proxy.decide = (seen) => {
        if (seen.operation !== "part") return PASS;
        sent.push(String(seen.headers["content-range"]));
        if (sent.length === 1) return { kind: "cutInBody", afterBytes: 2 * MIB };
        if (sent.length === 2) return { kind: "answer", status: 308, headers: { range: `bytes=0-${MIB - 1}` } };
        return { kind: "answer", status: 503 };
      };
      await work.sweep();
      expect(sent[1]).toMatch(/^bytes \*\/\d+$/);
      expect(sent[2]).toMatch(new RegExp(`^bytes ${MIB}-`));
      expect(await work.spool()).toEqual([bundle.fileName]);
    });

    it.each([
      ["forbidden", 403, "Storage Object User"],
      ["authError", 401, "clock"],
      ["insufficientPermissions", 403, "access scopes"],
      ["notFound", 404, "create the bucket", "The specified bucket does not exist."],
      ["forbidden", 403, "--authorize-cmek", "Permission denied on Cloud KMS key. Please ensure that …"],
    ])(
      "%s (%i, %s) never counts against the bundle, and says what to do",
      async (reason, status, hint, message = reason) => {
        const work = await bench();
        const bundle = await work.publish();
        proxy.decide = () => answerOf(status, reason, message);
        for (let turn = 0; turn < 4; turn += 1) {
          const result = await work.sweep();
          expect(result.exitCode).not.toBe(0);
          expect(result.stdout + result.stderr).toContain(hint);
        }
        expect(await work.spool()).toEqual([bundle.fileName]);
      },
    );

    it("never replaces other content", async () => {
      const work = await bench();
      const bundle = await work.publish();
      const name = `_host/${bundle.name}.zip`;
      const made = await fetch(
        `${gcs.endpoint}/upload/storage/v1/b/${gcs.bucket}/o?uploadType=media&name=${encodeURIComponent(name)}`,
        { method: "POST", body: "somebody else's" },
      );
      expect(made.status).toBe(200);
      const result = await work.sweep();
      expect(result.exitCode).not.toBe(0);
      expect(result.stdout + result.stderr).toContain("other content lies there");
      expect(String(await read(name))).toBe("somebody else's");
    });

    it.each([
      ["a retention policy", "retentionPolicyNotMet", "once its time is over"],
      ["a hold", "objectUnderActiveHold", "once the hold is taken off"],
    ])("%s is told as what it is", async (_what, reason, words) => {
      const work = await bench();
      const bundle = await work.publish();
      // Damaged, with our own hash: it would be replaced, were it not protected.
      const name = `_host/${bundle.name}.zip`;
      const made = await fetch(
        `${gcs.endpoint}/upload/storage/v1/b/${gcs.bucket}/o?uploadType=media&name=${encodeURIComponent(name)}`,
        { method: "POST", body: "damaged", headers: { "x-goog-meta-cdh-sha256": bundle.sha256 } },
      );
      expect(made.status).toBe(200);
      proxy.decide = (seen) => (["create", "put"].includes(seen.operation) ? answerOf(403, reason) : PASS);
      const refused = await work.sweep();
      expect(refused.exitCode).not.toBe(0);
      expect(refused.stdout + refused.stderr).toContain(words);
      expect(await work.spool()).toEqual([bundle.fileName]);
    });

    it("is read by cdh-inspect by ranges, and checked by cdh-upload check", async () => {
      const work = await bench();
      const bundle = await work.publish(LARGE);
      expect((await work.sweep()).exitCode).toBe(0);
      const { env } = work;
      const checked = await runBuilt("cdh-upload", ["check"], { env });
      expect(checked.exitCode, checked.stdout + checked.stderr).toBe(0);
      const listed = await runBuilt("cdh-inspect", ["ls", `gs://${gcs.bucket}`, "-o", "json"], { env });
      expect(listed.stdout).toContain(bundle.name);
      const before = proxy.seen.length;
      const shown = await runBuilt("cdh-inspect", ["show", `gs://${gcs.bucket}/_host/${bundle.name}.zip`], { env });
      expect(shown.exitCode, shown.stderr).toBe(0);
      expect(proxy.seen.length - before).toBeLessThanOrEqual(8);
    });

    it.each([
      [{ STORE_URL: "gs://Cores" }, "no bucket's name"],
      [{ STORE_URL: "gs:///x" }, "not gs://bucket/prefix"],
      [{ GCS_ENDPOINT: "http://[" }, "not an address"],
      [{ STORAGE_EMULATOR_HOST: "", GOOGLE_APPLICATION_CREDENTIALS: "/no/such/file" }, "CDH_STORE_DENIED"],
    ])("refuses %o before anything is lost", async (more, words) => {
      const work = await bench(more);
      const bundle = await work.publish();
      const result = await work.sweep();
      expect(result.exitCode).not.toBe(0);
      expect(result.stdout + result.stderr).toContain(words);
      expect(await work.spool()).toEqual([bundle.fileName]);
    });
  },
);
