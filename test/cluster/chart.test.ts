import { afterAll, beforeAll, expect, it } from "vitest";
import { parseAllDocuments } from "yaml";
import { clusterUnavailable, startCluster, type RealCluster } from "../helpers/real-cluster.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { difference, everything, helmFor, untilSeen, type Helm, type Live } from "./helm-release.ts";

const VALUES = {
  store: { url: "s3://cores/prod", region: "eu-central-1" },
  image: { registry: "registry.example.com" },
};

describeUnless(clusterUnavailable() ?? missingTools("helm"), "the chart's life on a real API server", () => {
  let cluster: RealCluster;
  let helm: Helm;
  let bare: Map<string, Live>;
  beforeAll(async () => {
    cluster = await startCluster({ controllers: true });
    helm = helmFor(cluster);
    await cluster.apply({ apiVersion: "v1", kind: "Namespace", metadata: { name: "observe" } });
    await settle(cluster);
    bare = await everything(cluster);
  });
  afterAll(async () => {
    await cluster?.[Symbol.asyncDispose]();
  });

  const daemonSet = (): Promise<Live> => cluster.get<Live>("-n", "observe", "daemonset", "cdh-core-dump-handler");

  it("install makes these objects and no others, and says how to go on", async () => {
    const notes = await helm.chart("install", "cdh", VALUES);
    await untilSeen(cluster);
    expect(difference(bare, await everything(cluster))).toEqual([
      "+ ClusterRole /cdh-core-dump-handler-event-reporter",
      "+ ClusterRoleBinding /cdh-core-dump-handler-event-reporter",
      "+ ControllerRevision observe/" + (await revisions(cluster))[0],
      "+ DaemonSet observe/cdh-core-dump-handler",
      "+ Role observe/cdh-core-dump-handler-uninstall",
      "+ RoleBinding observe/cdh-core-dump-handler-uninstall",
      "+ Secret observe/sh.helm.release.v1.cdh.v1",
      "+ ServiceAccount observe/core-dump-admin",
    ]);
    expect(notes).toContain("helm -n observe test cdh --logs");
    expect(notes).toContain("kubectl -n observe rollout status daemonset/cdh-core-dump-handler");
  });

  it("what the API server keeps is what was rendered: nothing was dropped or put right", async () => {
    const rendered = await helm("get", "manifest", "cdh");
    const documents = parseAllDocuments(rendered).map((document) => document.toJS() as Live);
    const text = documents.map((document) => JSON.stringify(document)).join("\n");
    const { status, stdout, stderr } = await cluster.kubectl(["diff", "-f", "-"], { input: text });
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: "", stderr: "" });
  });

  it("an upgrade that changes nothing writes nothing but helm's own record", async () => {
    const before = await everything(cluster);
    await helm.chart("upgrade", "cdh", VALUES);
    expect(difference(before, await everything(cluster))).toEqual([
      "+ Secret observe/sh.helm.release.v1.cdh.v2",
      "~ Secret observe/sh.helm.release.v1.cdh.v1",
    ]);
  });

  it("an upgrade changes what its value means, and a rollback takes exactly that back", async () => {
    const before = await daemonSet();
    const all = await everything(cluster);
    await helm.chart("upgrade", "cdh", { ...VALUES, upload: { concurrency: 8 } });
    await untilSeen(cluster);
    const changed = difference(all, await everything(cluster)).filter((line) => line.startsWith("~"));
    expect(changed).toContain("~ DaemonSet observe/cdh-core-dump-handler");
    expect(changed.filter((line) => !/DaemonSet|sh\.helm\.release/.test(line))).toEqual([]);
    const during = await daemonSet();
    expect(during.metadata.generation).toBe((before.metadata.generation ?? 0) + 1);
    const text = JSON.stringify(before["spec"]).replace(
      '{"name":"UPLOAD_CONCURRENCY","value":"4"}',
      '{"name":"UPLOAD_CONCURRENCY","value":"8"}',
    );
    expect(during["spec"]).toEqual(JSON.parse(text));
    await helm("rollback", "cdh");
    await untilSeen(cluster);
    expect((await daemonSet())["spec"]).toEqual(before["spec"]);
  });

  it("a value that cannot work stops an upgrade before anything is written", async () => {
    const before = await everything(cluster);
    await expect(helm.chart("upgrade", "cdh", { upload: { enabled: true } })).rejects.toThrow(/there is no store/);
    await expect(helm.chart("upgrade", "cdh", { ...VALUES, daemonset: { label: "x".repeat(64) } })).rejects.toThrow(
      /label/,
    );
    expect(difference(before, await everything(cluster))).toEqual([]);
  });

  it("uninstall leaves nothing", async () => {
    await helm("uninstall", "cdh", "--wait");
    await expect
      .poll(async () => difference(bare, await everything(cluster)), { timeout: 30_000, interval: 500 })
      .toEqual([]);
  });

  it("two releases of the longest name live side by side", async () => {
    const name = `r${"x".repeat(51)}`;
    const other = { ...VALUES, serviceAccount: { name: "second" }, daemonset: { label: "second" } };
    await helm.chart("install", `${name}a`, { ...VALUES, metrics: { dashboard: { enabled: true } } });
    await helm.chart("install", `${name}b`, { ...other, metrics: { dashboard: { enabled: true } } });
    const { items } = await cluster.get<{ items: Live[] }>("-n", "observe", "daemonsets,configmaps,roles");
    for (const { metadata } of items) expect(metadata.name.length).toBeLessThanOrEqual(63);
    expect(items.filter(({ kind }) => kind === "DaemonSet")).toHaveLength(2);
    await helm("uninstall", `${name}a`, `${name}b`, "--wait");
    await expect
      .poll(async () => difference(bare, await everything(cluster)), { timeout: 30_000, interval: 500 })
      .toEqual([]);
  });
});

/** Wait until the controllers have written what they write for every namespace. */
async function settle(cluster: RealCluster): Promise<void> {
  const deadline = performance.now() + 60_000;
  for (const namespace of ["default", "kube-system", "kube-public", "kube-node-lease", "observe"]) {
    for (const object of ["serviceaccount/default", "configmap/kube-root-ca.crt"]) {
      while ((await cluster.kubectl(["get", object, "-n", namespace, "-o", "name"])).status !== 0) {
        if (performance.now() > deadline) throw new Error(`no ${object} in ${namespace}: ${cluster.logs()}`);
      }
    }
  }
}

async function revisions(cluster: RealCluster): Promise<string[]> {
  const { items } = await cluster.get<{ items: Live[] }>("-n", "observe", "controllerrevisions");
  return items.map(({ metadata }) => metadata.name);
}
