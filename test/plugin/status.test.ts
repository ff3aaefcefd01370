import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { notBuilt, runPath, type BuiltResult } from "../helpers/built.ts";
import { REPOSITORY } from "../helpers/repository.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { startApiServer, writeContexts, type ApiServer } from "./api-server.ts";
import { nodePage, uploadPage } from "./metrics-pages.ts";

const directory = scratchDirectory("plugin-status");
const PLUGIN = join(REPOSITORY, "dist/bin/kubectl-coredump");

/** A pod of the DaemonSet as Kubernetes lists it. */
function pod(node: string, phase = "Running", owner = "DaemonSet"): Record<string, unknown> {
  return {
    metadata: { name: `cdh-${node}`, namespace: "core-dumps", ownerReferences: [{ kind: owner, name: "cdh" }] },
    spec: {
      nodeName: node,
      containers: [
        { name: "node", ports: [{ name: "node", containerPort: 9110 }] },
        { name: "upload", ports: [{ name: "upload", containerPort: 9100 }] },
      ],
    },
    status: { phase, conditions: [{ type: "Ready", status: phase === "Running" ? "True" : "False" }] },
  };
}

describeUnless(notBuilt("cdh-inspect") ?? missingTools("openssl"), "kubectl coredump status", () => {
  let server: ApiServer;
  let kubeconfig: string;
  let pods: Record<string, unknown>[];
  let nodes: string[];
  let denied: RegExp;
  let pages: Record<string, string>;

  beforeAll(async () => {
    server = await startApiServer(join(directory, "server"), (path) => {
      if (denied.test(path))
        return { status: 403, body: { kind: "Status", code: 403, message: `forbidden: ${path.split("?")[0]}` } };
      if (path === "/api/v1/nodes")
        return { status: 200, body: { items: nodes.map((name) => ({ metadata: { name } })) } };
      if (/^\/api\/v1\/(namespaces\/[\w-]+\/)?pods\?labelSelector=/.test(path))
        return { status: 200, body: { items: pods } };
      const [, name, port] =
        /^\/api\/v1\/namespaces\/core-dumps\/pods\/cdh-([\w-]+):(\d+)\/proxy\/metrics$/.exec(path) ?? [];
      const page = pages[`${name}:${port}`];
      return page === undefined ? undefined : { status: 200, body: page };
    });
    kubeconfig = writeContexts(join(directory, "config"), {
      it: { port: server.port, caFile: server.ca.cert, user: { token: "t" }, namespace: "core-dumps" },
    });
  });
  beforeEach(() => {
    pods = [pod("node-a"), pod("node-b"), pod("api", "Running", "ReplicaSet")];
    nodes = ["node-a", "node-b"];
    denied = /^never$/;
    const hourAgo = Date.now() / 1000 - 3600;
    pages = {
      "node-a:9110": nodePage(1),
      "node-a:9100": uploadPage(0, hourAgo),
      "node-b:9110": nodePage(1, "0.1.0", 2),
      "node-b:9100": uploadPage(3, 0),
    };
  });
  afterAll(() => server?.[Symbol.asyncDispose]());

  function status(...args: string[]): Promise<BuiltResult> {
    return runPath(PLUGIN, ["status", "--kubeconfig", kubeconfig, ...args]);
  }

  it("tells on one screen that every node captures, and what waits", async () => {
    const { exitCode, stdout, stderr } = await status();
    expect([exitCode, stderr]).toEqual([0, ""]);
    const [first, blank, header, a, b, ...more] = stdout.trimEnd().split("\n");
    expect([first, blank, more]).toEqual(["2 of 2 nodes capture", "", []]);
    expect(header?.split(/ {2,}/)).toEqual(
      "NODE,POD,CAPTURES,COMPOSER,DRIFT,SPOOL,OLDEST,QUARANTINE,STORE,LAST UPLOAD".split(","),
    );
    expect(a?.split(/ {2,}/)).toEqual([
      "node-a",
      "ready",
      "yes",
      "0.1.0",
      "1",
      "0",
      "-",
      "0",
      "answers",
      expect.stringMatching(/^1h 0m ago$|^60m/),
    ]);
    expect(b?.split(/ {2,}/)).toEqual([
      "node-b",
      "ready",
      "yes",
      "0.1.0",
      "3",
      "3 (3.0 MiB)",
      "5m 00s",
      "0",
      "answers",
      "none yet",
    ]);
  });

  it("says which node does not capture: no pod, not healthy, a pod that waits, another version", async () => {
    nodes.push("node-c");
    pods.push(pod("node-d", "Pending"));
    pages["node-b:9110"] = nodePage(0, "0.0.9");
    const { exitCode, stdout } = await status();
    expect(exitCode).toBe(3);
    expect(stdout).toContain("1 of 4 nodes capture, 1 not known");
    expect(stdout).toContain("2 versions of the composer are installed: 0.1.0, 0.0.9");
    expect(stdout).toMatch(/^node-b +ready +NO /m);
    expect(stdout).toMatch(/^node-c +missing +NO /m);
    expect(stdout).toMatch(/^node-d +Pending +\? /m);
    expect(stdout).toContain("node-c: no pod on this node");
    const json = JSON.parse((await status("-o", "json")).stdout) as { nodes: Record<string, unknown>[] };
    expect(json.nodes[1]).toMatchObject({ node: "node-b", captures: false, spoolBundles: 3, drifts: 1 });
  });

  it("counts nodes, not pods: one that ends, a failed one that is left, one that waits for its node", async () => {
    const old = (name: string, node: string, phase: string, ends = false): Record<string, unknown> => {
      const { metadata, ...rest } = pod(node, phase) as { metadata: object };
      return {
        ...rest,
        metadata: { ...metadata, name, ...(ends ? { deletionTimestamp: "2026-11-21T08:00:00Z" } : {}) },
      };
    };
    const waiting = pod("node-c", "Pending") as { spec: Record<string, unknown> };
    const matchFields = [{ key: "metadata.name", operator: "In", values: ["node-c"] }];
    const terms = { nodeSelectorTerms: [{ matchFields }] };
    delete waiting.spec["nodeName"];
    waiting.spec["affinity"] = { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: terms } };
    pods = [old("cdh-failed", "node-a", "Failed"), ...pods, old("cdh-ends", "node-b", "Running", true), waiting];
    nodes.push("node-c");
    const { exitCode, stdout } = await status();
    expect(exitCode).toBe(3);
    expect(stdout).toContain("2 of 3 nodes capture, 1 not known");
    expect(stdout).toMatch(/^node-c +Pending +\? /m);
    expect(stdout).toContain("node-a: another pod: cdh-failed is Failed");
    expect(stdout).toContain("node-b: another pod: cdh-ends is Terminating");
  });

  it("says which rights are missing and tells the rest", async () => {
    denied = /proxy|\/api\/v1\/nodes/;
    const { exitCode, stdout } = await status();
    expect(exitCode).toBe(3);
    expect(stdout).toContain("missing right: list nodes");
    expect(stdout).toContain("missing right: get pods/proxy in core-dumps");
    expect(stdout).toMatch(/^node-a +ready +\? +\? /m);
    denied = /^\/api\/v1\/pods/;
    const narrow = await status();
    expect([narrow.exitCode, narrow.stdout]).toEqual([0, expect.stringContaining("only core-dumps is looked at")]);
    denied = /pods\?/;
    const none = await status();
    expect([none.exitCode, none.stderr]).toEqual([15, expect.stringContaining("CDH_STORE_DENIED")]);
  });

  it("says when nothing is installed, or a program does not answer", async () => {
    delete pages["node-a:9100"];
    expect((await status()).stdout).toContain("node-a: upload: ");
    pods = [];
    const named = await status();
    expect([named.exitCode, named.stdout]).toEqual([3, expect.stringContaining("0 of 2 nodes capture")]);
    expect(named.stdout).toMatch(/^node-b +missing +NO /m);
    nodes = [];
    const empty = await status();
    expect([empty.exitCode, empty.stderr]).toEqual([12, expect.stringContaining("no pod with app.kubernetes.io/name")]);
  });
});
