import { spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { issue, makeAuthority, makeTokenKey, writeKubeconfig, type KeyPair } from "./cluster-pki.ts";
import { startTied, type TiedChild } from "./tied-child.ts";
import { findTool, missingTools } from "./tools.ts";

/** Which parts of Kubernetes run beside etcd and kube-apiserver. */
export interface ClusterOptions {
  /**
   * Start kube-controller-manager: namespaces get their default service account and the config map `kube-root-ca.crt`,
   * deletion in the foreground and of whole namespaces ends, DaemonSets get pods.
   */
  controllers?: boolean;
  /** Start kube-scheduler: pods of DaemonSets need it as well. */
  scheduler?: boolean;
  /** Address of the API server; by default one of its own in 127.0.0.0/8. */
  host?: string;
  /** Port of the API server; 6443 by default. */
  port?: number;
  /** Addresses of the API server beside its own, for its certificate: `IP:10.97.0.1`. */
  addresses?: readonly string[];
  /** Ask an aggregated API at its pods' addresses, not at its Service's. A Service of type ExternalName works without. */
  routeToPods?: boolean;
  /** Range of the services' addresses; its first one is the service `kubernetes`. */
  serviceRange?: string;
}

/** What a program printed, and how it ended. */
export interface Ran {
  status: number;
  stdout: string;
  stderr: string;
}

/** A Kubernetes control plane. */
export interface RealCluster extends AsyncDisposable {
  readonly url: string;
  readonly host: string;
  readonly port: number;
  /** Certificates, logs, kubeconfigs; removed in the end. */
  readonly directory: string;
  /** The authority of the API server and of its clients. */
  readonly ca: KeyPair;
  /** The authority and the client certificate of the aggregator (`front-proxy-client`). */
  readonly frontProxy: { ca: KeyPair; client: KeyPair };
  /** A kubeconfig that may do anything. */
  readonly kubeconfig: string;
  /** One JSON object a line for each request (level Metadata). */
  readonly auditLog: string;
  /** Environment for programs that look for a cluster; without a credential of the caller's own surroundings. */
  readonly env: Readonly<Record<string, string>>;
  /** Run kubectl as the administrator, or with another kubeconfig. */
  kubectl(args: readonly string[], options?: { input?: string; kubeconfig?: string }): Promise<Ran>;
  /** Run kubectl and read its output as JSON. @throws {Error} when it fails */
  get<T = Record<string, unknown>>(...args: readonly string[]): Promise<T>;
  /** Create or change what a manifest names. @throws {Error} when it fails */
  apply(manifest: unknown): Promise<void>;
  /** Write a kubeconfig of a user, by a client certificate. */
  kubeconfigOf(user: string, groups?: readonly string[]): string;
  /** Write a kubeconfig with a bearer token. */
  kubeconfigWithToken(name: string, token: string): string;
  /** Ask for a token of a service account. */
  tokenOf(namespace: string, account: string, audience?: string): Promise<string>;
  /** The last lines that the parts printed, for a test that fails. */
  logs(): string;
  /** Start another part that ends with the cluster. */
  start(part: string, args: readonly string[], under?: readonly string[]): TiedChild;
}

/** Say why no control plane can be started here, or undefined. */
export function clusterUnavailable(): string | undefined {
  return missingTools("etcd", "openssl", "kubernetes");
}

/** Run a program to its end. */
export async function run(
  program: string,
  args: readonly string[],
  options: { input?: string; env?: Record<string, string> } = {},
): Promise<Ran> {
  const child = spawn(program, args, { env: { ...process.env, ...options.env }, stdio: ["pipe", "pipe", "pipe"] });
  let [stdout, stderr] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  child.stdin.on("error", () => undefined);
  child.stdin.end(options.input ?? "");
  const [code]: unknown[] = await once(child, "close");
  return { status: typeof code === "number" ? code : 255, stdout, stderr };
}

/** Start it and wait until it is ready; it ends with this process, however that ends. */
export async function startCluster(options: ClusterOptions = {}): Promise<RealCluster> {
  const kubernetes = findTool("kubernetes").path ?? "kubernetes";
  const directory = mkdtempSync(join(tmpdir(), "cdh-cluster-"));
  const janitor = removeAtTheEnd(directory);
  const children: TiedChild[] = [];
  const start = (part: string, command: string, args: readonly string[]): TiedChild => {
    const child = startTied(command, args, { cwd: directory, logFile: join(directory, `${part}.log`) });
    children.push(child);
    return child;
  };
  const stop = async (): Promise<void> => {
    for (const child of children.toReversed()) await child.stop(child === children[0] ? "KILL" : "TERM");
    await janitor();
  };
  try {
    const port = options.port ?? 6443;
    const host = options.host ?? (await freeAddress(port));
    const url = `https://${host}:${port}`;
    const pki = join(directory, "pki");
    mkdirSync(pki);
    const ca = makeAuthority(pki, "ca");
    const frontCa = makeAuthority(pki, "front-proxy-ca");
    const client = issue(pki, "front-proxy-client", frontCa, { subject: "/CN=front-proxy-client" });
    const admin = issue(pki, "admin", ca, { subject: "/O=system:masters/CN=admin" });
    const serving = issue(pki, "kube-apiserver", ca, {
      subject: "/CN=kube-apiserver",
      addresses: [`IP:${host}`, "DNS:localhost", "DNS:kubernetes.default.svc", ...(options.addresses ?? [])],
    });
    const accounts = makeTokenKey(pki);
    const kubeconfig = writeKubeconfig(join(directory, "admin.kubeconfig"), url, ca.cert, admin);
    const auditLog = join(directory, "audit.log");
    writeFileSync(join(directory, "audit.yaml"), AUDIT_POLICY);

    const etcd = startEtcd(start, host, directory);
    const apiserver = start("kube-apiserver", kubernetes, [
      "kube-apiserver",
      `--etcd-servers=${etcd.url}`,
      `--bind-address=${host}`,
      `--advertise-address=${host}`,
      `--secure-port=${port}`,
      // An Endpoints object may not hold a loopback address, and nobody looks for one.
      "--endpoint-reconciler-type=none",
      `--service-cluster-ip-range=${options.serviceRange ?? "10.97.0.0/24"}`,
      "--authorization-mode=Node,RBAC",
      "--allow-privileged=true",
      `--client-ca-file=${ca.cert}`,
      `--tls-cert-file=${serving.cert}`,
      `--tls-private-key-file=${serving.key}`,
      `--kubelet-client-certificate=${admin.cert}`,
      `--kubelet-client-key=${admin.key}`,
      // A node's name is in nobody's DNS.
      "--kubelet-preferred-address-types=InternalIP",
      `--requestheader-client-ca-file=${frontCa.cert}`,
      "--requestheader-allowed-names=front-proxy-client",
      "--requestheader-username-headers=X-Remote-User",
      "--requestheader-group-headers=X-Remote-Group",
      "--requestheader-extra-headers-prefix=X-Remote-Extra-",
      `--proxy-client-cert-file=${client.cert}`,
      `--proxy-client-key-file=${client.key}`,
      // There is no kube-proxy: an aggregated API in a pod is asked at the pod's own address.
      ...(options.routeToPods === true ? ["--enable-aggregator-routing=true"] : []),
      "--service-account-issuer=https://kubernetes.default.svc",
      `--service-account-key-file=${accounts.cert}`,
      `--service-account-signing-key-file=${accounts.key}`,
      `--audit-log-path=${auditLog}`,
      `--audit-policy-file=${join(directory, "audit.yaml")}`,
      "--profiling=false",
    ]);
    await untilReady(url, readFileSync(ca.cert), admin, [etcd.child, apiserver]);
    const common = [`--kubeconfig=${kubeconfig}`, "--leader-elect=false", "--profiling=false"];
    if (options.controllers === true) {
      start("kube-controller-manager", kubernetes, [
        "kube-controller-manager",
        "--secure-port=0",
        `--root-ca-file=${ca.cert}`,
        `--service-account-private-key-file=${accounts.key}`,
        ...common,
      ]);
    }
    if (options.scheduler === true)
      start("kube-scheduler", kubernetes, ["kube-scheduler", ...common, "--secure-port=0"]);
    const logs = (): string => children.map((child) => child.output().slice(-4000)).join("\n--\n");
    return makeCluster({
      kubernetes,
      directory,
      url,
      host,
      port,
      ca,
      kubeconfig,
      auditLog,
      logs,
      stop,
      start,
      frontProxy: { ca: frontCa, client },
    });
  } catch (error) {
    const said = children.map((child) => child.output().slice(-2000)).join("\n--\n");
    await stop();
    throw new Error(`the control plane did not start: ${String(error)}\n${said}`, { cause: error });
  }
}

const AUDIT_POLICY = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: None
    users: ["system:apiserver", "system:kube-controller-manager", "system:kube-scheduler"]
  - level: Metadata
`;

type Start = (part: string, command: string, args: readonly string[]) => TiedChild;

function startEtcd(start: Start, host: string, directory: string): { url: string; child: TiedChild } {
  const [url, peer] = [`http://${host}:2379`, `http://${host}:2380`];
  const etcd = findTool("etcd").path ?? "etcd";
  const child = start("etcd", etcd, [
    `--data-dir=${join(directory, "etcd")}`,
    `--listen-client-urls=${url}`,
    `--advertise-client-urls=${url}`,
    `--listen-peer-urls=${peer}`,
    `--initial-advertise-peer-urls=${peer}`,
    `--initial-cluster=default=${peer}`,
    // Nothing here has to outlive the test, and a machine's busy disk must not hold up its API.
    "--unsafe-no-fsync",
  ]);
  return { url, child };
}

