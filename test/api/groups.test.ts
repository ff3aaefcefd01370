import { createHash } from "node:crypto";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Manifest } from "@cdh/core/bundle/manifest";
import { notBuilt } from "../helpers/built.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { findKubectl, kubectlAt, type Kubectl } from "./kubectl.ts";
import { AUDIENCE, BASE, expectSoon, putDump, startWorkbench, type PutDump, type Workbench } from "./workbench.ts";

const directory = scratchDirectory("api-groups");
const GROUPS = `${BASE}/namespaces/shop/crashgroups`;
const MERGE = { "content-type": "application/merge-patch+json" };
const LABEL = "core-dump-handler.dev";

interface GroupObject {
  metadata: {
    name: string;
    namespace: string;
    resourceVersion: string;
    labels: Record<string, string>;
    annotations?: Record<string, string>;
  };
  spec: Record<string, string>;
  status: {
    phase: string;
    count: number;
    wholeCores: number;
    images: { name: string; count: number }[];
    newest: string;
  };
}

/** The id of a group, as docs/groups.md says: namespace and key alone. */
const idOf = (namespace: string, key: string, text: string): string =>
  `bug-${createHash("sha256")
    .update(`${key} ${JSON.stringify([namespace, text])}`)
    .digest("hex")
    .slice(0, 10)}`;

const minutes = (ago: number): string => new Date(Date.now() - ago * 60_000).toISOString();
const image = (tag: string): Partial<Manifest> => ({
  container: { id: "c0ffee", name: "app", imageRef: `registry.example/shop:${tag}` },
});

