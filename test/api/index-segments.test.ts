import { mkdtemp, readdir, readFile, rm, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { notBuilt, runBuilt } from "../helpers/built.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { writeKubeconfig } from "./kubectl.ts";
import { AUDIENCE, BASE, expectSoon, putDump, startWorkbench, type PutDump, type Workbench } from "./workbench.ts";

const reason = notBuilt("cdh-api", "cdh-inspect") ?? missingTools("openssl");
const ENV = { INDEX_INTERVAL: "1s", REFRESH_INTERVAL: "1s" };

describeUnless(reason, "the index in the store", () => {
  let directory: string;
  let bench: Workbench;
  const dumps: PutDump[] = [];

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "cdh-index-"));
    bench = await startWorkbench(directory, {
      env: ENV,
      prepare: async (store) => {
        for (let at = 0; at < 30; at += 1)
          dumps.push(await putDump(store, { namespace: at % 2 === 0 ? "shop" : "till" }));
      },
    });
    bench.cluster.tokens.set("admin", { user: "admin", audiences: [AUDIENCE] });
    bench.cluster.grants = [{ user: "admin", verbs: ["*"], resources: ["*"], namespaces: ["*"] }];
  }, 60_000);
  afterAll(async () => {
    await bench[Symbol.asyncDispose]();
    await rm(directory, { recursive: true, force: true });
  });

  const folder = (): string => join(directory, "store/_index/v1");
  const segments = async (): Promise<string[]> =>
    (await readdir(folder()).catch(() => [])).filter((name) => /^\d.*\.segment$/.test(name)).toSorted();
  const listed = async (server: Workbench): Promise<string[]> => {
    const answer = await server.ask(`${BASE}/coredumps`, { token: "admin" });
    expect(answer.status).toBe(200);
    return answer
      .json<{ items: { metadata: { name: string } }[] }>()
      .items.map(({ metadata }) => metadata.name)
      .toSorted();
  };

  it("is written by the replica that leads, and nobody takes it for a bundle", async () => {
    await expectSoon("a segment is there", async () => (await segments()).length > 0);
    expect(await listed(bench)).toEqual(dumps.map(({ name }) => name).toSorted());
    expect(await bench.metric("cdh_api_index_segments")).toBeGreaterThan(0);
    expect(await bench.metric("cdh_api_garbage_manifests")).toBe(0);
  }, 60_000);

  it("lets a replica that starts read no manifest, and find what changed since", async () => {
    const [gone, kept] = [dumps[0], dumps[2]];
    if (gone === undefined || kept === undefined) throw new Error("no dumps");
    const added = await putDump(bench.store, { namespace: "shop" });
    await bench.store.delete(`${gone.stem}.manifest.json`);
    await bench.store.delete(`${gone.stem}.zip`);
    await bench.store.putBytes(`${kept.stem}.keep`, Buffer.from("{}"));
    await using other = await bench.another({ env: { ...ENV, INDEX: "read" } });
    expect(await other.metric("cdh_api_index_recalled_dumps")).toBeGreaterThanOrEqual(30);
    await expectSoon("the store is listed", async () => other.logged("the store is listed").length > 0);
    expect(other.logged("the store is listed")[0]?.["read"]).toBeLessThanOrEqual(1);
    const expected = [...dumps.filter((dump) => dump !== gone), added].map(({ name }) => name).toSorted();
    expect(await listed(other)).toEqual(expected);
    expect((await other.ask(`${BASE}/namespaces/shop/coredumps/${gone.name}`, { token: "admin" })).status).toBe(404);
    dumps.splice(0, 1);
    dumps.push(added);
  }, 60_000);

  it("keeps a group, its number and its first crash when its dumps are gone, also for a replica that starts later", async () => {
    const signature = "refund | main @ server";
    const gone = [await putDump(bench.store, { signature }), await putDump(bench.store, { signature })];
    type Group = { metadata: { name: string }; status: { count: number; firstSeen: string; newest?: string } };
    const groupAt = async (server: Workbench): Promise<Group | undefined> => {
      const answer = await server.ask(`${BASE}/namespaces/shop/crashgroups`, { token: "admin" });
      return answer
        .json<{ items: (Group & { spec: { signature?: string } })[] }>()
        .items.find(({ spec }) => spec.signature === signature);
    };
    await expectSoon("the group is there", async () => (await groupAt(bench))?.status.count === 2);
    const before = await groupAt(bench);
    for (const { name } of gone) {
      const path = `${BASE}/namespaces/shop/coredumps/${name}`;
      expect((await bench.ask(path, { method: "DELETE", token: "admin" })).status).toBe(200);
    }
    const rounds = async (): Promise<number> => await bench.metric('cdh_api_index_writes_total{outcome="done"}');
    const told = await rounds();
    await expectSoon("two more rounds are over", async () => (await rounds()) >= told + 2);
    await using other = await bench.another({ env: { ...ENV, INDEX: "read" } });
    const id = before?.metadata.name ?? "";
    for (const server of [bench, other]) {
      const table = await server.ask(`${BASE}/namespaces/shop/crashgroups`, {
        token: "admin",
        headers: { accept: "application/json;as=Table;g=meta.k8s.io;v=v1" },
      });
      const row = table.json<{ rows: { cells: string[] }[] }>().rows.find(({ cells }) => cells[0] === id);
      // Crashes, whole cores, and no crash to open.
      expect(row?.cells).toEqual(expect.arrayContaining([signature, "2", "0", "-"]));
      const kubeconfig = join(directory, `kubeconfig-${server.port}.json`);
      writeKubeconfig(kubeconfig, { port: server.port, caFile: server.cluster.ca.cert, token: "admin" });
      const inspect = (...args: string[]): ReturnType<typeof runBuilt> =>
        runBuilt("cdh-inspect", [...args, "--kubeconfig", kubeconfig]);
      const groups = await inspect("groups", "kube://shop/");
      expect(`${groups.exitCode} ${groups.stdout}`).toMatch(/^0 [^]*refund \| main @ server/);
      const shown = await inspect("show", `kube://shop/${id}`);
      expect(`${shown.exitCode} ${shown.stdout}`).toMatch(/^0 [^]*2, 0 with a whole core/);
      const stacks = await inspect("bt", `kube://shop/${id}`);
      expect(stacks.stderr).toContain(`no crash of ${id} is there any more`);
      const after = await groupAt(server);
      expect(after).toMatchObject({ metadata: { name: before?.metadata.name }, status: { count: 2, wholeCores: 0 } });
      expect(after?.status.firstSeen).toBe(before?.status.firstSeen);
      expect(after?.status.newest).toBeUndefined();
    }
  }, 60_000);

  it("that is damaged is told, and changes nothing", async () => {
    const [first = ""] = await segments();
    const file = join(folder(), first);
    await truncate(file, (await readFile(file)).length - 3);
    await using other = await bench.another({ env: { ...ENV, INDEX: "read" } });
    expect(await other.metric("cdh_api_index_damaged_segments")).toBe(1);
    expect(other.logged("a segment of the index is damaged and is left out")).toHaveLength(1);
    expect(await listed(other)).toEqual(dumps.map(({ name }) => name).toSorted());
  }, 60_000);
});
