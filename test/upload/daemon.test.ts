import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import { createServer as createHttpServer } from "node:http";
import type { AddressInfo, Server } from "node:net";
import { join } from "node:path";
import { afterEach, beforeAll, afterAll, expect, it } from "vitest";
import { builtPath, notBuilt } from "../helpers/built.ts";
import { freePort } from "../helpers/free-port.ts";
import { chooseS3, startS3Server, type S3Server } from "../helpers/s3-server.ts";
import { describeUnless, skipAloud } from "../helpers/skip.ts";
import { findTool } from "../helpers/tools.ts";
import { readMessage, startEventsApi, type Message } from "./events-api.ts";
import { startFaultProxy } from "./fault-proxy.ts";
import { expectNoUploads, expectStored, logLines, makeWorkbench, expectSoon, type Workbench } from "./workbench.ts";

const open: AsyncDisposable[] = [];

afterEach(async () => {
  for (const each of open.splice(0)) await each[Symbol.asyncDispose]();
});

async function bench(env: Record<string, string> = {}): Promise<Workbench & { store: string }> {
  const made = await makeWorkbench(env);
  open.push(made);
  const store = join(made.directory, "store");
  made.env["STORE_URL"] ??= `file://${store}`;
  return { ...made, store };
}

/** Listen on loopback; `answer` says what each message is answered with. */
async function listen(server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  open.push({
    async [Symbol.asyncDispose]() {
      server.close();
    },
  });
  return (server.address() as AddressInfo).port;
}

/** A thread whose stack the node read. */
const crashedThread = {
  tid: 7,
  crashed: true,
  registers: { pc: "0x1010" },
  stack: {
    frames: [
      { pc: "0x1010", function: "pay", file: "/src/pay.c", line: 41 },
      { pc: "0x1020", function: "main" },
    ],
    end: { kind: "outermost" },
  },
};

