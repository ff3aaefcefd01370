import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeAll, afterAll, describe, expect, it } from "vitest";
import { notBuilt, runBuilt } from "../helpers/built.ts";
import { freePort } from "../helpers/free-port.ts";
import { chooseS3, startS3Server, type S3Server } from "../helpers/s3-server.ts";
import { describeUnless } from "../helpers/skip.ts";
import type { TiedChild } from "../helpers/tied-child.ts";
import type { BundleSpec } from "./bundles.ts";
import { startEventsApi } from "./events-api.ts";
import { startFaultProxy, type FaultProxy } from "./fault-proxy.ts";
import { expectSoon, expectStored, logLines, makeWorkbench, type Workbench } from "./workbench.ts";

const open: AsyncDisposable[] = [];

afterEach(async () => {
  for (const each of open.splice(0).toReversed()) await each[Symbol.asyncDispose]();
});

/** A bundle whose pod the node has proven. */
function proven(namespace: string, more: BundleSpec = {}): BundleSpec {
  const manifest = { identity: { source: "cgroup", verified: true }, ...more.manifest };
  return { namespace, pod: `web-${namespace}`, coreBytes: 1000, ...more, manifest };
}

interface Bench extends Workbench {
  store: string;
  rulesFile: string;
  port: number;
  write(rules: unknown): Promise<void>;
  start(env?: Record<string, string>): TiedChild;
  get(path: string): Promise<string>;
}

async function bench(rules: unknown, env: Record<string, string> = {}): Promise<Bench> {
  const made = await makeWorkbench(env);
  open.push(made);
  const store = join(made.directory, "store");
  const rulesFile = join(made.directory, "rules.json");
  const port = await freePort();
  Object.assign(made.env, { STORE_URL: `file://${store}`, STORE_RULES: rulesFile });
  const write = (value: unknown): Promise<void> =>
    writeFile(rulesFile, typeof value === "string" ? value : JSON.stringify(value));
  await write(rules);
  return {
    ...made,
    store,
    rulesFile,
    port,
    write,
    start: (more = {}) => made.run({ METRICS_ADDR: `127.0.0.1:${port}`, INTERVAL: "1000", ...more }),
    get: (path) =>
      fetch(`http://127.0.0.1:${port}${path}`).then(
        async (answer) => `${answer.status} ${await answer.text()}`,
        () => "",
      ),
  };
}

/** The bundles below a directory, as `folder/name.zip`. */
async function zipsIn(directory: string): Promise<string[]> {
  if (!existsSync(directory)) return [];
  const names = await readdir(directory, { recursive: true });
  return names.filter((name) => /(^|\/)[^.][^/]*\.zip$/.test(name)).toSorted();
}

/** Expect a command to end at once because of the rules, with a reason and a hint. */
async function expectRefused(work: Workbench, command: string, said: RegExp): Promise<void> {
  const { exitCode, stdout, stderr } = await runBuilt("cdh-upload", [command], {
    env: { ...work.env, LOG_FORMAT: "text" },
  });
  expect({ exitCode, stdout }, stderr).toEqual({ exitCode: 10, stdout: "" });
  expect(stderr).toMatch(said);
  expect(stderr).toMatch(/^hint: /m);
  expect(stderr).not.toMatch(/^ {4}at /m);
}

/** Write a secret as the kubelet mounts one: all files change in one step. */
async function mountSecret(directory: string, version: number, files: Record<string, string>): Promise<void> {
  const data = join(directory, `..${version}`);
  await mkdir(data, { recursive: true });
  for (const [name, text] of Object.entries(files)) {
    await writeFile(join(data, name), text);
    await symlink(`..data/${name}`, join(directory, name)).catch(() => {});
  }
  await symlink(`..${version}`, join(directory, "..data_tmp"));
  await rename(join(directory, "..data_tmp"), join(directory, "..data"));
}