describeUnless(notBuilt("cdh-api") ?? missingTools("openssl"), "groups of crashes", () => {
  let bench: Workbench;
  const dumps: PutDump[] = [];
  const pay = idOf("shop", "signature", "pay | main @ server");
  const ship = idOf("shop", "signature", "ship @ server");
  const DAYS = 24 * 60;

  beforeAll(async () => {
    bench = await startWorkbench(directory, {
      // Without the index in the store a group goes with its last dump.
      env: { REFRESH_INTERVAL: "1s", INDEX: "off" },
      prepare: async (store) => {
        const payKeys = { site: "1111222233334444", signature: "pay | main @ server" };
        dumps.push(await putDump(store, { ...payKeys, ...image("1.8"), crashedAt: minutes(9 * DAYS) }));
        dumps.push(await putDump(store, { ...payKeys, ...image("1.9"), crashedAt: minutes(8 * DAYS) }));
        // No names: it belongs to those of the same site that have some.
        dumps.push(await putDump(store, { site: payKeys.site, ...image("1.9"), crashedAt: minutes(7 * DAYS) }));
        dumps.push(await putDump(store, { signature: "ship @ server", crashedAt: minutes(3) }));
        await putDump(store, { namespace: "other", ...payKeys, crashedAt: minutes(2) });
      },
    });
    bench.cluster.tokens.set("devs-token", { user: "dev", audiences: [AUDIENCE] });
    bench.cluster.tokens.set("lookers-token", { user: "looker", audiences: [AUDIENCE] });
    const namespaces = ["shop"];
    bench.cluster.grants = [
      { user: "dev", verbs: ["get", "list", "watch", "patch", "delete"], resources: ["crashgroups"], namespaces },
      { user: "dev", verbs: ["get", "list", "delete"], resources: ["coredumps"], namespaces },
      { user: "looker", verbs: ["get", "list", "watch"], resources: ["crashgroups"], namespaces },
    ];
  }, 60_000);
  afterAll(() => bench?.[Symbol.asyncDispose]());

  const ask = async <T>(path: string): Promise<T> => (await bench.ask(path, { token: "devs-token" })).json<T>();
  const groupOf = (id: string): Promise<GroupObject> => ask<GroupObject>(`${GROUPS}/${id}`);
  const patch = (id: string, body: unknown, token = "devs-token") =>
    bench.ask(`${GROUPS}/${id}`, { method: "PATCH", token, headers: MERGE, body });

  it("one line for each bug, with what is known of its crashes", async () => {
    const list = await ask<{ kind: string; items: GroupObject[] }>(GROUPS);
    expect(list.kind).toBe("CrashGroupList");
    expect(list.items.map(({ metadata }) => metadata.name)).toEqual([ship, pay]);
    const group = await groupOf(pay);
    expect(group).toMatchObject({
      kind: "CrashGroup",
      metadata: { namespace: "shop", labels: { [`${LABEL}/phase`]: "open", [`${LABEL}/workload`]: "web" } },
      spec: { key: "signature", signature: "pay | main @ server" },
      status: {
        phase: "open",
        count: 3,
        wholeCores: 3,
        images: [
          { name: "registry.example/shop:1.8", count: 1 },
          { name: "registry.example/shop:1.9", count: 2 },
        ],
        nodes: [{ name: "worker-3", count: 3 }],
        newest: dumps[2]?.name,
        days: [{ count: 1 }, { count: 1 }, { count: 1 }],
      },
    });
    expect((await groupOf(ship)).status.phase).toBe("new");
  });

  it("are counted for Prometheus, by namespace and phase, workload and image", async () => {
    expect(await bench.metric('cdh_crash_groups{namespace="shop",phase="open"}')).toBe(1);
    expect(await bench.metric('cdh_crash_groups{namespace="shop",phase="new"}')).toBe(1);
    expect(await bench.metric('cdh_crash_groups{namespace="shop",phase="regressed"}')).toBe(0);
    expect(await bench.metric('cdh_crash_groups_recent{namespace="shop",what="new"}')).toBe(1);
    const build = 'image="registry.example/shop:1.9",namespace="shop",workload="web"';
    expect(await bench.metric(`cdh_crash_build_crashes{${build}}`)).toBe(2);
    expect(await bench.metric(`cdh_crash_build_groups{${build}}`)).toBe(1);
    const text = await (await fetch(`http://127.0.0.1:${bench.metricsPort}/metrics`)).text();
    expect(text).toMatch(/^cdh_api_info\{version="[^"]+"\} 1$/m);
  });

  it("who may not list a namespace learns nothing of its groups, and dumps' rights are others", async () => {
    const other = await bench.ask(`${BASE}/namespaces/other/crashgroups/${pay}`, { token: "devs-token" });
    expect(other.status).toBe(403);
    expect(other.json<{ message: string }>().message).toContain('cannot get resource "crashgroups"');
    expect((await bench.ask(`${BASE}/namespaces/shop/coredumps`, { token: "lookers-token" })).status).toBe(403);
    expect((await bench.ask(`${GROUPS}/bug-0000000000`, { token: "devs-token" })).status).toBe(404);
    expect((await bench.ask(`${GROUPS}/constructor`, { token: "devs-token" })).status).toBe(404);
  });

  it("each dump is labelled with its group, and lists by it", async () => {
    const query = new URLSearchParams({ labelSelector: `${LABEL}/group=${pay}` });
    const { items } = await ask<{ items: GroupObject[] }>(`${BASE}/namespaces/shop/coredumps?${query.toString()}`);
    expect(items.map(({ metadata }) => metadata.name)).toEqual([2, 1, 0].map((at) => dumps[at]?.name));
    expect(items[0]?.metadata.labels[`${LABEL}/group`]).toBe(pay);
    const one = await ask<GroupObject>(`${BASE}/namespaces/shop/coredumps/${dumps[3]?.name ?? ""}`);
    expect(one.metadata.labels[`${LABEL}/group`]).toBe(ship);
  });

  it("selects by label and field, and pages", async () => {
    const names = async (query: Record<string, string>): Promise<string[]> =>
      (await ask<{ items: GroupObject[] }>(`${GROUPS}?${new URLSearchParams(query).toString()}`)).items.map(
        ({ metadata }) => metadata.name,
      );
    expect(await names({ labelSelector: `${LABEL}/phase=new` })).toEqual([ship]);
    expect(await names({ fieldSelector: "status.phase!=new" })).toEqual([pay]);
    expect(await names({ fieldSelector: `metadata.name=${pay}` })).toEqual([pay]);
    const first = await ask<{ items: GroupObject[]; metadata: { continue: string; remainingItemCount: number } }>(
      `${GROUPS}?limit=1`,
    );
    expect([first.items[0]?.metadata.name, first.metadata.remainingItemCount]).toEqual([ship, 1]);
    expect(await names({ limit: "1", continue: first.metadata.continue })).toEqual([pay]);
    expect((await bench.ask(`${GROUPS}?continue=nonsense`, { token: "devs-token" })).status).toBe(400);
  });

  it("a state is for those who may patch, is kept in the store, and every replica has it", async () => {
    expect((await patch(pay, { metadata: { labels: { [`${LABEL}/state`]: "muted" } } }, "lookers-token")).status).toBe(
      403,
    );
    const muted = await patch(pay, {
      metadata: { labels: { [`${LABEL}/state`]: "muted" }, annotations: { [`${LABEL}/note`]: "known since June" } },
    });
    expect(muted.json<GroupObject>()).toMatchObject({
      metadata: {
        labels: { [`${LABEL}/state`]: "muted", [`${LABEL}/phase`]: "muted" },
        annotations: { [`${LABEL}/note`]: "known since June", [`${LABEL}/state-by`]: "dev" },
      },
      status: { phase: "muted" },
    });
    expect(bench.logged("a group's state was changed")).toMatchObject([{ audit: true, user: "dev", name: pay }]);
    await using other = await bench.another();
    const answer = await other.ask(`${GROUPS}/${pay}`, { token: "devs-token" });
    expect(answer.json<GroupObject>().status.phase).toBe("muted");
    // And what is said there is known here, soon.
    await other.ask(`${GROUPS}/${pay}`, {
      method: "PATCH",
      token: "devs-token",
      headers: MERGE,
      body: { metadata: { labels: { [`${LABEL}/state`]: null }, annotations: { [`${LABEL}/note`]: null } } },
    });
    await expectSoon("the state is open here", async () => (await groupOf(pay)).status.phase === "open");
  });

  it.each([
    ["no state", { metadata: { labels: { [`${LABEL}/state`]: "gone" } } }, 422],
    ["something else", { status: { count: 1 } }, 422],
    ["another label", { metadata: { labels: { app: "x" } } }, 422],
    ["a note without an end", { metadata: { annotations: { [`${LABEL}/note`]: "x".repeat(501) } } }, 422],
    ["no object", [], 400],
    ["an old revision", { metadata: { resourceVersion: "1", labels: { [`${LABEL}/state`]: "muted" } } }, 409],
  ])("refuses a patch with %s", async (_what, body, status) => {
    expect((await patch(pay, body)).status).toBe(status);
    expect((await groupOf(pay)).status.phase).toBe("open");
  });

  it("whoever changes what another one has changed since, at another replica, is told so", async () => {
    await using other = await bench.another();
    const { resourceVersion } = (await other.ask(`${GROUPS}/${pay}`, { token: "devs-token" })).json<GroupObject>()
      .metadata;
    const note = (text: string | null): unknown => ({ annotations: { [`${LABEL}/note`]: text } });
    expect((await patch(pay, { metadata: note("first") })).status).toBe(200);
    const late = await other.ask(`${GROUPS}/${pay}`, {
      method: "PATCH",
      token: "devs-token",
      headers: MERGE,
      body: { metadata: { resourceVersion, ...(note("second") as object) } },
    });
    expect(late.status).toBe(409);
    expect((await groupOf(pay)).metadata.annotations?.[`${LABEL}/note`]).toBe("first");
    expect((await patch(pay, { metadata: note(null) })).status).toBe(200);
  });

  it("resolved in a version it stays resolved while old images crash, and has come back when that version does", async () => {
    const resolve = { labels: { [`${LABEL}/state`]: "resolved" }, annotations: { [`${LABEL}/resolved-in`]: "1.10" } };
    expect((await patch(pay, { metadata: resolve })).json<GroupObject>().status.phase).toBe("resolved");
    const later = (): string => new Date(Date.now() + 2000).toISOString();
    await putDump(bench.store, { signature: "pay | main @ server", ...image("1.9"), crashedAt: later() });
    await expectSoon("the old image's crash is counted", async () => (await groupOf(pay)).status.count === 4);
    expect((await groupOf(pay)).status.phase).toBe("resolved");
    await putDump(bench.store, { signature: "pay | main @ server", ...image("1.10"), crashedAt: later() });
    await expectSoon("it has come back", async () => (await groupOf(pay)).status.phase === "regressed");
  });

  it("a watch tells of new groups, of changes and of what is gone", async () => {
    const { metadata } = await ask<{ metadata: { resourceVersion: string } }>(GROUPS);
    const path = `${GROUPS}?watch=1&resourceVersion=${metadata.resourceVersion}`;
    const answer = await bench.open(path, { token: "devs-token" });
    const events: { type: string; object: GroupObject }[] = [];
    createInterface({ input: answer }).on("line", (line) => events.push(JSON.parse(line) as (typeof events)[number]));
    const fresh = idOf("shop", "signature", "refund @ server");
    const dump = await putDump(bench.store, { signature: "refund @ server", crashedAt: minutes(1) });
    const told = (type: string, count: number) => (): boolean =>
      events.some(
        ({ type: one, object }) => one === type && object.metadata.name === fresh && object.status.count === count,
      );
    await expectSoon("the new group is told", told("ADDED", 1));
    await putDump(bench.store, { signature: "refund @ server", crashedAt: minutes(0) });
    await expectSoon("its next crash is told", told("MODIFIED", 2));
    for (const { metadata: one } of (
      await ask<{ items: GroupObject[] }>(`${BASE}/namespaces/shop/coredumps?labelSelector=${LABEL}%2Fgroup%3D${fresh}`)
    ).items) {
      expect(
        (await bench.ask(`${BASE}/namespaces/shop/coredumps/${one.name}`, { method: "DELETE", token: "devs-token" }))
          .status,
      ).toBe(200);
    }
    expect(dump.name).not.toBe("");
    await expectSoon("that it is gone is told", () =>
      events.some(({ type, object }) => type === "DELETED" && object.metadata.name === fresh),
    );
    expect(events.filter(({ object }) => object.metadata.name === ship)).toEqual([]);
    answer.destroy();
  });

  describeUnless(findKubectl().reason, "the real kubectl", () => {
    let kubectl: Kubectl;
    beforeAll(() => {
      kubectl = kubectlAt(directory, { port: bench.port, caFile: bench.cluster.ca.cert, token: "devs-token" });
    });

    it("get, describe, explain, label", async () => {
      const { status, stdout, stderr } = await kubectl("get", "crashgroups", "-n", "shop");
      expect(`${status} ${stderr}`).toBe("0 ");
      const [head = "", ...rows] = stdout.trim().split("\n");
      expect(head.split(/ {2,}/)).toEqual(
        ["NAME", "PHASE", "CRASHES", "CORES", "FIRST SEEN", "LAST SEEN", "SIGNAL", "WHAT"].map((name) => name),
      );
      expect(rows.find((row) => row.startsWith(pay))).toMatch(/regressed +5 +5 +9d +.* SIGSEGV +pay \| main @ server/);
      const wide = await kubectl("get", "cgroup", "-n", "shop", "-o", "wide", "--no-headers");
      expect(wide.stdout).toMatch(/web +registry\.example\/shop:1\.8 \+2 +worker-3/);
      const described = await kubectl("describe", "crashgroup", pay, "-n", "shop");
      expect(described.stdout).toMatch(/Signature: +pay \| main @ server/);
      const explained = await kubectl("explain", "crashgroup.status");
      expect(explained.stdout).toMatch(/wholeCores\s+<integer>/);
      const labelled = await kubectl("label", "crashgroup", ship, "-n", "shop", `${LABEL}/state=muted`);
      expect(`${labelled.status} ${labelled.stderr}`).toBe("0 ");
      expect((await groupOf(ship)).status.phase).toBe("muted");
      const noted = await kubectl("annotate", "crashgroup", ship, "-n", "shop", `${LABEL}/note=see ticket 7`);
      expect(`${noted.status} ${noted.stderr}`).toBe("0 ");
      expect((await groupOf(ship)).metadata.annotations?.[`${LABEL}/note`]).toBe("see ticket 7");
    });
  });
});