describeUnless(notBuilt("cdh-upload"), "cdh-upload run", () => {
  it("sends what appears at once, and what was there before, and what a lost event hid", async () => {
    const work = await bench();
    const before = await work.publish();
    const child = work.run();
    await expectSoon("the first is stored", async () => (await work.spool()).length === 0, { child });
    const started = performance.now();
    const after = await work.publish();
    await expectSoon("the second is stored", async () => (await work.spool()).length === 0, { child });
    // The timer is at 60 s: only the watch can have been so quick.
    expect(performance.now() - started).toBeLessThan(20_000);
    expect(await readdir(join(work.store, "_host"))).toEqual(expect.arrayContaining([before.fileName, after.fileName]));
    await child.stop();
    expect(await child.ended).toBe(0);
  });

  it("looks on its timer when nothing is watched", async () => {
    const work = await bench({ USE_INOTIFY: "false", INTERVAL: "1000" });
    const child = work.run();
    await expectSoon("it runs", () => child.output().includes("started"), { child });
    await work.publish();
    await expectSoon("it is stored", async () => (await work.spool()).length === 0, { child });
  });

  it("waits for a spool that does not exist yet", async () => {
    const work = await bench({ INTERVAL: "1000" });
    const coreDir = join(work.directory, "later");
    const child = work.run({ CORE_DIR: coreDir });
    await expectSoon("it runs", () => child.output().includes("started"), { child });
    await mkdir(coreDir);
    const bundle = await work.publish();
    execFileSync("mv", [bundle.path, coreDir]);
    await expectSoon("it is stored", async () => (await readdir(coreDir)).every((name) => !name.endsWith(".zip")), {
      child,
    });
  });

  it("sends on a schedule of seconds", async () => {
    const work = await bench({ SCHEDULE: "*/2 * * * * *" });
    await work.publish();
    const child = work.run();
    await expectSoon("the first look is done", async () => (await work.spool()).length === 0, { child });
    await work.publish();
    await expectSoon("the next is done", async () => (await work.spool()).length === 0, { child });
  });

  it("serves metrics and probes, and writes the status file", async () => {
    const port = await freePort();
    const work = await bench({ METRICS_ADDR: `127.0.0.1:${port}` });
    const status = join(work.directory, "startupcheck");
    await work.publish({
      namespace: "team-a",
      pod: "web-6d4cf56db6-x2x9z",
      manifest: { suppressed: { count: 4, since: "2026-11-21T07:00:00Z" } },
    });
    const child = work.run({ STATUS_FILE: status });
    const get = async (path: string) =>
      await fetch(`http://127.0.0.1:${port}${path}`).then(
        async (answer) => `${answer.status} ${await answer.text()}`,
        () => "",
      );
    await expectSoon("it is stored", async () => (await work.spool()).length === 0, { child });
    await expectSoon("it is ready", async () => (await get("/readyz")) === "200 ok\n", { child });
    expect(await get("/healthz")).toBe("200 ok\n");
    // The gauges show the spool as it is at the scrape; a bundle is counted a moment after it has left.
    expect(await get("/metrics")).toContain("cdh_spool_bundles 0\n");
    await expectSoon("it is counted", async () => (await get("/metrics")).includes("cdh_upload_bundles_total 1\n"), {
      child,
    });
    const metrics = await get("/metrics");
    expect(metrics).toContain('cdh_crashes_total{namespace="team-a",signal="SIGSEGV",workload="web"} 5\n');
    expect(metrics).toContain("cdh_store_available 1\n");
    expect(await readFile(status, "utf8")).toBe("started\n");
    await child.stop();
    expect(await readFile(status, "utf8")).toBe("dead\n");
  });

  it("is not ready while the store is away, and is again afterwards, and does not count a backlog twice", async () => {
    const port = await freePort();
    const work = await bench({ METRICS_ADDR: `127.0.0.1:${port}` });
    await writeFile(work.store, "a file where the store should be");
    await work.publish();
    const child = work.run();
    const ready = async () =>
      await fetch(`http://127.0.0.1:${port}/readyz`).then(
        (answer) => answer.status,
        () => 0,
      );
    await expectSoon("it is not ready", async () => child.output().includes("in trouble") && (await ready()) === 503, {
      child,
    });
    expect(await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()).toContain("cdh_store_available 0\n");
    await child.stop();
    execFileSync("rm", [work.store]);
    const next = work.run();
    await expectSoon("it is stored", async () => (await work.spool()).length === 0, { child: next });
    await expectSoon("it is ready", async () => (await ready()) === 200, { child: next });
    expect(await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()).toContain("cdh_crashes_total 0\n");
  });

  it("lets namespaces take turns, the newest first and then the oldest", async () => {
    const work = await bench({ UPLOAD_CONCURRENCY: "1" });
    const loud: Awaited<ReturnType<Workbench["publish"]>>[] = [];
    for (let index = 0; index < 6; index += 1) loud.push(await work.publish({ namespace: "loud" }));
    const calm = await work.publish({ namespace: "calm" });
    for (const [index, bundle] of [...loud, calm].entries())
      execFileSync("touch", ["-d", `2026-01-01T00:00:0${index}Z`, bundle.path]);
    const child = work.run();
    const uploaded = (): unknown[] =>
      logLines(child.output())
        .filter((line) => line["msg"] === "uploaded")
        .map((line) => line["bundle"]);
    await expectSoon("all is stored, and said", () => uploaded().length === 7, { child });
    const order = uploaded();
    expect(order.indexOf(calm.fileName)).toBeLessThan(2);
    // Of one pod the newest and the oldest in turn.
    expect(order.filter((name) => name !== calm.fileName)).toEqual(
      [5, 0, 4, 1, 3, 2].map((index) => loud[index]?.fileName),
    );
  });

  it("holds all uploads together to the bandwidth limit", async () => {
    const work = await bench({ BANDWIDTH_LIMIT: "1M" });
    for (let index = 0; index < 4; index += 1) await work.publish({ coreBytes: 600_000 });
    const started = performance.now();
    const child = work.run();
    await expectSoon("all is stored", async () => (await work.spool()).length === 0, { child });
    const seconds = (performance.now() - started) / 1000;
    // 2.4 MB at 1 MB/s, of which one second's worth may be saved up at the start.
    expect(seconds).toBeGreaterThan(1.3);
    expect(seconds).toBeLessThan(20);
  });

  it("tells a webhook about each bundle, as a CloudEvent, and does not mind a webhook that fails", async () => {
    const messages: Message[] = [];
    const port = await listen(
      createHttpServer((incoming, outgoing) => {
        void readMessage(incoming).then((message) => {
          messages.push(message);
          outgoing.writeHead(messages.length === 1 ? 500 : 202).end();
        });
      }),
    );
    const work = await bench({ WEBHOOK_URL: `http://127.0.0.1:${port}/hook?token=1` });
    const bundle = await work.publish({ namespace: "team-a", manifest: { threads: [crashedThread] } });
    const child = work.run();
    await expectSoon("it was told twice", () => messages.length === 2, { child });
    expect(messages[1]).toEqual(messages[0]);
    expect(messages[1]?.headers["content-type"]).toContain("application/cloudevents+json");
    expect(messages[1]?.body).toMatchObject({
      specversion: "1.0",
      id: bundle.crashId,
      type: "info.coredump.created",
      source: "/nodes/node-1",
      subject: "team-a/web-1",
      data: {
        location: `file://${work.store}/team-a/${bundle.fileName}`,
        sha256: bundle.sha256,
        signal: { name: "SIGSEGV" },
        summary: "SIGSEGV in pay() at pay.c:41 ← main()",
      },
    });
    expect(await work.spool()).toEqual([]);
  });

  it("writes one Event on the pod, and counts repeated crashes in it", async (context) => {
    const openssl = findTool("openssl");
    if (openssl.path === undefined) skipAloud(context, openssl.reason);
    const work = await bench();
    const api = await startEventsApi(work.directory);
    open.push(api);
    const pod = {
      namespace: "team-a",
      manifest: {
        container: { id: "aa", name: "app" },
        signal: { number: 11, name: "SIGSEGV", codeName: "SEGV_MAPERR" },
      },
    };
    await work.publish(pod);
    const child = work.run(api.env);
    await expectSoon("the Event is there", () => api.events.size === 1, { child });
    await work.publish(pod);
    await work.publish();
    await expectSoon("it was counted", () => [...api.events.values()][0]?.["count"] === 2, { child });
    await expectSoon("all is stored", async () => (await work.spool()).length === 0, { child });
    expect(api.events.size).toBe(1);
    const [event] = api.events.values();
    expect(event).toMatchObject({
      kind: "Event",
      type: "Warning",
      reason: "CoreDumped",
      involvedObject: {
        kind: "Pod",
        namespace: "team-a",
        name: "web-1",
        uid: "0000",
        fieldPath: "spec.containers{app}",
      },
      source: { component: "core-dump-handler", host: "node-1" },
    });
    expect(event?.["message"]).toMatch(
      /^\/bin\/sleep \(pid \d+\) in container app crashed with SIGSEGV \(SEGV_MAPERR\); core dump of [^;]*: cdh-inspect show file:\/\/\/.*\/team-a\/[0-9a-f]{8}$/,
    );
    expect(api.messages[0]?.headers["authorization"]).toBe("Bearer the-token");
  });

  it("says in the Event that no memory was kept, where the core limit was 0", async (context) => {
    const openssl = findTool("openssl");
    if (openssl.path === undefined) skipAloud(context, openssl.reason);
    const work = await bench();
    const api = await startEventsApi(work.directory);
    open.push(api);
    const core = { entry: "a.core", compression: "none", sizeBytes: 0, storedBytes: 0, expectedBytes: 50_000_000 };
    await work.publish({
      namespace: "team-a",
      coreBytes: 0,
      manifest: {
        container: { id: "aa", name: "app" },
        core: { ...core, complete: false, truncatedBy: "rlimit" },
      },
    });
    const child = work.run(api.env);
    await expectSoon("the Event is there", () => api.events.size === 1, { child });
    expect([...api.events.values()][0]?.["message"]).toMatch(
      /; no memory kept: the container's core limit is 0 \(composer\.rlimitCore=ignore .* keeps it\); report of [^;]*: cdh-inspect show file:/,
    );
  });

  it("says on the pod, in the metrics and in the log that it gave up a bundle that was never sent", async (context) => {
    const openssl = findTool("openssl");
    if (openssl.path === undefined) skipAloud(context, openssl.reason);
    const port = await freePort();
    const work = await bench({ METRICS_ADDR: `127.0.0.1:${port}`, MAX_USE: "30000", VACUUM_UNSENT: "true" });
    await writeFile(work.store, "a file where the store should be");
    const api = await startEventsApi(work.directory);
    open.push(api);
    const old = await work.publish({ namespace: "team-a", coreBytes: 20_000 });
    execFileSync("touch", ["-d", "2026-01-01", old.path]);
    const young = await work.publish({ namespace: "team-a", coreBytes: 20_000 });
    const child = work.run(api.env);
    await expectSoon("the Event is there", () => api.events.size === 1, { child });
    expect(await work.spool()).toEqual([young.fileName]);
    const [event] = api.events.values();
    expect(event).toMatchObject({ reason: "CoreDumpLost", type: "Warning", involvedObject: { name: "web-1" } });
    expect(event?.["message"]).toContain("was removed from the node to make room before it was uploaded");
    const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    expect(metrics).toContain("cdh_upload_given_up_total 1\n");
    expect(metrics).toContain('cdh_vacuum_removed_total{kind="unsent"} 1\n');
    await expectSoon("it is said", () => child.output().includes("gave up a bundle to make room"), { child });
    expect(logLines(child.output()).find((line) => line["msg"] === "gave up a bundle to make room")).toMatchObject({
      level: "error",
      bundle: old.fileName,
      crashId: old.crashId,
    });
  });
});

