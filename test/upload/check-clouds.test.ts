import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { startAzurite } from "../helpers/azurite.ts";
import { notBuilt, runBuilt } from "../helpers/built.ts";
import { startFakeGcs } from "../helpers/fake-gcs.ts";
import { freePort } from "../helpers/free-port.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { startFaultProxy, type Fault, type FaultProxy, type Operation } from "./fault-proxy.ts";
import { makeWorkbench } from "./workbench.ts";

interface Step {
  step: string;
  result: string;
  right?: string;
  detail: string;
  hint?: string;
}

interface Cloud extends AsyncDisposable {
  proxy: FaultProxy;
  env: Record<string, string>;
}

const DENIED = {
  azure: {
    kind: "answer",
    status: 403,
    body: "<?xml version='1.0'?><Error><Code>AuthorizationPermissionMismatch</Code><Message>no</Message></Error>",
    headers: { "content-type": "application/xml", "x-ms-error-code": "AuthorizationPermissionMismatch" },
  },
  google: json(403, { error: { code: 403, message: "no", errors: [{ reason: "forbidden" }] } }),
} as const satisfies Record<string, Fault>;

function json(status: number, value: object): Fault {
  return { kind: "answer", status, body: JSON.stringify(value), headers: { "content-type": "application/json" } };
}

async function startAzure(): Promise<Cloud> {
  const azurite = await startAzurite();
  const proxy = await startFaultProxy(azurite.endpoint);
  const dispose = async (): Promise<void> => {
    await proxy[Symbol.asyncDispose]();
    await azurite[Symbol.asyncDispose]();
  };
  const env = { ...azurite.env, AZURE_STORAGE_ENDPOINT: `${proxy.endpoint}/${azurite.account}` };
  return { proxy, env, [Symbol.asyncDispose]: dispose };
}

async function startGoogle(): Promise<Cloud> {
  // The address of an upload is in the service's answer: it must lead through the proxy too.
  const port = await freePort();
  const gcs = await startFakeGcs({ publicUrl: `http://127.0.0.1:${port}` });
  const proxy = await startFaultProxy(gcs.endpoint, port);
  const dispose = async (): Promise<void> => {
    await proxy[Symbol.asyncDispose]();
    await gcs[Symbol.asyncDispose]();
  };
  return { proxy, env: { ...gcs.env, STORAGE_EMULATOR_HOST: proxy.endpoint }, [Symbol.asyncDispose]: dispose };
}

/** Run the check. @returns its steps, and what the table says below them */
async function check(env: Record<string, string>): Promise<{ exitCode: number | null; steps: Step[]; told: string }> {
  await using work = await makeWorkbench({ ...env, STORE_TIMEOUT: "5s" });
  const { exitCode, stdout, stderr } = await runBuilt("cdh-upload", ["check", "-o", "json"], { env: work.env });
  expect(stdout, stderr).not.toBe("");
  const table = await runBuilt("cdh-upload", ["check"], { env: work.env });
  return { exitCode, steps: (JSON.parse(stdout) as { steps: Step[] }).steps, told: table.stdout + table.stderr };
}

const missing = notBuilt("cdh-upload") ?? missingTools("azurite", "fake-gcs-server");

