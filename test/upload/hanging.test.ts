import { readdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, describe, expect, it } from "vitest";
import { notBuilt } from "../helpers/built.ts";
import { freePort } from "../helpers/free-port.ts";
import { fuseUnavailable, mountFuse, programOf } from "../helpers/hanging-mount.ts";
import { describeUnless } from "../helpers/skip.ts";
import type { TiedChild } from "../helpers/tied-child.ts";
import { expectSoon, logLines, makeWorkbench, type Workbench } from "./workbench.ts";

const open: AsyncDisposable[] = [];

afterEach(async () => {
  for (const each of open.splice(0).toReversed()) await each[Symbol.asyncDispose]();
});

interface Daemon {
  child: TiedChild;
  ready(): Promise<number>;
  metric(name: string): Promise<string | undefined>;
}

const unavailable = notBuilt("cdh-upload") ?? fuseUnavailable();

describeUnless(unavailable, "cdh-upload and a file system that does not answer", () => {
  let work: Workbench;

  async function start(env: Record<string, string>): Promise<Daemon> {
    const port = await freePort();
    const more = { STORE_TIMEOUT: "2s", SHUTDOWN_GRACE: "3s", INTERVAL: "1000", METRICS_ADDR: `127.0.0.1:${port}` };
    const child = work.run({ ...more, USE_INOTIFY: "false", ...env });
    const get = (path: string): Promise<Response> =>
      fetch(`http://127.0.0.1:${port}${path}`, { signal: AbortSignal.timeout(20_000) });
    return {
      child,
      ready: async () => (await get("/readyz").catch(() => undefined))?.status ?? 0,
      metric: async (name) =>
        (await (await get("/metrics")).text()).split("\n").find((line) => line.startsWith(`${name} `)),
    };
  }

  async function endsWithin(child: TiedChild, ms: number): Promise<void> {
    const started = performance.now();
    void child.stop("TERM");
    const ended = await Promise.race([child.ended.then(() => true), delay(ms + 10_000, false)]);
    expect(ended, child.output()).toBe(true);
    expect(performance.now() - started).toBeLessThan(ms);
  }

  const zipsIn = (path: string): string[] =>
    readdirSync(path, { recursive: true, encoding: "utf8" }).filter((name) => /(^|\/)[^.][^/]*\.zip$/.test(name));

  describe("as its store", () => {
    it("opens the circuit, is not ready, answers, and sends everything once it answers again", async () => {
      work = await makeWorkbench({});
      open.push(work);
      const fuse = await mountFuse(work.directory, "store");
      open.push(fuse);
      const daemon = await start({ STORE_URL: `file://${fuse.path}` });
      const first = await work.publish();
      await expectSoon("the first is stored", () => zipsIn(fuse.behind).length === 1, { child: daemon.child });
      expect(await daemon.ready()).toBe(200);

      await fuse.hang();
      // More than there are threads.
      const bundles = await Promise.all(Array.from({ length: 20 }, () => work.publish({ coreBytes: 1000 })));
      await expectSoon("it says so", async () => (await daemon.ready()) === 503, { child: daemon.child });
      expect(await daemon.metric("cdh_store_available")).toBe("cdh_store_available 0");
      expect(logLines(daemon.child.output())).toContainEqual(
        expect.objectContaining({ level: "error", code: "CDH_STORE_UNREACHABLE" }),
      );
      // Probe after probe: none takes the last thread.
      await delay(8000);
      expect(await daemon.ready()).toBe(503);
      expect(await daemon.metric("cdh_spool_bundles")).toBe("cdh_spool_bundles 20");

      fuse.answer();
      await expectSoon("all are stored", () => zipsIn(fuse.behind).length === 21, { child: daemon.child });
      await expectSoon("it is ready", async () => (await daemon.ready()) === 200, { child: daemon.child });
      await expectSoon("the spool is empty", async () => (await work.spool()).length === 0, { child: daemon.child });
      expect(zipsIn(fuse.behind).toSorted()).toEqual(
        [first, ...bundles].map(({ fileName }) => `_host/${fileName}`).toSorted(),
      );
      await endsWithin(daemon.child, 5000);
    });

    it("does not keep the program from ending: SIGTERM within the grace, a second one at once", async () => {
      work = await makeWorkbench({});
      open.push(work);
      const fuse = await mountFuse(work.directory, "store");
      open.push(fuse);
      const hung = async (): Promise<Daemon> => {
        fuse.answer();
        const daemon = await start({ STORE_URL: `file://${fuse.path}` });
        await expectSoon("it is ready", async () => (await daemon.ready()) === 200, { child: daemon.child });
        await fuse.hang();
        await Promise.all(Array.from({ length: 10 }, () => work.publish({ coreBytes: 1000 })));
        await delay(1500);
        return daemon;
      };
      const daemon = await hung();
      // SHUTDOWN_GRACE, and what the end itself may take.
      await endsWithin(daemon.child, 3000 + 12_000);

      // A call that the file system has begun to serve can be ended by nothing, not even by SIGKILL: then once more.
      let isEnded = false;
      for (let round = 0; round < 5 && !isEnded; round += 1) {
        const { child } = await hung();
        process.kill(programOf(child), "SIGTERM");
        await delay(300);
        void child.stop("TERM");
        isEnded = await Promise.race([child.ended.then(() => true), delay(2500, false)]);
        fuse.answer();
        await child.ended;
      }
      expect(isEnded).toBe(true);
    }, 120_000);
  });

  it("as its spool, hanging when it starts: says so, answers, ends, and goes on when it answers", async () => {
    work = await makeWorkbench({});
    open.push(work);
    const store = join(work.directory, "store");
    const fuse = await mountFuse(work.directory, "spool");
    open.push(fuse);
    await fuse.hang();
    // The watch on the spool is on, as by default.
    const env = { STORE_URL: `file://${store}`, CORE_DIR: fuse.path, USE_INOTIFY: "true" };
    const daemon = await start(env);
    await expectSoon("it serves", async () => (await daemon.ready()) === 503, { child: daemon.child });
    await expectSoon("it says so", () => daemon.child.output().includes("does not answer"), { child: daemon.child });
    expect(await daemon.metric("cdh_store_available")).toBe("cdh_store_available 1");
    await endsWithin(daemon.child, 3000 + 12_000);
    const second = await start(env);
    await expectSoon("it says so", () => second.child.output().includes("does not answer"), { child: second.child });
    fuse.answer();
    await expectSoon("it is ready", async () => (await second.ready()) === 200, { child: second.child });
    await endsWithin(second.child, 5000);
  }, 120_000);

  it("as its spool: is not well, answers, ends, and goes on when it answers again", async () => {
    work = await makeWorkbench({});
    open.push(work);
    const store = join(work.directory, "store");
    const fuse = await mountFuse(work.directory, "spool");
    open.push(fuse);
    const daemon = await start({ STORE_URL: `file://${store}`, CORE_DIR: fuse.path });
    await expectSoon("it is ready", async () => (await daemon.ready()) === 200, { child: daemon.child });
    await fuse.hang();
    await expectSoon("it says so", async () => (await daemon.ready()) === 503, { child: daemon.child });
    // Each asks for figures of the spool; none holds a thread of its own.
    for (let turn = 0; turn < 20; turn += 1)
      expect(await daemon.metric("cdh_store_available")).toBe("cdh_store_available 1");
    expect(daemon.child.output()).toContain("does not answer");
    fuse.answer();
    await expectSoon("it is ready", async () => (await daemon.ready()) === 200, { child: daemon.child });
    await fuse.hang();
    await delay(3000);
    await endsWithin(daemon.child, 3000 + 12_000);
  }, 180_000);
});