/** The first part that ends before the API is ready says why it never will be. */
async function untilReady(url: string, ca: Buffer, admin: KeyPair, parts: readonly TiedChild[]): Promise<void> {
  const deadline = AbortSignal.timeout(90_000);
  const ended = Promise.race(parts.map(({ ended: end }) => end)).then((status) => `a part ended with status ${status}`);
  const tls = { ca, cert: readFileSync(admin.cert), key: readFileSync(admin.key), agent: false as const };
  const ask = (): Promise<string> =>
    new Promise((resolve) => {
      const asked = request(`${url}/readyz`, { ...tls, timeout: 5000 }, (answer) => {
        answer.resume().on("end", () => resolve(answer.statusCode === 200 ? "ready" : "not yet"));
      });
      asked.on("timeout", () => asked.destroy()).on("error", () => resolve("not yet"));
      asked.end();
    });
  for (;;) {
    const state = await Promise.race([ask(), ended]);
    if (state === "ready") return;
    if (state !== "not yet") throw new Error(state);
    if (deadline.aborted) throw new Error("it was not ready after 90 s");
    await pause(100);
  }
}

/** Each control plane has an address of its own, so that several can run at once with the ports that people know. */
async function freeAddress(port: number): Promise<string> {
  for (let attempt = 0; attempt < 20; attempt += 1) {
    const host = `127.${randomInt(64, 127)}.${randomInt(1, 255)}.1`;
    const server = createServer();
    const free = await new Promise<boolean>((resolve) => {
      server.once("error", () => resolve(false)).listen(port, host, () => resolve(true));
    });
    if (free) await new Promise((resolve) => server.close(resolve));
    if (free) return host;
  }
  throw new Error(`port ${port} cannot be had on any address of this machine`);
}

