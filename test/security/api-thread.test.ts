import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { makeManifest } from "@cdh/core/testing/sample-bundle";
import { AUDIENCE, BASE, expectSoon, putDump, startWorkbench, type PutDump, type Workbench } from "../api/workbench.ts";
import { builtPath, notBuilt } from "../helpers/built.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";

const token = "token-of-admin";

/**
 * Copy the built program with so small a heap for its thread that documents within the limits are too much for it. With
 * its own heap none is: `manifests.test.ts` tries the worst.
 */
function withHeapOf(megabytes: number, directory: string): string {
  const dist = dirname(dirname(builtPath("cdh-api")));
  for (const name of ["bin", "lib"]) mkdirSync(join(directory, name), { recursive: true });
  cpSync(join(dist, "bin", "cdh-api"), join(directory, "bin", "cdh-api"));
  cpSync(join(dist, "lib"), join(directory, "lib"), { recursive: true });
  symlinkSync(join(dist, "node"), join(directory, "node"));
  const program = join(directory, "lib", "cdh-api.mjs");
  const source = readFileSync(program, "utf8");
  const changed = source.replace(/\bHEAP_MB = \d+/, `HEAP_MB = ${megabytes}`);
  expect(changed).not.toBe(source);
  writeFileSync(program, changed);
  return join(directory, "bin", "cdh-api");
}

/** As many elements as are allowed, in a manifest that is one otherwise. */
function large(crashId: string): Buffer {
  const modules = Array.from({ length: 39_000 }, (_, at) => ({
    path: `/lib/m${at}`,
    start: `0x${at}`,
    end: `0x${at}1`,
  }));
  return Buffer.from(JSON.stringify({ ...makeManifest(Buffer.alloc(16), 16), crashId, modules }));
}

describeUnless(notBuilt("cdh-api") ?? missingTools("openssl"), "the thread of cdh-api that runs out of memory", () => {
  let bench: Workbench;
  const dumps: PutDump[] = [];
  const healthy = { asked: 0, answered: 0 };

  beforeAll(async () => {
    const directory = scratchDirectory("security-thread");
    bench = await startWorkbench(directory, {
      program: withHeapOf(12, join(directory, "program")),
      waits: false,
      prepare: async (store) => {
        dumps.push(await putDump(store, { namespace: "a-before" }));
        for (const name of ["one", "two"]) await store.putBytes(`shop/${name}.manifest.json`, large(name));
        dumps.push(await putDump(store, { namespace: "z-behind" }));
      },
    });
    bench.cluster.tokens.set(token, { user: "admin", audiences: [AUDIENCE] });
    bench.cluster.grants = [{ user: "admin", verbs: ["*"], resources: ["*"], namespaces: ["*"] }];
    const isWell = async (): Promise<boolean> =>
      (await fetch(`http://127.0.0.1:${bench.metricsPort}/healthz`).catch(() => undefined))?.status === 200;
    await expectSoon("it listens", isWell);
    await expectSoon("it is ready", async () => {
      healthy.asked += 1;
      if (await isWell()) healthy.answered += 1;
      return (await bench.ask("/readyz")).status === 200;
    });
  }, 90_000);
  afterAll(() => bench?.[Symbol.asyncDispose]());

  it("takes nothing else with it: what was too much is counted, told and left aside", async () => {
    expect(await bench.metric("cdh_api_garbage_manifests")).toBe(2);
    const told = bench.logged("a manifest is garbage and is left out");
    expect(told.map(({ stem }) => stem).toSorted()).toEqual(["shop/one", "shop/two"]);
    for (const { reason } of told) expect(reason).toContain("it takes too much memory");
  });

  it("holds up nobody: others are answered meanwhile", () => {
    expect(healthy.asked).toBeGreaterThan(1);
    expect(healthy.answered).toBe(healthy.asked);
  });

  it("is started again: what stands behind in the store is listed, and read whole", async () => {
    const list = await bench.ask(`${BASE}/coredumps`, { token });
    const { items } = list.json<{ items: { metadata: { name: string } }[] }>();
    expect(items.map(({ metadata }) => metadata.name).toSorted()).toEqual(dumps.map(({ name }) => name).toSorted());
    for (const { stem, name } of dumps) {
      const [namespace] = stem.split("/");
      const object = await bench.ask(`${BASE}/namespaces/${namespace}/coredumps/${name}`, { token });
      expect([object.status, object.json()["spec"]]).toEqual([200, expect.objectContaining({ crashId: name })]);
    }
  });
});
