import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { AUDIENCE, BASE, expectSoon, startWorkbench, type Workbench } from "../api/workbench.ts";
import { makeRig } from "../composer/drive.ts";
import { makeOld } from "../composer/torn.ts";
import { notBuilt, runBuilt } from "../helpers/built.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { HOSTILE_CORES } from "./hostile-cores.ts";

/** Of a torn bundle the central directory is gone, and a part of what stands before it. */
const TORN_BYTES = 400;
/** Three ways by which a core becomes a bundle. */
const WRITERS = ["cdc", "import", "salvage"] as const;
/** So many of the composer's own bundles are enough here: composer.test.ts opens every one. */
const BY_CDC = 4;
/** Every core and how it is written. */
const WRITTEN = HOSTILE_CORES.flatMap(({ make }, index) =>
  WRITERS.filter((writer) => writer !== "cdc" || index < BY_CDC).map((writer) => ({ index, make, writer })),
);

const unavailable = notBuilt("cdc", "cdh-upload", "cdh-inspect", "cdh-api") ?? missingTools("zstd", "openssl");

describeUnless(unavailable, "what can be made to be written", () => {
  const place = scratchDirectory("security-written");
  let bench: Workbench;
  let stored: string[];

  beforeAll(async () => {
    bench = await startWorkbench(join(place, "api"), { waits: false, env: { REFRESH_INTERVAL: "1s" } });
  }, 120_000);
  afterAll(async () => await bench[Symbol.asyncDispose]());

  it("is uploaded, whoever wrote it", { timeout: 900_000 }, async () => {
    for (const { index, make, writer } of WRITTEN) {
      const core = make();
      const coreDir = join(place, `${index}-${writer}`);
      mkdirSync(coreDir, { mode: 0o700 });
      if (writer === "import") makeOld(written(join(coreDir, `core.${4000 + index}`), core));
      else {
        await using rig = makeRig();
        expect((await rig.run(core, { timeoutMs: 100_000 })).exitCode).toBe(0);
        const { path } = await rig.bundle();
        const bytes = readFileSync(path);
        if (writer === "cdc") written(join(coreDir, basename(path)), bytes);
        else makeOld(written(join(coreDir, `.${basename(path)}.partial`), bytes.subarray(0, -TORN_BYTES)));
      }
      const settings = { CORE_DIR: coreDir, STORE_URL: `file://${bench.storeDir}`, WATCH_PATTERN: "core.*" };
      const env = { PATH: "/usr/bin:/bin", ...settings };
      const swept = await runBuilt("cdh-upload", ["sweep", "-o", "json"], { env });
      const { stdout, stderr } = swept;
      expect(JSON.parse(stdout), `${writer}: ${stderr}`).toMatchObject({ bundles: [{ status: "uploaded" }] });
    }
    const all = readdirSync(bench.storeDir, { recursive: true, encoding: "utf8" });
    stored = all.filter((name) => /(^|\/)[^.][^/]*\.zip$/.test(name));
    expect(stored).toHaveLength(WRITTEN.length);
  });

  it("is read by cdh-inspect", { timeout: 300_000 }, async () => {
    for (const name of stored) {
      const shown = await runBuilt("cdh-inspect", ["show", "-o", "json", join(bench.storeDir, name)]);
      // 3: what was salvaged may end early, and says so.
      expect([0, 3], `${name}: ${shown.stderr}`).toContain(shown.exitCode);
      expect(JSON.parse(shown.stdout)).toHaveProperty("manifest.schemaVersion");
    }
  });

  it("is taken by cdh-api, none of it for garbage", { timeout: 120_000 }, async () => {
    await expectSoon("it is ready", async () => (await bench.ask("/readyz").catch(() => undefined))?.status === 200);
    // It was ready before anything was stored: its next look finds what the last sweeps brought.
    await expectSoon("it lists all", async () => (await bench.metric("cdh_api_dumps")) === stored.length);
    expect(await bench.metric("cdh_api_garbage_manifests")).toBe(0);
    const token = "token-of-admin";
    bench.cluster.tokens.set(token, { user: "admin", audiences: [AUDIENCE] });
    bench.cluster.grants = [{ user: "admin", verbs: ["*"], resources: ["*"], namespaces: ["*"] }];
    const list = await bench.ask(`${BASE}/coredumps`, { token });
    const { items } = list.json<{ items: { metadata: { namespace: string; name: string } }[] }>();
    expect(items).toHaveLength(stored.length);
    for (const { metadata } of items) {
      const object = `${BASE}/namespaces/${metadata.namespace}/coredumps/${metadata.name}`;
      expect((await bench.ask(`${object}/report?format=json`, { token })).status, metadata.name).toBe(200);
    }
  });
});

function written(path: string, bytes: Uint8Array): string {
  writeFileSync(path, bytes);
  return path;
}
