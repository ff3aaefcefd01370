import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { ThreadFacts } from "@cdh/core/bundle/manifest";
import { systemClock } from "@cdh/core/clock";
import { DirectoryStore } from "../../packages/core/src/store/directory/store.ts";
import { notBuilt, runBuilt } from "../helpers/built.ts";
import { clusterUnavailable, startCluster, type RealCluster } from "../helpers/real-cluster.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless, skipAloud } from "../helpers/skip.ts";
import { startTied, type TiedChild } from "../helpers/tied-child.ts";
import { findTool } from "../helpers/tools.ts";
import { SERVICE, startAggregated } from "./aggregated.ts";
import { AUDIENCE, BASE, expectSoon, putDump, sha256, type PutDump } from "./workbench.ts";

const directory = scratchDirectory("api-chain");
const HOME = "observe";

function crashedThread(name: string): ThreadFacts {
  const frames = [
    { pc: "0x1010", function: name, file: `/src/${name}.c`, line: 41 },
    { pc: "0x1020", function: "main" },
  ];
  return { tid: 7, crashed: true, registers: { pc: "0x1010" }, stack: { frames, end: { kind: "outermost" } } };
}

describeUnless(
  notBuilt("cdh-api") ?? clusterUnavailable(),
  "the whole chain: kubectl, kube-apiserver with RBAC, APIService, cdh-api",
  () => {
    let cluster: RealCluster;
    let api: TiedChild;
    let store: DirectoryStore;
    let storeDir: string;
    let dump: PutDump;
    let port: number;
    let dev: string;

    const kubectl = (...args: string[]): ReturnType<RealCluster["kubectl"]> =>
      cluster.kubectl(args, { kubeconfig: dev });

    beforeAll(async () => {
      cluster = await startCluster({ controllers: true });
      storeDir = join(directory, "store");
      mkdirSync(storeDir);
      store = new DirectoryStore(storeDir, { clock: systemClock });
      dump = await putDump(store, { namespace: "shop", coreBytes: 3_000_000, threads: [crashedThread("pay")] });
      await putDump(store, { namespace: "shop", restricted: true, threads: [crashedThread("unlock_secret")] });
      await putDump(store, { namespace: "other" });

      for (const name of [HOME, "shop", "other"])
        await cluster.apply({ apiVersion: "v1", kind: "Namespace", metadata: { name } });
      for (const manifest of serversRights()) await cluster.apply(manifest);
      for (const manifest of developersRights()) await cluster.apply(manifest);
      dev = cluster.kubeconfigOf("dev", ["developers"]);

      ({ api, port } = await startAggregated({ cluster, directory, home: HOME }));
      let refusal = "";
      await expectSoon(
        "the API is available",
        async () => {
          const { status, stderr } = await kubectl("get", "coredumps", "-n", "shop");
          refusal = stderr;
          return status === 0;
        },
        150_000,
      ).catch((error: unknown) => {
        throw new Error(`${String(error)}: ${refusal}\n${api.output()}`, { cause: error });
      });
    }, 300_000);
    afterAll(async () => {
      await api?.stop();
      await cluster?.[Symbol.asyncDispose]();
    });

    it("get prints the dumps of a pod that is not there", async () => {
      const { stdout } = await kubectl("get", "coredumps", "-n", "shop");
      const [head, row] = stdout.split("\n");
      expect(head).toMatch(/^NAME +POD +CONTAINER +SIGNAL +EXE +SIZE +COMPLETE +AGE +WHERE$/);
      const cells = `^${dump.name} +web-0 +app +SIGSEGV +server +2\\.9MiB +true +\\d\\S* +pay\\(\\) at pay\\.c:41 ← main\\(\\)$`;
      expect(row).toMatch(new RegExp(cells));
      expect((await kubectl("get", "pods", "-n", "shop")).stdout).toBe("");
    });

    it("lists say why and where, and of a restricted dump no place", async () => {
      const listed = async (...scope: string[]): Promise<string> =>
        (await cluster.kubectl(["get", "coredumps", ...scope, "-o", "json"])).stdout;
      const [one] = (JSON.parse(await listed("-n", "shop")) as { items: { status: object }[] }).items;
      expect(one?.status).toMatchObject({
        summary: "SIGSEGV (null pointer) in pay() at pay.c:41 ← main()",
        where: "pay() at pay.c:41 ← main()",
      });
      const hidden = await listed("-A");
      expect(hidden).toContain('"restricted": true');
      expect(hidden).toContain('"summary": "SIGSEGV (null pointer)"');
      expect(hidden).not.toContain("unlock_secret");
    });

    it("describe, explain and get -o json go through the aggregator", async () => {
      const described = await kubectl("describe", "coredump", dump.name, "-n", "shop");
      expect(described.stdout).toMatch(/Code Name: +SEGV_MAPERR/);
      // The API server merges the server's OpenAPI document into its own, some time after it knows the API.
      await expectSoon("explain knows the fields", async () =>
        (await kubectl("explain", "coredumps.status.core")).stdout.includes("expectedBytes"),
      );
      const { stdout } = await kubectl("get", "cdump", "-n", "shop", "-o", "json");
      expect((JSON.parse(stdout) as { items: unknown[] }).items).toHaveLength(1);
    });

    it("get --raw downloads the bundle that was stored; who it was is in the log", async () => {
      const { stdout } = await kubectl(
        "get",
        "--raw",
        `${BASE}/namespaces/shop/coredumps/${dump.name}/report?format=text`,
      );
      expect(stdout).toContain("about to fall over");
      // As text a zip would be damaged: the shell puts it into a file, as people do.
      const file = join(directory, "x.zip");
      const path = `${BASE}/namespaces/shop/coredumps/${dump.name}/bundle`;
      await using saved = startTied("/bin/sh", [
        "-c",
        'exec "$0" kubectl --kubeconfig "$1" get --raw "$2" > "$3"',
        findTool("kubernetes").path ?? "",
        dev,
        path,
        file,
      ]);
      expect(await saved.ended).toBe(0);
      expect(sha256(readFileSync(file))).toBe(sha256(dump.zip));
      await expectSoon("the audit line is there", () => api.output().includes('"msg":"download"'));
      const line = api
        .output()
        .split("\n")
        .filter((text) => text.includes('"msg":"download"'))
        .map((text) => JSON.parse(text) as Record<string, unknown>)
        .find((entry) => entry["subresource"] === "bundle");
      expect(line).toMatchObject({
        user: "dev",
        via: "frontProxy",
        namespace: "shop",
        name: dump.name,
        sentBytes: dump.zip.length,
        isWhole: true,
      });
      expect(line?.["forwardedFor"]).toMatch(/^127\./);
    });

    it("files of programs come by build-id through the aggregator, to whom a ClusterRole gives them", async (context) => {
      const program = "/usr/bin/env";
      const pushed = await runBuilt("cdh-inspect", ["symbols", "push", "--store", storeDir, program]);
      const [, buildId = ""] = /^\w+ +([0-9a-f]{8,}) /m.exec(pushed.stdout) ?? [];
      if (buildId === "") skipAloud(context, `${program} of this machine has no build-id`);
      for (const manifest of debuggersRights()) await cluster.apply(manifest);
      const debuggers = cluster.kubeconfigOf("gdb", ["debuggers"]);
      const get = (path: string, kubeconfig: string): ReturnType<RealCluster["kubectl"]> =>
        cluster.kubectl(["get", "--raw", `${BASE}/${path}`], { kubeconfig });
      const file = join(directory, "env");
      await using saved = startTied("/bin/sh", [
        "-c",
        'exec "$0" kubectl --kubeconfig "$1" get --raw "$2" > "$3"',
        findTool("kubernetes").path ?? "",
        debuggers,
        `${BASE}/buildid/${buildId}/executable`,
        file,
      ]);
      expect(await saved.ended).toBe(0);
      expect(sha256(readFileSync(file))).toBe(sha256(readFileSync(program)));
      expect((await get(`buildid/${buildId}/section/.interp`, debuggers)).stdout).toMatch(/^\/lib.*ld-linux/);
      expect(JSON.parse((await get("metadata?key=glob&value=*env", debuggers)).stdout)).toMatchObject({
        results: [{ type: "executable", buildid: buildId, file: "env" }],
      });
      for (const path of [`buildid/${"0".repeat(40)}/executable`, "buildid/not-hex/executable"])
        expect(await get(path, debuggers)).toMatchObject({
          status: 1,
          stderr: expect.stringMatching(/NotFound|not find/),
        });
      // Whether it is there or not: who may read crashes of a namespace is told nothing.
      for (const id of [buildId, "0".repeat(40)]) {
        const { status, stderr } = await get(`buildid/${id}/executable`, dev);
        expect({ status, denied: /forbidden/i.test(stderr) }).toEqual({ status: 1, denied: true });
      }
      // The report says no more than that.
      const report = await get(`namespaces/shop/coredumps/${dump.name}/report`, dev);
      expect(report.status, report.stderr).toBe(0);
      expect(report.stdout).toContain("needs the right to get buildid/executable");
    });

    it("RBAC decides: another namespace, all namespaces, the core, a link", async () => {
      for (const args of [
        ["get", "coredumps", "-n", "other"],
        ["get", "coredumps", "-A"],
        ["get", "--raw", `${BASE}/namespaces/shop/coredumps/${dump.name}/core`],
        ["create", "--raw", `${BASE}/namespaces/shop/coredumps/${dump.name}/link`, "-f", "/dev/null"],
      ]) {
        const { status, stderr } = await kubectl(...args);
        expect({ args, status, denied: /forbidden/i.test(stderr) }).toEqual({ args, status: 1, denied: true });
      }
      expect((await kubectl("auth", "can-i", "get", "coredumps", "--subresource=bundle", "-n", "shop")).stdout).toBe(
        "yes\n",
      );
      expect((await kubectl("auth", "can-i", "get", "coredumps", "--subresource=core", "-n", "shop")).stdout).toBe(
        "no\n",
      );
    });

    it("a right that was taken away ends within seconds", async () => {
      const admin = cluster.kubeconfig;
      await cluster.kubectl(["delete", "rolebinding", "dev", "-n", "shop"], { kubeconfig: admin });
      await expectSoon("it is denied", async () => (await kubectl("get", "coredumps", "-n", "shop")).status === 1);
      for (const manifest of developersRights()) await cluster.apply(manifest);
      await expectSoon("it is allowed", async () => (await kubectl("get", "coredumps", "-n", "shop")).status === 0);
    });

    it("a service account's token for our audience works straight at the server, its ordinary one does not", async () => {
      const ask = async (token: string): Promise<string> => {
        const { stdout } = await cluster.kubectl(
          ["get", "coredumps", "-n", "shop", "-o", "name", `--server=https://127.0.0.1:${port}`, `--token=${token}`],
          { kubeconfig: cluster.kubeconfigWithToken("nobody", "none") },
        );
        return stdout;
      };
      const bound = await cluster.tokenOf("shop", "default", AUDIENCE);
      await expectSoon("it is known", async () => (await ask(bound)).includes(dump.name));
      expect(await ask(await cluster.tokenOf("shop", "default"))).toBe("");
    });

    it("delete and label work; a namespace's end does not take its dumps along", async () => {
      const second = await putDump(store, { namespace: "shop" });
      await expectSoon(
        "it is listed",
        async () => (await kubectl("get", "cdump", second.name, "-n", "shop")).status === 0,
      );
      const labelled = await kubectl("label", "coredump", dump.name, "-n", "shop", "core-dump-handler.dev/keep=true");
      expect(`${labelled.status}${labelled.stderr}`).toBe("0");
      const deleted = await kubectl("delete", "coredump", second.name, "-n", "shop");
      expect(deleted.stdout).toContain("deleted");
      expect(await store.head(`${second.stem}.zip`)).toBeUndefined();

      const { status } = await cluster.kubectl(["delete", "namespace", "shop", "--timeout=60s"]);
      expect(status).toBe(0);
      expect(await store.head(`${dump.stem}.zip`)).toBeDefined();
      expect(await store.head(`${dump.stem}.manifest.json`)).toBeDefined();
    }, 90_000);
  },
);