describeUnless(notBuilt("cdh-upload") ?? chooseS3("minio").standIn, "cdh-upload run with S3 at its end", () => {
  let s3: S3Server;

  beforeAll(async () => {
    s3 = await startS3Server({ kind: "minio" });
  });
  afterAll(async () => {
    await s3[Symbol.asyncDispose]();
  });

  it("finishes what is on its way when it is told to stop, within the grace period", async () => {
    const work = await bench({ ...s3.env, STORE_URL: `s3://${s3.bucket}`, PART_SIZE: "5Mi", BANDWIDTH_LIMIT: "8M" });
    const bundle = await work.publish({ coreBytes: 16 * 1024 ** 2 });
    const proxy = await startFaultProxy(s3.endpoint);
    open.push(proxy);
    const child = work.run({ S3_ENDPOINT: proxy.endpoint });
    await expectSoon("parts are on their way", () => proxy.seen.some((seen) => seen.operation === "part"), { child });
    await child.stop("TERM");
    expect(await child.ended).toBe(0);
    expect(child.output()).toContain("finishing uploads before the end");
    await expectStored(s3, s3.bucket, bundle);
    expect(await work.spool()).toEqual([]);
  });

  it("gives up cleanly when the grace period is too short: nothing half-made anywhere", async () => {
    const work = await bench({
      ...s3.env,
      STORE_URL: `s3://${s3.bucket}`,
      PART_SIZE: "5Mi",
      BANDWIDTH_LIMIT: "2M",
      SHUTDOWN_GRACE: "300ms",
    });
    const bundle = await work.publish({ coreBytes: 16 * 1024 ** 2 });
    const proxy = await startFaultProxy(s3.endpoint);
    open.push(proxy);
    const child = work.run({ S3_ENDPOINT: proxy.endpoint });
    await expectSoon("parts are on their way", () => proxy.seen.some((seen) => seen.operation === "part"), { child });
    await child.stop("TERM");
    expect(await child.ended).toBe(0);
    expect(await work.spool()).toEqual([bundle.fileName]);
    await expectNoUploads(s3, s3.bucket, `_host/${bundle.fileName}`);
    const again = await work.sweep([], { BANDWIDTH_LIMIT: "" });
    expect(again.exitCode, again.stderr).toBe(0);
    await expectStored(s3, s3.bucket, bundle);
  });

  it("ends at once at a second signal", async () => {
    const work = await bench({ ...s3.env, STORE_URL: `s3://${s3.bucket}`, PART_SIZE: "5Mi", BANDWIDTH_LIMIT: "1M" });
    await work.publish({ coreBytes: 16 * 1024 ** 2 });
    const proxy = await startFaultProxy(s3.endpoint);
    open.push(proxy);
    // Started directly: the usual helper's second signal is SIGKILL.
    const child = spawn(builtPath("cdh-upload"), ["run"], {
      env: { ...work.env, S3_ENDPOINT: proxy.endpoint },
      stdio: ["ignore", "ignore", "pipe"],
    });
    let output = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => (output += text));
    const ended = once(child, "exit");
    try {
      await expectSoon("parts are on their way", () => proxy.seen.some((seen) => seen.operation === "part"));
      child.kill("SIGTERM");
      await expectSoon("it finishes", () => output.includes("finishing uploads"));
      const started = performance.now();
      child.kill("SIGTERM");
      expect(await ended).toEqual([null, "SIGTERM"]);
      // Finishing would take 16 seconds.
      expect(performance.now() - started).toBeLessThan(8000);
    } finally {
      child.kill("SIGKILL");
    }
    expect((await work.spool()).length).toBe(1);
  });
});
