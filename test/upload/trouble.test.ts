import { execFileSync, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { link, mkdir, readFile, readdir, rename, rm, utimes, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { afterEach, describe, expect, it, type TestContext } from "vitest";
import { smallCore } from "../composer/drive.ts";
import { builtPath, notBuilt } from "../helpers/built.ts";
import { openBundleFile } from "../helpers/bundle-files.ts";
import { freePort } from "../helpers/free-port.ts";
import { s3Request } from "../helpers/s3-request.ts";
import { chooseS3, startS3Server } from "../helpers/s3-server.ts";
import { describeUnless, skipAloud } from "../helpers/skip.ts";
import { findTool } from "../helpers/tools.ts";
import { readMessage, startEventsApi, type Message } from "./events-api.ts";
import { startFaultProxy } from "./fault-proxy.ts";
import {
  expectNoUploads,
  expectSoon,
  expectStored,
  logLines,
  makeWorkbench,
  sha256OfFile,
  type Workbench,
} from "./workbench.ts";

const MIB = 1024 ** 2;
const open: AsyncDisposable[] = [];

afterEach(async () => {
  for (const each of open.splice(0).toReversed()) await each[Symbol.asyncDispose]();
});

async function bench(env: Record<string, string> = {}): Promise<Workbench & { store: string; host: string }> {
  const made = await makeWorkbench(env);
  open.push(made);
  const store = join(made.directory, "store");
  made.env["STORE_URL"] ??= `file://${store}`;
  return { ...made, store, host: join(store, "_host") };
}

/** Mount a small file system of its own; it goes with the test. */
function mountTmpfs(context: TestContext, path: string, size: string): void {
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${size},mode=700`, "tmpfs", path], { stdio: "ignore" });
  } catch {
    skipAloud(context, "mounting a tmpfs is not permitted here");
  }
  open.push({ [Symbol.asyncDispose]: async () => void execFileSync("umount", ["-l", path]) });
}

/** Write a core file that nobody has touched for so long. */
async function place(path: string, body: Uint8Array, ageMs: number): Promise<void> {
  await writeFile(path, body);
  const then = (Date.now() - ageMs) / 1000;
  await utimes(path, then, then);
}

const zips = (names: readonly string[]): string[] => names.filter((name) => name.endsWith(".zip"));
const messages = (output: string): unknown[] => logLines(output).map((line) => line["msg"]);

describeUnless(notBuilt("cdh-upload"), "cdh-upload in trouble", () => {
  describe("with its spool", () => {
    it("sends from a full disk, and makes a bundle of a core there once there is room", async (context) => {
      const work = await bench();
      mountTmpfs(context, work.coreDir, "12m");
      const bundle = await work.publish({ coreBytes: 2 * MIB });
      const core = smallCore(randomBytes(5 * MIB));
      await place(join(work.coreDir, "core.4711"), core, 60_000);
      const filler = join(work.coreDir, "filler");
      try {
        execFileSync("dd", ["if=/dev/zero", `of=${filler}`, "bs=64k"], { stdio: "ignore" });
      } catch {
        // It ends when nothing more fits.
      }
      const full = await work.sweep();
      expect(full.exitCode, full.stderr).toBe(0);
      expect(full.stderr).toContain("cannot make a bundle of a core");
      expect(full.stderr).toContain("no space left on device");
      expect(zips(await readdir(work.host))).toEqual([bundle.fileName]);
      // Nothing half-made takes the room that is left.
      expect((await readdir(work.coreDir)).filter((name) => name !== "state").toSorted()).toEqual([
        "core.4711",
        "filler",
      ]);
      expect(core.equals(await readFile(join(work.coreDir, "core.4711")))).toBe(true);
      await rm(filler);
      const roomy = await work.sweep();
      expect(roomy.exitCode, roomy.stderr).toBe(0);
      expect(await work.spool()).toEqual([]);
      expect(zips(await readdir(work.host))).toHaveLength(2);
    });

    it("watches a spool again that was removed and made anew", async () => {
      const work = await bench();
      const child = work.run();
      await expectSoon("the first look is done", () => child.output().includes('"started"'), { child });
      await rm(work.coreDir, { recursive: true });
      await expectSoon("it noticed", () => child.output().includes("cannot watch the spool"), { child });
      await mkdir(work.coreDir);
      await expectSoon("it watches again", () => child.output().includes("watching the spool"), { child });
      for (let round = 0; round < 2; round += 1) {
        const started = performance.now();
        await work.publish();
        await expectSoon("it is stored", async () => (await work.spool()).length === 0, { child });
        // The timer is at 60 s: only a watch can be so quick.
        expect(performance.now() - started).toBeLessThan(20_000);
      }
      expect(
        messages(child.output()).filter((text) => text === "cannot watch the spool; looking on the timer only"),
      ).toHaveLength(1);
    });

    it("says that it is not healthy while the spool cannot be looked at", async () => {
      const port = await freePort();
      const work = await bench({ METRICS_ADDR: `127.0.0.1:${port}`, INTERVAL: "1000" });
      await rm(work.coreDir, { recursive: true });
      await writeFile(work.coreDir, "a file where the spool should be");
      const child = work.run();
      const health = async () =>
        await fetch(`http://127.0.0.1:${port}/healthz`).then(
          async (answer) => `${answer.status} ${await answer.text()}`,
          () => "",
        );
      await expectSoon("it says so", async () => (await health()).startsWith("503 cannot look at the spool"), {
        child,
      });
      await rm(work.coreDir);
      await mkdir(work.coreDir);
      await expectSoon("it is well again", async () => (await health()) === "200 ok\n", { child });
    });

    it("shares it with another daemon", async () => {
      const work = await bench();
      const bundles = [];
      for (let index = 0; index < 20; index += 1) bundles.push(await work.publish({ coreBytes: 200_000 + index }));
      const pair = [work.run(), work.run()];
      for (const child of pair) await expectSoon("it runs", () => child.output().includes('"started"'), { child });
      await expectSoon(
        "the spool is empty",
        async () => (await work.spool()).length === 0,
        pair[0] === undefined ? {} : { child: pair[0] },
      );
      for (const child of pair) {
        await child.stop();
        expect(await child.ended).toBe(0);
        expect(logLines(child.output()).filter((line) => line["level"] === "error")).toEqual([]);
      }
      for (const { fileName, sha256 } of bundles) expect(await sha256OfFile(join(work.host, fileName))).toBe(sha256);
      expect(await readdir(work.coreDir)).not.toContain("quarantine");
      expect((await readdir(work.host)).filter((name) => name.endsWith(".partial"))).toEqual([]);
    });

    it("sends at once with 10,000 files in it, and can be stopped before it has looked at all", async () => {
      const port = await freePort();
      const work = await bench({ METRICS_ADDR: `127.0.0.1:${port}` });
      await writeFile(work.store, "a file where the store should be");
      const bundle = await work.publish();
      for (let index = 1; index < 10_000; index += 1)
        await link(bundle.path, join(work.coreDir, `${bundle.name}-${index}.zip`));
      const started = performance.now();
      const child = work.run();
      await expectSoon("it tries the store", () => child.output().includes("in trouble"), { child });
      // The first is sent before the last was looked at.
      expect(performance.now() - started).toBeLessThan(20_000);
      const metrics = async () =>
        await fetch(`http://127.0.0.1:${port}/metrics`).then(
          (answer) => answer.text(),
          () => "",
        );
      expect(await metrics()).toContain("cdh_spool_bundles 10000\n");
      const stopped = performance.now();
      await child.stop("TERM");
      expect(await child.ended).toBe(0);
      // A look at all of them takes longer on a busy machine; the grace period of a pod is 30 s.
      expect(performance.now() - stopped).toBeLessThan(15_000);
    }, 120_000);
  });

  describe("with a directory as the store", () => {
    it("waits while it is read-only, and blames no bundle", async (context) => {
      const work = await bench();
      await mkdir(work.store);
      mountTmpfs(context, work.store, "20m");
      const child = work.run();
      await expectSoon("it runs", () => child.output().includes('"started"'), { child });
      execFileSync("mount", ["-o", "remount,ro", work.store]);
      const bundle = await work.publish();
      await expectSoon("it noticed", () => child.output().includes("the store is in trouble"), { child });
      expect(child.output()).toContain("read-only file system");
      expect(await work.spool()).toEqual([bundle.fileName]);
      execFileSync("mount", ["-o", "remount,rw", work.store]);
      await expectSoon("it is stored", async () => (await work.spool()).length === 0, { child });
      expect(await sha256OfFile(join(work.host, bundle.fileName))).toBe(bundle.sha256);
      expect(messages(child.output())).not.toContain("moved to quarantine");
    });

    it.for(["before", "after"])(
      "waits while a mount made %s its start is gone, and writes nothing beneath",
      async (when, context) => {
        const work = await bench();
        await mkdir(work.store);
        if (when === "before") mountTmpfs(context, work.store, "20m");
        const child = work.run();
        await expectSoon("it runs", () => child.output().includes('"started"'), { child });
        if (when === "after") mountTmpfs(context, work.store, "20m");
        await work.publish();
        await expectSoon("the first is stored", async () => (await work.spool()).length === 0, { child });
        execFileSync("umount", ["-l", work.store]);
        const bundle = await work.publish();
        await expectSoon("it noticed", () => child.output().includes("the store is in trouble"), { child });
        expect(child.output()).toContain(`nothing is mounted on ${work.store} any more`);
        expect([await work.spool(), await readdir(work.store)]).toEqual([[bundle.fileName], []]);
        // Another file system: it need not be the very same to be the right one.
        execFileSync("mount", ["-t", "tmpfs", "-o", "size=20m", "tmpfs", work.store]);
        await expectSoon("it is stored", async () => (await work.spool()).length === 0, { child });
        expect(await sha256OfFile(join(work.host, bundle.fileName))).toBe(bundle.sha256);
      },
    );

    it("waits while its server has forgotten it, as NFS does (ESTALE)", async (context) => {
      const cc = findTool("cc");
      if (cc.path === undefined) skipAloud(context, cc.reason);
      const work = await bench();
      const shim = join(work.directory, "stale.so");
      execFileSync(cc.path, [
        "-shared",
        "-fPIC",
        "-O1",
        "-w",
        "-o",
        shim,
        join(import.meta.dirname, "fixtures/stale.c"),
        "-ldl",
      ]);
      await mkdir(work.store);
      const flag = join(work.directory, "stale");
      await writeFile(flag, "");
      const bundle = await work.publish();
      const child = work.run({ LD_PRELOAD: shim, STALE_ROOT: work.store, STALE_FLAG: flag });
      await expectSoon("it noticed", () => child.output().includes("the store is in trouble"), { child });
      expect(child.output()).toContain("stale file handle");
      expect(await work.spool()).toEqual([bundle.fileName]);
      await rm(flag);
      await expectSoon("it is stored", async () => (await work.spool()).length === 0, { child });
      expect(await sha256OfFile(join(work.host, bundle.fileName))).toBe(bundle.sha256);
      expect(messages(child.output())).not.toContain("moved to quarantine");
    });

    it("puts a bundle aside whose name is too long for it, and holds nobody up", async () => {
      const work = await bench({ QUARANTINE_ATTEMPTS: "1" });
      const long = await work.publish({ name: `${"n".repeat(210)}-dump-1764000000-web-1-s-1-11` });
      const good = await work.publish();
      const result = await work.sweep();
      expect(JSON.parse(result.stdout)).toMatchObject({
        bundles: expect.arrayContaining([
          expect.objectContaining({ bundle: long.fileName, status: "quarantined", code: "CDH_STORE_REFUSED" }),
          expect.objectContaining({ bundle: good.fileName, status: "uploaded" }),
        ]),
      });
    });
  });

  describe("with cores of others", () => {
    const CORE = smallCore(Buffer.alloc(3_000_000, "memory of a process"));

    it.each([
      ["gzip", (core: Buffer) => gzipSync(core)],
      ["zstd", (core: Buffer) => zstdCompressSync(core)],
    ])("waits for the rest of a core in %s, then sends what its writer left", async (encoding, encode) => {
      const work = await bench();
      const path = join(work.coreDir, `core.4711.${encoding === "gzip" ? "gz" : "zst"}`);
      const packed = encode(smallCore(randomBytes(500_000)));
      const cut = packed.subarray(0, 300_000);
      await place(path, cut, 60_000);
      expect(JSON.parse((await work.sweep()).stdout)).toEqual({ bundles: [] });
      expect(cut.equals(await readFile(path))).toBe(true);
      await place(path, cut, 3600e3);
      const result = await work.sweep();
      expect(result.exitCode, result.stderr).toBe(0);
      expect(await work.spool()).toEqual([]);
      const bundle = await openBundleFile(join(work.host, zips(await readdir(work.host))[0] ?? ""));
      expect(bundle.manifest.core.complete).toBe(false);
    });

    it("takes with a pattern of everything only what is a core, and nothing of its own", async () => {
      const work = await bench({ WATCH_PATTERN: "*", KEEP_UPLOADED: "true", QUARANTINE_ATTEMPTS: "1" });
      const bundle = await work.publish();
      await place(join(work.coreDir, "program.dump"), CORE, 60_000);
      await place(join(work.coreDir, "old.log.gz"), gzipSync(Buffer.alloc(100_000, "no core")), 3600e3);
      await place(join(work.coreDir, "notes.txt"), Buffer.from("not mine"), 3600e3);
      const first = JSON.parse((await work.sweep()).stdout) as { bundles: { bundle: string }[] };
      expect(first.bundles).toHaveLength(2);
      const kept = await readdir(join(work.coreDir, "uploaded"));
      expect(kept).toContain(bundle.fileName);
      expect(JSON.parse((await work.sweep()).stdout)).toEqual({ bundles: [] });
      expect(await work.spool()).toEqual(["notes.txt", "old.log.gz"]);
      expect(await readdir(join(work.coreDir, "uploaded"))).toEqual(kept);
    });

    it("takes a core whose time lies in the future once it has not changed for a while", async () => {
      const work = await bench({ INTERVAL: "1000" });
      await place(join(work.coreDir, "core.4711"), CORE, -3600e3);
      const child = work.run();
      await expectSoon("it is stored", async () => (await work.spool()).length === 0, { child });
      expect(zips(await readdir(work.host))).toHaveLength(1);
    });

    describe("in systemd-coredump's directory", () => {
      const NAME = "core.sleeper.0.0123456789abcdef0123456789abcdef.817.1764000000000000";

      it("reads to its end what is vacuumed meanwhile", async () => {
        const work = await bench();
        const systemd = join(work.directory, "systemd");
        await mkdir(systemd);
        const core = smallCore(randomBytes(120 * MIB));
        await place(join(systemd, NAME), core, 60_000);
        const child = work.run({ SYSTEMD_COREDUMP_DIR: systemd });
        const isMaking = async () => (await readdir(work.coreDir)).some((name) => name.startsWith(".import."));
        await expectSoon("its bundle is being made", isMaking, { child });
        await rm(join(systemd, NAME));
        await expectSoon(
          "it is stored",
          async () =>
            existsSync(work.host) && zips(await readdir(work.host)).length === 1 && (await work.spool()).length === 0,
          { child },
        );
        const bundle = await openBundleFile(join(work.host, zips(await readdir(work.host))[0] ?? ""));
        expect(bundle.manifest.core).toMatchObject({ complete: true, sizeBytes: core.length });
      });

      it("sends nothing twice after the directory was away", async () => {
        const work = await bench();
        const systemd = join(work.directory, "systemd");
        await mkdir(systemd);
        await place(join(systemd, NAME), CORE, 60_000);
        const env = { SYSTEMD_COREDUMP_DIR: systemd };
        expect(JSON.parse((await work.sweep([], env)).stdout)).toMatchObject({ bundles: [{ status: "uploaded" }] });
        await rename(systemd, `${systemd}-away`);
        expect(JSON.parse((await work.sweep([], env)).stdout)).toEqual({ bundles: [] });
        await rename(`${systemd}-away`, systemd);
        expect(JSON.parse((await work.sweep([], env)).stdout)).toEqual({ bundles: [] });
      });
    });
  });

  describe("with whoever is told", () => {
    it("keeps what a webhook that is down was not told, and never waits for it", async () => {
      const port = await freePort();
      const work = await bench({ WEBHOOK_URL: `http://127.0.0.1:${port}/hook` });
      const bundles = [await work.publish(), await work.publish(), await work.publish()];
      const child = work.run();
      await expectSoon("the spool is empty", async () => (await work.spool()).length === 0, { child });
      await expectSoon("it said so", () => child.output().includes("cannot deliver messages"), { child });
      const told: Message[] = [];
      const server = createServer((incoming, outgoing) => {
        void readMessage(incoming).then((message) => {
          told.push(message);
          outgoing.writeHead(202).end();
        });
      });
      server.listen(port, "127.0.0.1");
      open.push({ [Symbol.asyncDispose]: async () => void server.close() });
      await expectSoon("all were told", () => told.length === 3, { child });
      expect(told.map((message) => message.body["id"]).toSorted()).toEqual(
        bundles.map(({ crashId }) => crashId).toSorted(),
      );
      expect(messages(child.output()).filter((text) => text === "cannot deliver messages; they wait")).toHaveLength(1);
    });

    it("says once that it may not write Events, and keeps them while the API server is away", async (context) => {
      const openssl = findTool("openssl");
      if (openssl.path === undefined) skipAloud(context, openssl.reason);
      const work = await bench();
      const api = await startEventsApi(work.directory);
      open.push(api);
      api.refuseWith(403);
      const child = work.run(api.env);
      for (const pod of ["web-1", "web-2", "web-3"]) await work.publish({ namespace: "team-a", pod });
      await expectSoon("each was tried", () => api.messages.length >= 3, { child });
      await expectSoon("the spool is empty", async () => (await work.spool()).length === 0, { child });
      const refusals = logLines(child.output()).filter((line) => line["msg"] === "cannot write the Event");
      expect(refusals).toHaveLength(1);
      expect(refusals[0]).toMatchObject({
        httpStatus: 403,
        reason: "no, says the API server",
        hint: expect.stringContaining("create"),
      });
      api.refuseWith(503);
      await work.publish({ namespace: "team-a", pod: "web-4" });
      await expectSoon("it waits", () => child.output().includes("cannot deliver messages"), { child });
      api.refuseWith(undefined);
      await expectSoon("the Event is there", () => api.events.size === 1, { child });
      expect([...api.events.values()][0]).toMatchObject({ reason: "CoreDumped", involvedObject: { name: "web-4" } });
    });
  });

  it("looks when the schedule says so by the clock as it is set now", async () => {
    const work = await bench({ SCHEDULE: "0 3 1 1 *" });
    // The clock of this one can be set: the file says by how much.
    const by = join(work.directory, "by");
    const shift = join(work.directory, "shift.mjs");
    await writeFile(by, "0");
    await writeFile(
      shift,
      `import { readFileSync } from "node:fs"; const now = Date.now; Date.now = () => now() + Number(readFileSync(${JSON.stringify(by)}, "utf8"));`,
    );
    const child = work.run({ NODE_OPTIONS: `--import=${shift}` });
    await expectSoon("the first look is done", () => child.output().includes('"started"'), { child });
    const bundle = await work.publish();
    const year = new Date().getUTCFullYear() + 1;
    await writeFile(by, String(Date.UTC(year, 0, 1, 3, 0, 1) - Date.now()));
    await expectSoon("it is stored", async () => (await work.spool()).length === 0, { child });
    expect(zips(await readdir(work.host))).toEqual([bundle.fileName]);
  });

  it("ends in order on SIGHUP", async () => {
    const work = await bench({ BANDWIDTH_LIMIT: "1M" });
    await work.publish({ coreBytes: 3 * MIB });
    const child = spawn(builtPath("cdh-upload"), ["run"], { env: work.env, stdio: ["ignore", "ignore", "pipe"] });
    let output = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => (output += text));
    const ended = once(child, "exit");
    try {
      await expectSoon(
        "it sends",
        async () => existsSync(work.host) && (await readdir(work.host)).some((name) => name.endsWith(".partial")),
      );
      child.kill("SIGHUP");
      expect(await ended).toEqual([0, null]);
      expect(messages(output)).toContain("finishing uploads before the end");
      expect(messages(output)).toContain("stopped");
      expect(await work.spool()).toEqual([]);
    } finally {
      child.kill("SIGKILL");
    }
  });
});

