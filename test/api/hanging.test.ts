import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, expect, it } from "vitest";
import { systemClock } from "@cdh/core/clock";
import { DirectoryStore } from "../../packages/core/src/store/directory/store.ts";
import { notBuilt } from "../helpers/built.ts";
import { fuseUnavailable, mountFuse } from "../helpers/hanging-mount.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { AUDIENCE, BASE, expectSoon, putDump, startWorkbench } from "./workbench.ts";

const directory = scratchDirectory("api-hanging");
const open: AsyncDisposable[] = [];
const token = "admins-token";

afterAll(async () => {
  for (const each of open.toReversed()) await each[Symbol.asyncDispose]();
});

const unavailable = notBuilt("cdh-api") ?? missingTools("openssl") ?? fuseUnavailable();

describeUnless(unavailable, "cdh-api on a directory store that hangs when it starts", () => {
  it("answers, says what the trouble is, ends soon after SIGTERM, and lists once the store answers", async () => {
    const fuse = await mountFuse(directory, "store");
    open.push(fuse);
    const dump = await putDump(new DirectoryStore(fuse.behind, { clock: systemClock }));
    await fuse.hang();
    const env = { STORE_URL: `file://${fuse.path}`, STORE_TIMEOUT: "2s", REFRESH_INTERVAL: "1s" };
    const bench = await startWorkbench(join(directory, "bench"), { env, waits: false });
    open.push(bench);
    bench.cluster.tokens.set(token, { user: "admin", audiences: [AUDIENCE] });
    bench.cluster.grants = [{ user: "admin", verbs: ["*"], resources: ["*"], namespaces: ["*"] }];
    const probe = async (path: string): Promise<{ status: number; body: string }> => {
      const answer = await fetch(`http://127.0.0.1:${bench.metricsPort}${path}`, {
        signal: AbortSignal.timeout(20_000),
      });
      return { status: answer.status, body: await answer.text() };
    };
    await expectSoon("it listens", async () => (await probe("/healthz").catch(() => undefined))?.status === 200);
    await expectSoon("the store's trouble is told", async () =>
      (await probe("/readyz")).body.includes("the store is in trouble"),
    );
    // Look after look: none takes the last thread.
    for (let at = 0; at < 6; at += 1) {
      await delay(2000);
      expect(await probe("/healthz")).toMatchObject({ status: 200 });
      expect(await probe("/readyz")).toMatchObject({
        status: 503,
        body: expect.stringContaining("the store is in trouble"),
      });
      expect((await probe("/metrics")).body).toContain("cdh_api_dumps 0\n");
    }
    expect((await bench.ask(`${BASE}/coredumps`, { token })).status).toBe(503);

    const second = await bench.another({ env, waits: false });
    const hung = async (): Promise<boolean> =>
      (await fetch(`http://127.0.0.1:${second.metricsPort}/healthz`).catch(() => undefined))?.status === 200;
    await expectSoon("another one listens", hung);
    await delay(3000);
    const toldAt = performance.now();
    void second.server.stop("TERM");
    expect(await Promise.race([second.server.ended.then(() => true), delay(30_000, false)])).toBe(true);
    expect(performance.now() - toldAt).toBeLessThan(12_000);

    fuse.answer();
    await expectSoon("it is ready", async () => (await probe("/readyz")).status === 200);
    const list = await bench.ask(`${BASE}/coredumps`, { token });
    expect(list.json<{ items: { metadata: { name: string } }[] }>().items[0]?.metadata.name).toBe(dump.name);
  }, 180_000);
});
