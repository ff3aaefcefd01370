import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { builtPath, notBuilt } from "../helpers/built.ts";
import { freePort } from "../helpers/free-port.ts";
import { programOf, residentBytes } from "../helpers/resident.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless } from "../helpers/skip.ts";
import { startTied, type TiedChild } from "../helpers/tied-child.ts";
import { missingTools } from "../helpers/tools.ts";
import { AUDIENCE, BASE, expectSoon, putDump, startWorkbench, type Workbench } from "./workbench.ts";

const directory = scratchDirectory("api-replicas");
const LIST = `${BASE}/namespaces/shop/coredumps`;
const token = "admins-token";

interface List {
  metadata: { resourceVersion: string; continue?: string };
  items: { metadata: { name: string } }[];
}

describeUnless(notBuilt("cdh-api") ?? missingTools("openssl"), "two replicas of cdh-api over one store", () => {
  let bench: Workbench;
  let young: { port: number; child: TiedChild };

  /** Start another replica, which looks at the store far less often. */
  const startYoung = async (): Promise<typeof young> => {
    const port = await freePort();
    const child = startTied(builtPath("cdh-api"), ["serve"], {
      env: {
        ...bench.cluster.env,
        STORE_URL: `file://${bench.storeDir}`,
        LISTEN_ADDR: `127.0.0.1:${port}`,
        TLS_CERT_FILE: bench.tls.cert,
        TLS_KEY_FILE: bench.tls.key,
        RIGHTS_CACHE: "0s",
        REFRESH_INTERVAL: "3s",
        LOG_FORMAT: "json",
      },
    });
    const ask = bench.askAt(port);
    await expectSoon("it is ready", async () => (await ask("/readyz").catch(() => undefined))?.status === 200);
    return { port, child };
  };
  const listAt = async (port: number, query = ""): Promise<List> =>
    (await bench.askAt(port)(`${LIST}${query}`, { token })).json<List>();
  const watchAt = (port: number, revision: string, seconds: number): Promise<string> =>
    bench
      .askAt(port)(`${LIST}?watch=true&resourceVersion=${revision}&timeoutSeconds=${seconds}`, { token })
      .then(({ status, body }) => `${status} ${body.toString()}`);

  beforeAll(async () => {
    bench = await startWorkbench(directory, {
      env: { REFRESH_INTERVAL: "1s" },
      prepare: async (store) => {
        for (let index = 0; index < 7; index += 1) await putDump(store, { crashId: `dump-${index}` });
      },
    });
    bench.cluster.tokens.set(token, { user: "admin", audiences: [AUDIENCE] });
    bench.cluster.grants = [{ user: "admin", verbs: ["*"], resources: ["*"], namespaces: ["*"] }];
    young = await startYoung();
  });
  afterAll(async () => {
    await young?.child.stop();
    await bench?.[Symbol.asyncDispose]();
  });

  it("a watch at one, of the other's revision, tells whatever came after it", async () => {
    let tries = 0;
    await expectSoon("a revision of the one is known to the other", async () => {
      const { metadata } = await listAt(bench.port);
      const { name } = await putDump(bench.store, { crashId: `after-${(tries += 1)}` });
      const told = await watchAt(young.port, metadata.resourceVersion, 8);
      // A replica that began moments ago may say that it does not know: clients list again.
      if (told.startsWith("410")) return false;
      expect(told).toContain(`"name":"${name}"`);
      return true;
    });
  });

  it("pages of one go on at the other, each dump once", async () => {
    const names: string[] = [];
    let from = "";
    for (let turn = 0; ; turn += 1) {
      const port = turn % 2 === 0 ? bench.port : young.port;
      const page = await listAt(port, `?limit=2${from === "" ? "" : `&continue=${from}`}`);
      names.push(...page.items.map(({ metadata }) => metadata.name));
      from = page.metadata.continue ?? "";
      if (from === "") break;
    }
    expect(names.filter((name) => /^dump-\d$/.test(name)).toSorted()).toEqual(
      Array.from({ length: 7 }, (_, index) => `dump-${index}`),
    );
    expect(new Set(names).size).toBe(names.length);
  });

  it("a revision of a replica in whose store nothing happened is understood by one that was restarted", async () => {
    await young.child.stop();
    young = await startYoung();
    // Not within the seconds by which clocks may differ; then always, though nothing ever changes.
    await expectSoon("a watch of the old one's revision begins at the new one", async () => {
      const { metadata } = await listAt(bench.port);
      const told = await watchAt(young.port, metadata.resourceVersion, 1);
      expect(told).toMatch(/^(200|410) /);
      return told.startsWith("200");
    });
  }, 60_000);

  it("a manifest of three megabytes is listed, and read whole by many at a time in bounded memory", async () => {
    const modules = Array.from({ length: 20_000 }, (_, index) => ({
      path: `/usr/lib/x86_64-linux-gnu/a-library-with-a-name-${index}/😀/lib.so`,
      start: `0x7f${index.toString(16).padStart(10, "0")}`,
      end: `0x8f${index.toString(16).padStart(10, "0")}`,
      buildId: "f1d2d2f924e986ac86fdf7b36c94bcdf32beec15",
    }));
    const big = await putDump(bench.store, { crashId: "big-manifest" });
    const body = JSON.stringify({ ...big.manifest, modules });
    expect(body.length).toBeGreaterThan(3_000_000);
    writeFileSync(join(bench.storeDir, `${big.stem}.manifest.json`), body);
    const read = async (): Promise<string> =>
      (await bench.ask(`${LIST}/big-manifest`, { token, headers: { "accept-encoding": "identity" } })).body.toString();
    await expectSoon("it is listed", async () => (await read()).includes("a-library-with-a-name-19999"));
    const all = await Promise.all(Array.from({ length: 20 }, read));
    for (const text of all) {
      const { spec } = JSON.parse(text) as { spec: { modules: unknown[] } };
      expect(spec.modules).toEqual(modules);
    }
    const peak = residentBytes(programOf(bench.server, "cdh-api.mjs"), "VmHWM");
    console.log(`20 readers of a manifest of 3 MB at a time: peak ${Math.round(peak / 1024 / 1024)} MiB`);
    expect(peak).toBeLessThan(400 * 1024 * 1024);
  });
});
