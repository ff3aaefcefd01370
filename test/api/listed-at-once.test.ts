import { randomUUID } from "node:crypto";
import { mkdirSync } from "node:fs";
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { composeBundle } from "../../packages/core/src/testing/compose-bundle.ts";
import { makeManifest, makeTinyCore, SAMPLE_NAME } from "../../packages/core/src/testing/sample-bundle.ts";
import { builtPath, notBuilt } from "../helpers/built.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless } from "../helpers/skip.ts";
import { startTied, type TiedChild } from "../helpers/tied-child.ts";
import { missingTools } from "../helpers/tools.ts";
import { AUDIENCE, BASE, expectSoon, putDump, startWorkbench, type Workbench } from "./workbench.ts";

const directory = scratchDirectory("api-at-once");
const LIST = `${BASE}/namespaces/shop/coredumps`;
const token = "admins-token";
/** The listings of everything are far away: what is listed is listed because of its notice. */
const env = { REFRESH_INTERVAL: "1h", RIGHTS_CACHE: "60s" };

interface List {
  items: { metadata: { name: string } }[];
}

describeUnless(
  notBuilt("cdh-api") ?? notBuilt("cdh-upload") ?? missingTools("openssl"),
  "a dump is listed at once",
  () => {
    let one: Workbench;
    let other: Workbench;
    let uploader: TiedChild;
    const spool = join(directory, "cores");

    const startUploader = (): TiedChild =>
      startTied(builtPath("cdh-upload"), ["run"], {
        env: {
          CORE_DIR: spool,
          STORE_URL: `file://${one.storeDir}`,
          NOTICES: "true",
          METRICS_ADDR: "",
          LOG_FORMAT: "json",
        },
      });
    const namesAt = async (bench: Workbench): Promise<string[]> => {
      const answer = await bench.ask(LIST, { token });
      return answer.status === 200 ? answer.json<List>().items.map(({ metadata }) => metadata.name) : [];
    };
    /** A crash, as the composer publishes it. */
    const crash = async (): Promise<string> => {
      const crashId = randomUUID();
      const core = makeTinyCore(4096);
      const name = `${crashId}-dump-1795249571-worker-server-1-11`;
      const plain = makeManifest(core, 0, {
        crashId,
        bundle: `${name}.zip`,
        pod: { name: "web-0", namespace: "shop" },
        identity: { source: "oci-config", verified: true },
      });
      const manifest = { ...plain, core: { ...plain.core, compression: "zstd" } };
      const { bytes } = await composeBundle(core, "zstd", [
        { name: `${SAMPLE_NAME}-manifest.json`, bytes: Buffer.from(JSON.stringify(manifest)) },
      ]);
      writeFileSync(join(spool, `.${name}.partial`), bytes, { mode: 0o600 });
      renameSync(join(spool, `.${name}.partial`), join(spool, `${name}.zip`));
      return crashId;
    };
    const uploaded = (id: string): boolean =>
      uploader.output().includes(`"msg":"uploaded"`) && uploader.output().includes(id);

    beforeAll(async () => {
      mkdirSync(spool, { mode: 0o700 });
      one = await startWorkbench(directory, { env });
      one.cluster.tokens.set(token, { user: "admin", audiences: [AUDIENCE] });
      one.cluster.grants = [{ user: "admin", verbs: ["*"], resources: ["*"], namespaces: ["*"] }];
      other = await one.another({ env });
      uploader = startUploader();
    });
    afterAll(async () => {
      await uploader?.stop();
      await other?.[Symbol.asyncDispose]();
      await one?.[Symbol.asyncDispose]();
    });

    it("once one replica has shown it the other does, each time", async () => {
      for (let turn = 0; turn < 8; turn += 1) {
        const id = await crash();
        const benches = turn % 2 === 0 ? [one, other] : [other, one];
        const [first, second] = benches;
        if (first === undefined || second === undefined) throw new Error("two replicas");
        let began: number | undefined;
        await expectSoon("one shows it", async () => {
          if (began === undefined && uploaded(id)) began = performance.now();
          return (await namesAt(first)).includes(id);
        });
        // Not once "seen, gone, seen again", whichever of them answers.
        for (const bench of [second, first, second, first]) expect(await namesAt(bench)).toContain(id);
        if (began !== undefined) expect(performance.now() - began).toBeLessThan(2000);
      }
    }, 60_000);

    it("a watch is told within moments, at either replica", async () => {
      const watching = [one, other].map(async (bench) => {
        const stream = await bench.open(`${LIST}?watch=1&resourceVersion=0&timeoutSeconds=20`, { token });
        let text = "";
        stream.on("data", (chunk: Buffer) => (text += String(chunk)));
        return { text: () => text, stream };
      });
      const watches = await Promise.all(watching);
      const id = await crash();
      for (const { text } of watches) await expectSoon("it is told", () => text().includes(id), 10_000);
      for (const { stream } of watches) stream.on("error", () => {}).destroy();
    }, 40_000);

    it("what one replica deletes is gone at the other; what it keeps is kept", async () => {
      const id = await crash();
      await expectSoon("it is listed", async () => (await namesAt(one)).includes(id));
      const headers = { "content-type": "application/merge-patch+json" };
      const body = { metadata: { labels: { "core-dump-handler.dev/keep": "true" } } };
      expect((await one.ask(`${LIST}/${id}`, { token, method: "PATCH", body, headers })).status).toBe(200);
      expect(
        (await other.ask(`${LIST}?labelSelector=core-dump-handler.dev/keep`, { token })).body.toString(),
      ).toContain(id);
      expect((await one.ask(`${LIST}/${id}`, { token, method: "DELETE" })).status).toBe(200);
      expect(await namesAt(other)).not.toContain(id);
      expect((await other.ask(`${LIST}/${id}`, { token })).status).toBe(404);
    });

    it("with uploader and replica restarted in between, and the servers away while it is uploaded", async () => {
      await uploader.stop("KILL");
      const waiting = await crash();
      uploader = startUploader();
      await expectSoon("it is listed", async () => (await namesAt(one)).includes(waiting));
      await other[Symbol.asyncDispose]();
      const id = await crash();
      await expectSoon("it is uploaded", () => uploaded(id));
      other = await one.another({ env });
      for (const bench of [other, one]) {
        const names = await namesAt(bench);
        expect([names.includes(id), names.includes(waiting)]).toEqual([true, true]);
      }
    }, 60_000);

    it("without a notice it is listed when the store is listed", async () => {
      await using own = await one.another({ env: { ...env, REFRESH_INTERVAL: "2s", NOTICES: "false" } });
      const { name } = await putDump(one.store);
      await delay(100);
      await expectSoon("it is listed", async () => (await namesAt(own)).includes(name), 20_000);
    }, 40_000);
  },
);
