import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { systemClock } from "@cdh/core/clock";
import { DirectoryStore } from "../../packages/core/src/store/directory/store.ts";
import { SERVICE, startAggregated } from "../api/aggregated.ts";
import { AUDIENCE, expectSoon, putDump, type PutDump } from "../api/workbench.ts";
import { startCluster, type RealCluster } from "../helpers/real-cluster.ts";
import { nodePage, uploadPage } from "./metrics-pages.ts";

const HOME = "core-dumps";
const GROUP = "core-dump-handler.dev";

/** A real control plane with cdh-api behind it, and two nodes whose pods say how they are. */
export interface RealChain extends AsyncDisposable {
  readonly cluster: RealCluster;
  /** Sees and downloads the crashes of `shop`, its namespace, and nothing else. */
  readonly developer: string;
  /** The shop's crashes, oldest first. */
  readonly dumps: readonly PutDump[];
  /** Where cdh-api itself listens, with the page. */
  readonly apiUrl: string;
  /** A token of the developer's for cdh-api itself. */
  token(): Promise<string>;
}

/** Say why pods cannot be asked here: the API server refuses to reach into loopback. */
export function noAddress(): string | undefined {
  return ownAddress() === undefined ? "this machine has no address but loopback" : undefined;
}

function ownAddress(): string | undefined {
  return Object.values(networkInterfaces())
    .flatMap((all) => all ?? [])
    .find(({ family, internal }) => family === "IPv4" && !internal)?.address;
}

/** Start everything and wait until crashes are listed through kube-apiserver. */
export async function startChain(directory: string): Promise<RealChain> {
  const cluster = await startCluster();
  const pages: Server[] = [];
  const storeDir = join(directory, "store");
  mkdirSync(storeDir, { recursive: true });
  const store = new DirectoryStore(storeDir, { clock: systemClock });
  const dumps = await putCrashes(store);
  for (const name of [HOME, "shop", "payments"])
    await cluster.apply({ apiVersion: "v1", kind: "Namespace", metadata: { name } });
  for (const manifest of rights()) await cluster.apply(manifest);
  const { api, port } = await startAggregated({ cluster, directory, home: HOME });
  if (ownAddress() !== undefined)
    for (const [name, waiting] of [
      ["worker-1", 0],
      ["worker-2", 2],
    ] as const)
      pages.push(...(await makeNode(cluster, name, waiting)));
  const developer = cluster.kubeconfigOf("dev", ["developers"]);
  await cluster.kubectl(["config", "set-context", "--current", "--namespace=shop"], { kubeconfig: developer });
  await expectSoon(
    "crashes are listed through kube-apiserver",
    async () => (await cluster.kubectl(["get", "coredumps"], { kubeconfig: developer })).status === 0,
    150_000,
  );
  return {
    cluster,
    developer,
    dumps,
    apiUrl: `https://127.0.0.1:${port}/`,
    token: () => cluster.tokenOf("shop", "developer", AUDIENCE),
    async [Symbol.asyncDispose]() {
      for (const server of pages) {
        server.closeAllConnections();
        server.close();
      }
      await api.stop();
      await cluster[Symbol.asyncDispose]();
    },
  };
}

async function putCrashes(store: DirectoryStore): Promise<PutDump[]> {
  const crash = (
    time: string,
    crashId: string,
    workload: string,
    signal: Parameters<typeof putDump>[1],
  ): Promise<PutDump> =>
    putDump(store, {
      crashedAt: `2026-11-21T${time}.000Z`,
      crashId,
      coreBytes: 6_000_000,
      process: { pid: 48_213, pidInNamespace: 1, uid: 1000, comm: workload, exe: `/usr/bin/${workload}` },
      pod: {
        name: `${workload}-7d9f4-x2`,
        namespace: "shop",
        uid: "11111111-2222-3333-4444-555555555555",
        owner: { kind: "ReplicaSet", name: workload },
      },
      ...signal,
    });
  const dumps = [
    await crash("08:12:40", "5b1e7a90-4c1d-4e8a-9a53-0d6c1f8f2b11", "cart", {
      signal: { number: 6, name: "SIGABRT", code: -6, codeName: "SI_TKILL", senderPid: 1, senderUid: 1000 },
    }),
    await crash("09:58:20", "e0c44d2f-8f6b-4b0e-b7b1-3a2d5c9e7f42", "checkout", {
      signal: { number: 11, name: "SIGSEGV", code: 1, codeName: "SEGV_MAPERR", faultAddress: "0x18" },
      threads: [
        {
          tid: 48_216,
          crashed: true,
          registers: { rip: "0x55d0c001f030", rsp: "0x7ffc12345678", rax: "0x0", rdi: "0x18", rsi: "0x7f1200000040" },
        },
        { tid: 48_213, registers: { pc: "0x7f1200091f2a", sp: "0x7ffc12340000" } },
      ],
      modules: [
        { path: "/usr/bin/checkout", start: "0x55d0c0000000", end: "0x55d0c0200000", buildId: "7c94252784df6156fb49" },
        {
          path: "/usr/lib/x86_64-linux-gnu/libc.so.6",
          start: "0x7f1200000000",
          end: "0x7f1200200000",
          buildId: "93ac61ec",
        },
      ],
    }),
  ];
  await putDump(store, { namespace: "payments" });
  return dumps;
}