describeUnless(notBuilt("cdh-upload"), "rules of stores", () => {
  it("send a proven namespace's bundles to its store, the first rule first, and all else to the default", async () => {
    const work = await bench({ rules: [] });
    const [a, b] = [join(work.directory, "a"), join(work.directory, "b")];
    await work.write({
      rules: [
        { name: "a", namespaces: ["team-a"], store: `file://${a}` },
        { name: "b", namespaces: ["team-*", "shop"], store: `file://${b}` },
      ],
    });
    const toA = await work.publish(proven("team-a"));
    const toB = [await work.publish(proven("team-b")), await work.publish(proven("shop"))];
    const rest = [
      await work.publish(proven("teama")),
      // Unproven, restricted by the manifest, by the dump mode, and beside the manifest; of nobody; not readable.
      await work.publish({ namespace: "team-a", coreBytes: 1000 }),
      await work.publish(proven("team-a", { manifest: { identity: { source: "hostname", verified: false } } })),
      await work.publish(proven("team-a", { manifest: { restricted: true } })),
      await work.publish(proven("team-a", { manifest: { process: { pid: 1, dumpMode: 2 } } })),
      await work.publish(proven("team-a", { info: { restricted: "true" } })),
      await work.publish(proven("team-a", { manifest: { schemaVersion: 2, restricted: false } })),
      await work.publish({ coreBytes: 1000 }),
      await work.publish({ namespace: "team-a", manifest: undefined, info: { namespace: "team-a" }, coreBytes: 1000 }),
    ];
    const { exitCode, stderr } = await work.sweep();
    expect(exitCode, stderr).toBe(0);
    expect(await zipsIn(a)).toEqual([`team-a/${toA.fileName}`]);
    const namesIn = async (directory: string): Promise<string[]> =>
      (await zipsIn(directory)).map((name) => name.split("/")[1] ?? "").toSorted();
    expect(await namesIn(b)).toEqual(toB.map(({ fileName }) => fileName).toSorted());
    expect(await namesIn(work.store)).toEqual(rest.map(({ fileName }) => fileName).toSorted());
  });

  it("a store in trouble stops only its own; it is told, and everything is sent once it is well", async () => {
    const work = await bench({ rules: [] });
    const api = await startEventsApi(work.directory);
    open.push(api);
    const a = join(work.directory, "a");
    await work.write({ rules: [{ name: "a", namespaces: ["team-a"], store: `file://${a}` }] });
    await writeFile(a, "a file where the store should be");
    const stuck = await Promise.all([1, 2, 3].map(() => work.publish(proven("team-a"))));
    const child = work.start(api.env);
    await expectSoon("it is in trouble", () => child.output().includes("store of a rule is in trouble"), { child });
    for (let index = 0; index < 5; index += 1) await work.publish(proven(`team-${index}`));
    await expectSoon("the others are stored", async () => (await work.spool()).length === stuck.length, { child });
    expect(await work.get("/readyz")).toBe("200 ok\n");
    const metrics = await work.get("/metrics");
    expect(metrics).toContain("cdh_store_available 1\n");
    expect(metrics).toContain('cdh_store_rule_available{rule="a"} 0\n');
    expect(metrics).toContain('cdh_store_rule_waiting_bundles{rule="a"} 3\n');
    expect(metrics).toMatch(/cdh_store_rule_failures_total\{code="CDH_[A-Z_]+",rule="a"\} [1-9]/);
    const told = logLines(child.output()).find(
      ({ msg }) => msg === "the store of a rule is in trouble; its bundles wait",
    );
    expect(told).toMatchObject({ level: "error", rule: "a" });
    const waits = (): Record<string, unknown>[] =>
      [...api.events.values()].filter(({ reason }) => reason === "CoreDumpWaits");
    await expectSoon("an Event tells", () => waits().length > 0, { child });
    expect(waits()[0]).toMatchObject({
      metadata: { namespace: "team-a" },
      message: expect.stringContaining("waits on the node, because the store of this namespace") as string,
    });
    await rm(a);
    await expectSoon("they are stored", async () => (await zipsIn(a)).length === stuck.length, { child });
    await expectSoon("it is well", async () => (await work.get("/metrics")).includes('rule_available{rule="a"} 1\n'), {
      child,
    });
    const counted = async (): Promise<boolean> =>
      (await work.get("/metrics")).includes('cdh_store_rule_bundles_total{rule="a"} 3\n');
    await expectSoon("they are counted", counted, { child });
  });

  it("the default store in trouble stops no tenant", async () => {
    const work = await bench({ rules: [] });
    const a = join(work.directory, "a");
    await work.write({ rules: [{ name: "a", namespaces: ["team-a"], store: `file://${a}` }] });
    await writeFile(work.store, "a file where the store should be");
    await work.publish(proven("other"));
    const child = work.start();
    await expectSoon("it is in trouble", () => child.output().includes("the default store is in trouble"), { child });
    await work.publish(proven("team-a"));
    await expectSoon("the tenant's is stored", async () => (await zipsIn(a)).length === 1, { child });
    expect(await work.get("/readyz")).toContain("503 ");
  });

  it("a sweep sends what it can, and says what it could not", async () => {
    const work = await bench({ rules: [] });
    const a = join(work.directory, "a");
    await work.write({ rules: [{ name: "a", namespaces: ["team-a"], store: `file://${a}` }] });
    await writeFile(a, "a file where the store should be");
    const stuck = await Promise.all([1, 2, 3, 4].map(() => work.publish(proven("team-a"))));
    const sent = await Promise.all([1, 2, 3, 4].map(() => work.publish(proven("team-b"))));
    const { exitCode, stdout } = await work.sweep();
    const { bundles } = JSON.parse(stdout) as { bundles: { bundle: string; status: string }[] };
    const with_ = (status: string): string[] =>
      bundles
        .filter((row) => row.status === status)
        .map(({ bundle }) => bundle)
        .toSorted();
    expect(exitCode).toBe(15);
    expect(with_("uploaded")).toEqual(sent.map(({ fileName }) => fileName).toSorted());
    expect([...with_("failed"), ...with_("skipped")].toSorted()).toEqual(
      stuck.map(({ fileName }) => fileName).toSorted(),
    );
  });

  it("what waits for a dead store is bounded; the oldest is given up, and told, and no other's", async () => {
    const work = await bench({ rules: [] });
    const api = await startEventsApi(work.directory);
    open.push(api);
    const a = join(work.directory, "a");
    await work.write({
      rules: [{ name: "a", namespaces: ["team-a", "team-c"], store: `file://${a}`, maxWaiting: "35000" }],
    });
    await writeFile(a, "a file where the store should be");
    await writeFile(work.store, "a file where the store should be");
    const other = await work.publish(proven("other", { coreBytes: 60_000 }));
    const quiet = await work.publish(proven("team-c", { coreBytes: 10_000 }));
    const child = work.start(api.env);
    for (let index = 0; index < 5; index += 1) await work.publish(proven("team-a", { coreBytes: 10_000 }));
    await expectSoon("three are left", async () => (await work.spool()).length === 4, { child });
    // Of the namespace that used most; neither its neighbour's in the rule, nor the others'.
    expect(await work.spool()).toEqual(expect.arrayContaining([other.fileName, quiet.fileName]));
    // Each is told and counted once it is gone.
    await expectSoon("three are counted", async () => (await work.get("/metrics")).includes("given_up_total 3\n"), {
      child,
    });
    expect(logLines(child.output())).toContainEqual(
      expect.objectContaining({ level: "error", msg: "gave up a bundle to make room", rule: "a", maxWaiting: 35_000 }),
    );
    const lost = (): boolean => [...api.events.values()].some(({ reason }) => reason === "CoreDumpLost");
    await expectSoon("an Event tells", lost, { child });
  });

  it("with VACUUM_UNSENT what waits for a dead store goes before what others wait for", async () => {
    const work = await bench({ rules: [] });
    const a = join(work.directory, "a");
    await work.write({ rules: [{ name: "a", namespaces: ["team-a"], store: `file://${a}` }] });
    await writeFile(a, "a file where the store should be");
    await writeFile(work.store, "a file where the store should be");
    const other = await work.publish(proven("other", { coreBytes: 60_000 }));
    const child = work.start({ MAX_USE: "80000", VACUUM_UNSENT: "true" });
    await expectSoon("it is in trouble", () => child.output().includes("default store is in trouble"), { child });
    const first = await work.publish(proven("team-a", { coreBytes: 10_000 }));
    await expectSoon("the rule's is too", () => child.output().includes("store of a rule is in trouble"), { child });
    await work.publish(proven("team-a", { coreBytes: 10_000 }));
    await expectSoon("room is made", async () => !(await work.spool()).includes(first.fileName), { child });
    expect(await work.spool()).toContain(other.fileName);
  });

  describe("check", () => {
    it("checks each store, and names the one that fails", async () => {
      const work = await bench({ rules: [] });
      const [a, b] = [join(work.directory, "a"), join(work.directory, "b")];
      await work.write({
        rules: [
          { name: "team-a", namespaces: ["team-a"], store: `file://${a}` },
          { name: "team-b", namespaces: ["team-b"], store: `file://${b}` },
        ],
      });
      const well = await runBuilt("cdh-upload", ["check"], { env: work.env });
      expect(well.exitCode, well.stderr).toBe(0);
      await rm(a, { recursive: true });
      await writeFile(a, "");
      const table = await runBuilt("cdh-upload", ["check"], { env: work.env });
      expect(table.exitCode).toBe(15);
      expect(table.stdout).toMatch(/^team-a +write +failed/m);
      expect(table.stdout).toMatch(/^default +delete +ok/m);
      expect(table.stdout).toMatch(/^team-b +delete +ok/m);
      expect(table.stdout + table.stderr).toContain(`team-a: file://${a} cannot be used`);
      const json = await runBuilt("cdh-upload", ["check", "-o", "json"], { env: work.env });
      const { steps } = JSON.parse(json.stdout) as { steps: { rule: string; result: string }[] };
      expect([...new Set(steps.filter(({ result }) => result === "failed").map(({ rule }) => rule))]).toEqual([
        "team-a",
      ]);
    });

    it("names a secret that is not there; the rest goes on without it", async () => {
      const work = await bench({ rules: [] });
      const secretDir = join(work.directory, "secret");
      await work.write({
        rules: [{ name: "team-a", namespaces: ["team-a"], store: "s3://cores", secretDir }],
      });
      const { exitCode, stdout } = await runBuilt("cdh-upload", ["check", "-o", "json"], { env: work.env });
      expect(exitCode).toBe(15);
      expect(JSON.parse(stdout)).toMatchObject({
        steps: expect.arrayContaining([
          expect.objectContaining({
            rule: "team-a",
            code: "CDH_STORE_DENIED",
            detail: `there are no credentials in ${secretDir}`,
            hint: "put s3AccessKey and s3Secret into the secret that is mounted there",
          }),
        ]) as unknown,
      });
      const child = work.start();
      await work.publish(proven("team-a"));
      await work.publish(proven("team-b"));
      await expectSoon("the other is stored", async () => (await work.spool()).length === 1, { child });
      expect(await zipsIn(work.store)).toHaveLength(1);
    });
  });

  describe("that cannot be used are refused, with a hint, before anything is sent", () => {
    const good = { name: "a", namespaces: ["team-a"], store: "file:///cores" };
    it.each<[what: string, rules: unknown, said: RegExp]>([
      ["no JSON", "{", /rules\.json: .*JSON/],
      ["no list", { rules: {} }, /no list of rules/],
      ["another key beside the list", { rules: [], stores: [] }, /no list of rules/],
      ["an unknown key", { rules: [{ ...good, url: "s3://x" }] }, /rule "a": unknown key "url"/],
      ["no name", { rules: [{ ...good, name: undefined }] }, /rule 1: name must be/],
      ["a name that is none", { rules: [{ ...good, name: "Team A" }] }, /rule "Team A": name must be/],
      [
        "the default's name",
        { rules: [{ ...good, name: "default" }] },
        /default is the name of the store of STORE_URL/,
      ],
      ["a name twice", { rules: [good, { ...good, namespaces: ["b"] }] }, /two rules are named "a"/],
      ["a pattern twice", { rules: [good, { ...good, name: "b" }] }, /the pattern "team-a" stands in two rules/],
      ["no namespaces", { rules: [{ ...good, namespaces: [] }] }, /namespaces must be a list/],
      ["a namespace that is none", { rules: [{ ...good, namespaces: ["_host"] }] }, /"_host" is no namespace's name/],
      ["a regular expression", { rules: [{ ...good, namespaces: ["team-.*"] }] }, /"team-\.\*" is no namespace's name/],
      ["no store", { rules: [{ ...good, store: undefined }] }, /store must be s3:/],
      ["an unknown scheme", { rules: [{ ...good, store: "ftp://x" }] }, /rule "a": STORE_URL "ftp:\/\/x": none of s3/],
      ["a bad bucket", { rules: [{ ...good, store: "s3://-" }] }, /rule "a": "-" is no bucket's name/],
      ["a bad bucket with a secret", { rules: [{ ...good, store: "gs://A", secretDir: "/x" }] }, /no bucket's name/],
      ["a bad container", { rules: [{ ...good, store: "azblob://A", secretDir: "/x" }] }, /no container's name/],
      ["no account", { rules: [{ ...good, store: "azblob://cores" }] }, /rule "a": no storage account is configured/],
      [
        "a secret in clear",
        { rules: [{ ...good, settings: { S3_SECRET: "x" } }] },
        /S3_SECRET is a secret: it belongs/,
      ],
      [
        "a setting of the node",
        { rules: [{ ...good, settings: { MAX_USE: "1" } }] },
        /"MAX_USE" is no setting of a rule/,
      ],
      ["a value that cannot be", { rules: [{ ...good, settings: { PART_SIZE: "1" } }] }, /PART_SIZE "1": /],
      ["a relative secret", { rules: [{ ...good, secretDir: "x" }] }, /secretDir must be an absolute path/],
      ["a directory's secret", { rules: [{ ...good, secretDir: "/x" }] }, /a directory has no secret/],
      ["no uploads", { rules: [{ ...good, concurrency: 0 }] }, /concurrency must be a whole number from 1 to 16/],
      ["a size that is none", { rules: [{ ...good, maxWaiting: "much" }] }, /maxWaiting must be a size/],
      ["too many", { rules: Array.from({ length: 65 }, () => good) }, /65 rules, more than 64/],
    ])("%s", async (_, rules, said) => {
      const work = await bench(rules);
      await expectRefused(work, "check", said);
    });

    it("by each command", async () => {
      const work = await bench({ rules: [{ ...good, store: "ftp://x" }] });
      await work.publish(proven("team-a"));
      for (const command of ["check", "sweep", "run"]) await expectRefused(work, command, /none of s3/);
      expect(await work.spool()).toHaveLength(1);
    });

    it("a file that is not there; all problems at once", async () => {
      const work = await bench({ rules: [{ name: "A" }, { name: "b", namespaces: ["x"], store: "s3://b", more: 1 }] });
      const all = await runBuilt("cdh-upload", ["check"], { env: work.env });
      expect(all.stderr).toMatch(/rule "A": name must be.*rule "A": namespaces must be.*rule "b": unknown key "more"/s);
      await rm(work.rulesFile);
      const { exitCode, stderr } = await runBuilt("cdh-upload", ["check"], { env: work.env });
      expect(exitCode).toBe(10);
      expect(stderr).toContain("there is no such file");
    });
  });
});

describeUnless(notBuilt("cdh-upload"), `rules with buckets (${chooseS3("minio").kind})`, () => {
  let s3: S3Server;
  let proxy: FaultProxy;

  beforeAll(async () => {
    s3 = await startS3Server();
    proxy = await startFaultProxy(s3.endpoint);
  });
  afterAll(async () => {
    await proxy[Symbol.asyncDispose]();
    await s3[Symbol.asyncDispose]();
  });

  const keys = (): Record<string, string> => ({ s3AccessKey: s3.accessKey, s3Secret: `${s3.secretKey}\n` });
  const ruleFor = (endpoint: string, secretDir: string): Record<string, unknown> => ({
    name: "team-a",
    namespaces: ["team-a"],
    store: `s3://${s3.bucket}`,
    settings: { S3_ENDPOINT: endpoint, S3_REGION: s3.region, STORE_TIMEOUT: "3s" },
    secretDir,
  });

  it("a store that hangs holds up nobody, takes only its share of uploads, and is gone on with", async () => {
    const work = await bench({ rules: [] });
    const secretDir = join(work.directory, "secret");
    await mountSecret(secretDir, 1, keys());
    await work.write({ rules: [ruleFor(proxy.endpoint, secretDir)] });
    proxy.decide = () => ({ kind: "silence" });
    // More than all uploads that there may be at the same time.
    const stuck = await Promise.all(Array.from({ length: 20 }, () => work.publish(proven("team-a"))));
    const child = work.start({ UPLOAD_CONCURRENCY: "2", STORE_TIMEOUT: "60s" });
    await expectSoon("it hangs", () => proxy.seen.length >= 2, { child });
    const started = performance.now();
    for (let index = 0; index < 10; index += 1) await work.publish(proven("team-b"));
    await expectSoon("the others are stored", async () => (await work.spool()).length === stuck.length, { child });
    expect(performance.now() - started).toBeLessThan(20_000);
    await expectSoon(
      "it is told",
      async () => (await work.get("/metrics")).includes('rule_available{rule="team-a"} 0'),
      {
        child,
      },
    );
    expect(await work.get("/readyz")).toBe("200 ok\n");
    proxy.decide = () => ({ kind: "pass" });
    await expectSoon("all are stored", async () => (await work.spool()).length === 0, { child });
    for (const bundle of stuck) await expectStored(s3, s3.bucket, bundle, "team-a");
  });

  it("keys that were replaced in the secret are used without a restart", async () => {
    const work = await bench({ rules: [] });
    const secretDir = join(work.directory, "secret");
    await mountSecret(secretDir, 1, { ...keys(), s3AccessKey: "of-yesterday" });
    await work.write({ rules: [ruleFor(s3.endpoint, secretDir)] });
    const child = work.start();
    const bundle = await work.publish(proven("team-a"));
    await expectSoon("they are refused", () => child.output().includes("CDH_STORE_DENIED"), { child });
    await mountSecret(secretDir, 2, keys());
    await expectSoon("it is stored", async () => (await work.spool()).length === 0, { child });
    await expectStored(s3, s3.bucket, bundle, "team-a");
    expect(child.output()).toContain("the store's credentials were replaced");
    expect(child.output()).not.toContain(s3.secretKey);
  });

  it("the keys of the default store go to no tenant's", async () => {
    const work = await bench({ rules: [] }, { S3_ACCESS_KEY: s3.accessKey, S3_SECRET: s3.secretKey });
    const { secretDir: _secretDir, ...rule } = ruleFor(s3.endpoint, "");
    await work.write({ rules: [rule] });
    const env = { ...work.env, AWS_EC2_METADATA_DISABLED: "true", HOME: work.directory };
    const { exitCode, stdout } = await runBuilt("cdh-upload", ["check", "-o", "json"], { env });
    expect(exitCode).toBe(15);
    expect(stdout).toMatch(/"rule": "team-a",\s+"step": "write",\s+"result": "failed"/);
    expect(await readFile(work.rulesFile, "utf8")).not.toContain(s3.secretKey);
  });
});