describeUnless(missing, "cdh-upload check of a cloud", () => {
  let clouds: Record<keyof typeof DENIED, Cloud>;
  beforeAll(async () => {
    clouds = { azure: await startAzure(), google: await startGoogle() };
  });
  afterEach(() => {
    for (const { proxy } of Object.values(clouds)) proxy.decide = () => ({ kind: "pass" });
  });
  afterAll(async () => {
    for (const cloud of Object.values(clouds)) await cloud[Symbol.asyncDispose]();
  });

  const roles = { azure: '"Storage Blob Data Contributor" on the container', google: "(roles/storage.objectUser)" };
  const cases: [cloud: keyof typeof DENIED, denied: Operation[], right: string, needed: boolean][] = [
    ["azure", ["part"], "blobs/write", true],
    ["azure", ["complete"], "blobs/write", true],
    ["azure", ["get"], "blobs/read", true],
    ["azure", ["list"], "blobs/read", false],
    ["azure", ["delete"], "blobs/delete", false],
    ["google", ["put"], "storage.objects.create", true],
    ["google", ["create"], "storage.objects.create", true],
    ["google", ["get"], "storage.objects.get", true],
    ["google", ["list"], "storage.objects.list", false],
    ["google", ["delete"], "storage.objects.delete", false],
  ];
  it.each(cases)(
    "of %s where %j is denied names %s, and the role that holds it",
    async (name, denied, right, needed) => {
      const { proxy, env } = clouds[name];
      proxy.decide = ({ operation }) => (denied.includes(operation) ? DENIED[name] : { kind: "pass" });
      const { exitCode, steps, told } = await check(env);
      expect(exitCode, told).toBe(needed ? 15 : 0);
      const lacking = steps.filter(({ result }) => result === (needed ? "failed" : "missing"));
      expect(lacking.map((step) => step.right).join(" "), told).toContain(right);
      expect(told.split("\n").find((line) => line.startsWith("hint: "))).toContain(roles[name]);
    },
  );

  const forBucket =
    (answer: Fault): FaultProxy["decide"] =>
    ({ path, method }) =>
      method === "GET" && path === "/storage/v1/b/cores" ? answer : { kind: "pass" };

  it("of google fails before anything is written, where ACLs may let others read", async () => {
    const { proxy, env } = clouds.google;
    const sent: string[] = [];
    proxy.decide = (request) => {
      if (request.method !== "GET") sent.push(request.path);
      return forBucket(uniform(false))(request);
    };
    const { exitCode, steps, told } = await check(env);
    expect(exitCode, told).toBe(15);
    expect(steps.map(({ step, result }) => [step, result])).toEqual([["write", "failed"]]);
    expect(told).toContain("uniform access is off");
    expect(told).toMatch(/^hint: .*buckets update gs:\/\/cores --uniform-bucket-level-access; or say GCS_ACLS=allow$/m);
    expect(sent).toEqual([]);
  });

  it("of google: bundles wait while ACLs may let others read, and go once they cannot", async () => {
    const { proxy, env } = clouds.google;
    proxy.decide = forBucket(uniform(false));
    await using work = await makeWorkbench({ ...env, STORE_TIMEOUT: "5s" });
    await work.publish();
    const refused = await work.sweep();
    expect(refused.exitCode, refused.stderr).toBe(15);
    expect(refused.stdout + refused.stderr).toContain("uniform access is off");
    expect(await work.spool()).toHaveLength(1);
    proxy.decide = forBucket(uniform(true));
    const sent = await work.sweep();
    expect(sent.exitCode, sent.stderr).toBe(0);
    expect(await work.spool()).toEqual([]);
  });

  const uniform = (enabled: boolean, more: object = {}): Fault =>
    json(200, {
      iamConfiguration: { uniformBucketLevelAccess: { enabled }, publicAccessPrevention: "inherited" },
      ...more,
    });
  const kept = (more: object): Fault => uniform(true, more);
  it.each<[what: string, answer: Fault, result: string, detail: string]>([
    ["on", uniform(true), "ok", "IAM alone says who may read"],
    [
      "on, and soft delete",
      kept({ softDeletePolicy: { retentionDurationSeconds: "604800" } }),
      "ok",
      "7d 0h more (soft delete)",
    ],
    ["on, and retention", kept({ retentionPolicy: { retentionPeriod: "7200" } }), "ok", "deleted for 2h 0m"],
    ["off", uniform(false), "warning", "uniform access is off"],
    ["not to be seen", DENIED.google, "skipped", "not known whether access is uniform"],
    ["not said", { kind: "pass" }, "skipped", "the answer does not say"],
  ])("of google tells that uniform access is %s; it fails nothing", async (_what, answer, result, detail) => {
    const { proxy, env } = clouds.google;
    proxy.decide = forBucket(answer);
    const { exitCode, steps, told } = await check({ ...env, GCS_ACLS: result === "warning" ? "allow" : "refuse" });
    expect(exitCode, told).toBe(0);
    const access = steps.find(({ step }) => step === "access");
    expect(access).toMatchObject({ result, right: "storage.buckets.get" });
    expect(access?.detail).toContain(detail);
    expect(told.includes("warning: "), told).toBe(result === "warning");
    expect(told.includes("buckets update gs://cores --uniform-bucket-level-access")).toBe(result === "warning");
    expect(steps.filter((step) => step !== access).map((step) => step.result)).not.toContain("warning");
  });
});