/** A node and its pod of the DaemonSet; what its programs would say comes from servers of ours. */
async function makeNode(cluster: RealCluster, node: string, waiting: number): Promise<Server[]> {
  const address = ownAddress() ?? "";
  const serve = async (page: string): Promise<[Server, number]> => {
    const server = createServer((request, response) => {
      response.writeHead(request.url === "/metrics" ? 200 : 404, { "content-type": "text/plain" }).end(page);
    });
    server.listen(0, address);
    await once(server, "listening");
    return [server, (server.address() as AddressInfo).port];
  };
  const [nodeServer, nodePort] = await serve(nodePage(1));
  const [uploadServer, uploadPort] = await serve(uploadPage(waiting, Date.now() / 1000 - 754));
  await cluster.apply({ apiVersion: "v1", kind: "Node", metadata: { name: node } });
  const name = `core-dump-handler-${node.at(-1)}x7k2`;
  await cluster.apply({
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      namespace: HOME,
      labels: { "app.kubernetes.io/name": "core-dump-handler" },
      ownerReferences: [
        { apiVersion: "apps/v1", kind: "DaemonSet", name: "core-dump-handler", uid: "0", controller: true },
      ],
    },
    spec: {
      nodeName: node,
      serviceAccountName: SERVICE,
      containers: [
        { name: "node", image: "x", ports: [{ name: "node", containerPort: nodePort }] },
        { name: "upload", image: "x", ports: [{ name: "upload", containerPort: uploadPort }] },
      ],
    },
  });
  const status = {
    phase: "Running",
    podIP: address,
    podIPs: [{ ip: address }],
    conditions: [{ type: "Ready", status: "True" }],
  };
  const patch = JSON.stringify({ status });
  const where = ["pod", name, "-n", HOME, "--subresource=status", "--type=merge"];
  const patched = await cluster.kubectl(["patch", "-p", patch].concat(where));
  if (patched.status !== 0) throw new Error(patched.stderr);
  return [nodeServer, uploadServer];
}

function rights(): unknown[] {
  const bind = (
    kind: string,
    name: string,
    namespace: string | undefined,
    role: object,
    subjects: object[],
  ): object => ({
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind,
    metadata: { name, ...(namespace === undefined ? {} : { namespace }) },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", ...role },
    subjects,
  });
  const server = [{ kind: "ServiceAccount", name: SERVICE, namespace: HOME }];
  return [
    { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: SERVICE, namespace: HOME } },
    { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "developer", namespace: "shop" } },
    bind("ClusterRoleBinding", SERVICE, undefined, { kind: "ClusterRole", name: "system:auth-delegator" }, server),
    bind(
      "RoleBinding",
      SERVICE,
      "kube-system",
      { kind: "Role", name: "extension-apiserver-authentication-reader" },
      server,
    ),
    {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "Role",
      metadata: { name: "crashes", namespace: "shop" },
      rules: [
        { apiGroups: [GROUP], resources: ["coredumps"], verbs: ["get", "list", "watch"] },
        { apiGroups: [GROUP], resources: ["coredumps/bundle", "coredumps/core", "coredumps/report"], verbs: ["get"] },
        { apiGroups: [GROUP], resources: ["coredumps/link"], verbs: ["create"] },
      ],
    },
    bind("RoleBinding", "crashes", "shop", { kind: "Role", name: "crashes" }, [
      { kind: "Group", name: "developers", apiGroup: "rbac.authorization.k8s.io" },
      { kind: "ServiceAccount", name: "developer", namespace: "shop" },
    ]),
  ];
}