/** Remove a directory when asked, or when this process is gone. @returns a function that does it now */
function removeAtTheEnd(directory: string): () => Promise<void> {
  // The parts may still write for a moment after they were killed.
  const script = 'cat >/dev/null; for _ in 1 2 3 4 5 6 7 8 9 10; do rm -rf "$1" && exit 0; sleep 1; done 2>/dev/null';
  const janitor = spawn("/bin/sh", ["-c", script, "sh", directory], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
  });
  const ended = once(janitor, "close");
  return async () => {
    janitor.stdin.end();
    await ended;
    rmSync(directory, { recursive: true, force: true });
  };
}

interface Parts extends Omit<
  RealCluster,
  "env" | "kubectl" | "get" | "apply" | "kubeconfigOf" | "kubeconfigWithToken" | "tokenOf" | "start" | symbol
> {
  kubernetes: string;
  stop(): Promise<void>;
  start: Start;
}

function makeCluster({ kubernetes, stop, start, ...facts }: Parts): RealCluster {
  const { directory, url, ca } = facts;
  const env = { KUBECONFIG: facts.kubeconfig, HOME: directory, XDG_CACHE_HOME: join(directory, "cache") };
  let users = 0;
  const kubectl: RealCluster["kubectl"] = (args, { input, kubeconfig } = {}) =>
    run(kubernetes, ["kubectl", ...args], {
      env: kubeconfig === undefined ? env : { ...env, KUBECONFIG: kubeconfig },
      ...(input === undefined ? {} : { input }),
    });
  const must = async (args: readonly string[], input?: string): Promise<string> => {
    const { status, stdout, stderr } = await kubectl(args, input === undefined ? {} : { input });
    if (status !== 0) throw new Error(`kubectl ${args.join(" ")}: ${stderr}`);
    return stdout;
  };
  return {
    ...facts,
    env,
    kubectl,
    get: async <T>(...args: readonly string[]) => JSON.parse(await must(["get", ...args, "-o", "json"])) as T,
    apply: async (manifest) => {
      await must(["apply", "-f", "-"], JSON.stringify(manifest));
    },
    kubeconfigOf: (user, groups = []) => {
      users += 1;
      const subject = [...groups.map((group) => `/O=${group}`), `/CN=${user}`].join("");
      const pair = issue(join(directory, "pki"), `user-${users}`, ca, { subject });
      return writeKubeconfig(join(directory, `user-${users}.kubeconfig`), url, ca.cert, pair);
    },
    kubeconfigWithToken: (name, token) =>
      writeKubeconfig(join(directory, `token-${name}.kubeconfig`), url, ca.cert, { token }),
    tokenOf: async (namespace, account, audience) =>
      (
        await must(
          ["create", "token", account, "-n", namespace].concat(audience === undefined ? [] : ["--audience", audience]),
        )
      ).trim(),
    start: (part, args, under = []) => {
      const [first, ...rest] = [...under, kubernetes, part, ...args];
      return start(part, first ?? kubernetes, rest);
    },
    [Symbol.asyncDispose]: stop,
  };
}