describeUnless(notBuilt("cdh-upload") ?? chooseS3("minio").standIn, "cdh-upload in trouble with S3 at its end", () => {
  it("goes on with other keys that a profile's file gets in the middle of an upload", async () => {
    await using s3 = await startS3Server({ kind: "minio" });
    await using proxy = await startFaultProxy(s3.endpoint);
    const { S3_ACCESS_KEY: _key, S3_SECRET: _secret, ...keyless } = s3.env;
    const none = { HOME: "/nonexistent", AWS_EC2_METADATA_DISABLED: "true" };
    const work = await bench({
      ...keyless,
      ...none,
      STORE_URL: `s3://${s3.bucket}`,
      S3_ENDPOINT: proxy.endpoint,
      PART_SIZE: "5Mi",
      PART_CONCURRENCY: "1",
    });
    const temporary = await s3Request(s3, "POST", "/", {
      service: "sts",
      headers: { "content-type": "application/x-www-form-urlencoded" },
      body: "Action=AssumeRole&Version=2011-06-15&DurationSeconds=3600",
    });
    const xml = await temporary.text();
    const said = (name: string): string => new RegExp(`<${name}>([^<]+)<`).exec(xml)?.[1] ?? "";
    const file = join(work.directory, "credentials");
    const write = async (lines: string[]) => {
      await writeFile(`${file}.new`, `[default]\n${lines.join("\n")}\n`);
      await rename(`${file}.new`, file);
    };
    await write([
      `aws_access_key_id=${said("AccessKeyId")}`,
      `aws_secret_access_key=${said("SecretAccessKey")}`,
      `aws_session_token=${said("SessionToken")}`,
    ]);
    const bundle = await work.publish({ coreBytes: 30_000_000 });
    let expired = 0;
    proxy.decide = (seen) => {
      const isOld = seen.headers.authorization?.includes(`Credential=${said("AccessKeyId")}/`) === true;
      if (!isOld || (expired === 0 && !(seen.operation === "part" && seen.query.get("partNumber") === "4")))
        return { kind: "pass" };
      expired += 1;
      const body = "<Error><Code>ExpiredToken</Code><Message>expired</Message></Error>";
      return { kind: "answer", status: 400, body };
    };
    const child = work.run({ AWS_SHARED_CREDENTIALS_FILE: file });
    await expectSoon("they expired", () => child.output().includes("the credentials have expired"), { child });
    proxy.seen.splice(0);
    await write([`aws_access_key_id=${s3.accessKey}`, `aws_secret_access_key=${s3.secretKey}`]);
    await expectSoon("the spool is empty", async () => (await work.spool()).length === 0, {
      child,
      timeoutMs: 100_000,
    });
    await expectStored(s3, s3.bucket, bundle);
    await expectNoUploads(s3, s3.bucket, `_host/${bundle.fileName}`);
    // The parts that the store had were not sent again.
    const sent = proxy.seen.filter(
      (seen) => seen.operation === "part" && seen.headers.authorization?.includes(s3.accessKey),
    );
    expect(sent.map((seen) => seen.query.get("partNumber"))).toEqual(["4", "5", "6"]);
  }, 150_000);

  it("shares large uploads with another daemon on the same spool", async () => {
    await using s3 = await startS3Server({ kind: "minio" });
    const work = await bench({ ...s3.env, STORE_URL: `s3://${s3.bucket}`, PART_SIZE: "5Mi", INTERVAL: "1000" });
    const bundles = [];
    for (let index = 0; index < 4; index += 1) bundles.push(await work.publish({ coreBytes: 17 * MIB + index }));
    const pair = [work.run(), work.run()];
    for (const child of pair) await expectSoon("it runs", () => child.output().includes('"started"'), { child });
    await expectSoon(
      "the spool is empty",
      async () => (await work.spool()).length === 0,
      pair[0] === undefined ? {} : { child: pair[0] },
    );
    for (const child of pair) {
      await child.stop();
      expect(await child.ended).toBe(0);
      expect(messages(child.output())).not.toContain("moved to quarantine");
    }
    for (const bundle of bundles) {
      await expectStored(s3, s3.bucket, bundle);
      await expectNoUploads(s3, s3.bucket, `_host/${bundle.fileName}`);
    }
  }, 120_000);
});