/** Files of programs, whatever namespace's: the rules that the chart has for debuggers. */
function debuggersRights(): unknown[] {
  const apiGroups = ["core-dump-handler.dev"];
  return [
    {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "ClusterRole",
      metadata: { name: "files" },
      rules: [
        {
          apiGroups,
          resources: ["buildid/executable", "buildid/debuginfo", "buildid/dwp", "buildid/section"],
          verbs: ["get"],
        },
        { apiGroups, resources: ["metadata"], verbs: ["list"] },
      ],
    },
    {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "ClusterRoleBinding",
      metadata: { name: "files" },
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "files" },
      subjects: [{ kind: "Group", name: "debuggers", apiGroup: "rbac.authorization.k8s.io" }],
    },
  ];
}

/** What cdh-api itself may do: ask about tokens and rights, and read how the front proxy is known. */
function serversRights(): unknown[] {
  const subject = { kind: "ServiceAccount", name: SERVICE, namespace: HOME };
  const bind = (kind: string, name: string, namespace: string | undefined, role: { kind: string; name: string }) => ({
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind,
    metadata: { name, ...(namespace === undefined ? {} : { namespace }) },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", ...role },
    subjects: [subject],
  });
  return [
    { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: SERVICE, namespace: HOME } },
    bind("ClusterRoleBinding", SERVICE, undefined, { kind: "ClusterRole", name: "system:auth-delegator" }),
    bind("RoleBinding", SERVICE, "kube-system", { kind: "Role", name: "extension-apiserver-authentication-reader" }),
  ];
}

/** Developers see, label and delete the dumps of the shop, and download its bundles. */
function developersRights(): unknown[] {
  const group = "core-dump-handler.dev";
  return [
    {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "Role",
      metadata: { name: "dev", namespace: "shop" },
      rules: [
        { apiGroups: [group], resources: ["coredumps"], verbs: ["get", "list", "watch", "patch", "delete"] },
        { apiGroups: [group], resources: ["coredumps/bundle", "coredumps/report"], verbs: ["get"] },
        { apiGroups: [""], resources: ["pods"], verbs: ["list"] },
      ],
    },
    {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "RoleBinding",
      metadata: { name: "dev", namespace: "shop" },
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "dev" },
      subjects: [
        { kind: "Group", name: "developers", apiGroup: "rbac.authorization.k8s.io" },
        { kind: "ServiceAccount", name: "default", namespace: "shop" },
      ],
    },
  ];
}
