import { createHash, randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readdir, rm, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { notBuilt } from "../helpers/built.ts";
import { freePort } from "../helpers/free-port.ts";
import { listKeys } from "../helpers/s3-request.ts";
import { chooseS3, startS3Server, type S3Server } from "../helpers/s3-server.ts";
import { describeUnless } from "../helpers/skip.ts";
import { errorXml, startFaultProxy, type FaultProxy } from "./fault-proxy.ts";
import { expectSoon, logLines, makeWorkbench, type Workbench } from "./workbench.ts";

const open: AsyncDisposable[] = [];

afterEach(async () => {
  for (const each of open.splice(0).toReversed()) await each[Symbol.asyncDispose]();
});

/** Put a packed file into the spool, as a composer leaves it. @returns its build-id */
async function pack(coreDir: string, namespace: string | undefined, ageMs = 0): Promise<string> {
  const buildId = randomBytes(20).toString("hex");
  const folder = join(coreDir, "binaries");
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const body = randomBytes(100);
  const sha256 = createHash("sha256").update(body).digest("hex");
  const facts = { sizeBytes: 100, storedBytes: 100, sha256, name: "app", hasCode: true, namespace };
  await writeFile(join(folder, `${buildId}.executable.json`), JSON.stringify(facts), { mode: 0o600 });
  const packed = join(folder, `${buildId}.executable.zst`);
  await writeFile(packed, body, { mode: 0o600 });
  const at = (Date.now() - ageMs) / 1000;
  await utimes(packed, at, at);
  return buildId;
}

/** Build-ids that wait. */
async function waiting(coreDir: string): Promise<string[]> {
  const names = await readdir(join(coreDir, "binaries"));
  return names.filter((name) => name.endsWith(".zst")).map((name) => name.split(".")[0] ?? "");
}

const isStored = (store: string, buildId: string): boolean =>
  existsSync(join(store, "debug", buildId, "executable.zst"));

describeUnless(notBuilt("cdh-upload"), "files of programs, with rules of stores", () => {
  async function bench(): Promise<{ work: Workbench; store: string; a: string; metrics: () => Promise<string> }> {
    const work = await makeWorkbench({});
    open.push(work);
    const [store, a] = [join(work.directory, "store"), join(work.directory, "a")];
    const port = await freePort();
    const rules = join(work.directory, "rules.json");
    Object.assign(work.env, { STORE_URL: `file://${store}`, STORE_RULES: rules, INTERVAL: "1000" });
    Object.assign(work.env, { METRICS_ADDR: `127.0.0.1:${port}`, KUBERNETES_EVENTS: "false" });
    await writeFile(rules, JSON.stringify({ rules: [{ name: "a", namespaces: ["team-a"], store: `file://${a}` }] }));
    await writeFile(a, "a file where the store should be");
    const metrics = async (): Promise<string> => await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    return { work, store, a, metrics };
  }

  it("a store in trouble holds up its own alone, its bundles too, and all is sent once it is well", async () => {
    const { work, store, a, metrics } = await bench();
    await work.publish({
      namespace: "team-a",
      pod: "web",
      coreBytes: 1000,
      manifest: { identity: { source: "cgroup", verified: true } },
    });
    const stuck = [await pack(work.coreDir, "team-a", 2 * 3600e3), await pack(work.coreDir, "team-a")];
    const others = [await pack(work.coreDir, "team-b"), await pack(work.coreDir, undefined)];
    const child = work.run();
    await expectSoon("the others are stored", () => others.every((id) => isStored(store, id)), { child });
    await expectSoon("they are gone", async () => (await waiting(work.coreDir)).length === stuck.length, { child });
    expect((await waiting(work.coreDir)).toSorted()).toEqual(stuck.toSorted());
    await rm(a);
    await expectSoon("they are stored", () => stuck.every((id) => isStored(a, id)), { child });
    await expectSoon(
      "they are counted",
      async () => (await metrics()).includes('program_files_total{outcome="stored"} 4'),
      {
        child,
      },
    );
    await expectSoon("nothing waits", async () => (await waiting(work.coreDir)).length === 0, { child });
  });

  it("a file that cannot be stored is tried behind the others", async () => {
    const { work, store } = await bench();
    const first = await pack(work.coreDir, "other", 3600e3);
    await mkdir(join(store, "debug"), { recursive: true });
    // Where its folder should be.
    await writeFile(join(store, "debug", first), "");
    const others = await Promise.all(Array.from({ length: 8 }, () => pack(work.coreDir, "other")));
    const child = work.run();
    await expectSoon("the others are stored", () => others.every((id) => isStored(store, id)), { child });
    await rm(join(store, "debug", first));
    await expectSoon("it is stored too", () => isStored(store, first), { child });
  });

  it("a sweep sends what it can", async () => {
    const { work, store } = await bench();
    const stuck = await pack(work.coreDir, "team-a", 3600e3);
    const other = await pack(work.coreDir, "team-b");
    await work.sweep();
    expect(isStored(store, other)).toBe(true);
    expect(await waiting(work.coreDir)).toEqual([stuck]);
  });
});

describeUnless(notBuilt("cdh-upload") ?? chooseS3("minio").standIn, "files of programs in S3", () => {
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
  const bench = async (): Promise<Workbench> => {
    const work = await makeWorkbench({ ...s3.env, S3_ENDPOINT: proxy.endpoint, KUBERNETES_EVENTS: "false" });
    open.push(work);
    return work;
  };

  it("are stored with the rights to put and get alone: HEAD of what is missing is denied", async () => {
    const work = await bench();
    const buildId = await pack(work.coreDir, undefined);
    let isPut = false;
    proxy.decide = ({ operation }) => {
      if (operation === "put") isPut = true;
      const isDenied = operation === "list" || (operation === "head" && !isPut);
      return isDenied ? { kind: "answer", status: 403, body: errorXml("AccessDenied") } : { kind: "pass" };
    };
    const { stderr } = await work.sweep(["--log-level", "info"]);
    expect([...(await listKeys(s3, s3.bucket, `debug/${buildId}`)).keys()], stderr).toEqual([
      `debug/${buildId}/executable.zst`,
    ]);
    expect(await waiting(work.coreDir)).toEqual([]);
  });

  it("where debug/ is closed, bundles go on", async () => {
    const work = await bench();
    const buildId = await pack(work.coreDir, undefined);
    proxy.decide = ({ path }) =>
      path.includes("/debug/") ? { kind: "answer", status: 403, body: errorXml("AccessDenied") } : { kind: "pass" };
    const child = work.run({ INTERVAL: "1000" });
    await expectSoon("it is told", () => child.output().includes("files of programs are not sent"), { child });
    await work.publish({ coreBytes: 1000 });
    await expectSoon("the bundle is sent", () => child.output().includes('"msg":"uploaded"'), { child });
    expect(await waiting(work.coreDir)).toEqual([buildId]);
    proxy.decide = () => ({ kind: "pass" });
    await expectSoon("it is sent", async () => (await waiting(work.coreDir)).length === 0, { child });
  });

  it("what the store refuses is given up, and told", async () => {
    const work = await bench();
    const refused = await pack(work.coreDir, undefined, 3600e3);
    const other = await pack(work.coreDir, undefined);
    proxy.decide = ({ path, operation }) =>
      operation === "put" && path.includes(refused)
        ? { kind: "answer", status: 400, body: errorXml("EntityTooLarge") }
        : { kind: "pass" };
    const { stderr } = await work.sweep(["--log-level", "info"]);
    expect(logLines(stderr)).toContainEqual(
      expect.objectContaining({ msg: "gave up a file of a program", buildId: refused, code: "CDH_STORE_REFUSED" }),
    );
    expect(await waiting(work.coreDir)).toEqual([]);
    expect([...(await listKeys(s3, s3.bucket, `debug/${other}`)).keys()]).toHaveLength(1);
  });
});
