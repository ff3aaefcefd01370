import { spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { copyFileSync, existsSync, lstatSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { writeKubeconfig, issue } from "../helpers/cluster-pki.ts";
import { run, startCluster, type RealCluster } from "../helpers/real-cluster.ts";
import { findTool, missingTools } from "../helpers/tools.ts";

/** A cluster with one node: control plane outside, containerd and kubelet in namespaces of their own, one kernel. */
export interface RealNode extends AsyncDisposable {
  readonly cluster: RealCluster;
  /** Everything of the node lies below. Short, because a core pattern has 127 bytes. */
  readonly dir: string;
  /** The machine outside, as pods see it. */
  readonly gateway: string;
  /** Import an image from a folder of makeImage, or from an archive. */
  importImage(source: string): Promise<void>;
  /** What the kubelet printed last. */
  log(): string;
}

/** Say why there can be no such node here, or undefined. */
export function nodeUnavailable(): string | undefined {
  if (process.getuid?.() !== 0) return "a node needs root";
  const missing = missingTools("containerd", "ctr", "runc", "gcc", "tar", "ip", "unshare", "nsenter", "pgrep");
  if (missing !== undefined) return missing;
  // Another suite's, which holds the kernel's lock, is a link to its folder.
  if (existsSync("/run/k0s") && lstatSync("/run/k0s/containerd", { throwIfNoEntry: false })?.isSymbolicLink() !== true)
    return "/run/k0s is somebody's here";
  if (!existsSync("/usr/lib/cni/bridge")) return "containernetworking-plugins is not on this machine";
  return undefined;
}

const KUBELET = (dir: string, ca: string): object => ({
  apiVersion: "kubelet.config.k8s.io/v1beta1",
  kind: "KubeletConfiguration",
  containerRuntimeEndpoint: `unix://${dir}/run/containerd/containerd.sock`,
  authentication: { anonymous: { enabled: false }, x509: { clientCAFile: ca }, webhook: { enabled: true } },
  authorization: { mode: "Webhook" },
  cgroupDriver: "cgroupfs",
  // So that what it makes is found and removed.
  cgroupRoot: `/${basename(dir)}`,
  enforceNodeAllocatable: [],
  failSwapOn: false,
  makeIPTablesUtilChains: false,
  localStorageCapacityIsolation: false,
  evictionHard: { "memory.available": "1Mi", "nodefs.available": "1%", "imagefs.available": "1%" },
  imageGCHighThresholdPercent: 100,
  podLogsDir: `${dir}/var/log/pods`,
  resolvConf: "",
  syncFrequency: "10s",
  nodeStatusUpdateFrequency: "5s",
  shutdownGracePeriod: "0s",
});

/** Start it, and wait until the node is ready. It ends with this process, with every process, mount, address and file. */
export async function startRealNode(): Promise<RealNode> {
  const dir = mkdtempSync("/tmp/cdhn-");
  const net = randomInt(1, 250);
  const kubernetes = findTool("kubernetes").path ?? "";
  const script = join(import.meta.dirname, "node.sh");
  const child = spawn(script, ["start", dir, String(net), basename(dir)], {
    stdio: ["pipe", "pipe", "pipe"],
    detached: true,
    env: { ...process.env, KUBERNETES: kubernetes },
  });
  child.stdin.on("error", () => undefined);
  let errors = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (errors = (errors + text).slice(-8192)));
  const ended = once(child, "close");
  const end = async (): Promise<void> => {
    child.stdin.end();
    await ended;
  };
  const first = await Promise.race([once(child.stdout, "data"), ended.then(() => undefined)]);
  if (first === undefined) throw new Error(`the node's machine did not start: ${errors}`);
  const log = (): string => {
    try {
      return readFileSync(join(dir, "own/kubelet.log"), "utf8").slice(-8192);
    } catch {
      return errors;
    }
  };
  let cluster: RealCluster | undefined;
  try {
    cluster = await startCluster({
      controllers: true,
      scheduler: true,
      routeToPods: true,
      host: `10.97.${net}.1`,
      port: 443,
      serviceRange: `10.97.${net}.0/24`,
    });
    const { cert, key } = issue(join(cluster.directory, "pki"), "node-1", cluster.ca, {
      subject: "/O=system:nodes/CN=system:node:node-1",
    });
    const authority = join(dir, "own/ca.crt");
    copyFileSync(cluster.ca.cert, authority);
    writeFileSync(join(dir, "kubelet.yaml"), JSON.stringify(KUBELET(dir, authority)));
    writeKubeconfig(join(dir, "kubelet.kubeconfig"), cluster.url, cluster.ca.cert, { cert, key });
    const waited = await waitForNode(cluster);
    if (waited !== "") throw new Error(`the node did not get ready: ${waited}\n${log()}`);
  } catch (error) {
    await cluster?.[Symbol.asyncDispose]();
    await end();
    throw error;
  }
  const whole = cluster;
  return {
    cluster: whole,
    dir,
    gateway: `10.99.${net}.1`,
    log,
    importImage: async (source) => {
      const from = source.endsWith(".tar") ? 'cat "$0"' : 'tar -C "$0" -cf - manifest.json config.json layer.tar';
      const socket = join(dir, "run/containerd/containerd.sock");
      const command = `${from} | ctr -a "$1" -n k8s.io images import -`;
      const { status, stderr } = await run("bash", ["-o", "pipefail", "-c", command, source, socket]);
      if (status !== 0) throw new Error(`cannot import ${source}: ${stderr}`);
    },
    [Symbol.asyncDispose]: async () => {
      await whole[Symbol.asyncDispose]();
      await end();
    },
  };
}

async function waitForNode(cluster: RealCluster): Promise<string> {
  let said = "";
  for (let attempt = 0; attempt < 60; attempt += 1) {
    const wait = ["wait", "--for=condition=Ready", "node/node-1", "--timeout=60s"];
    const { status, stderr } = await cluster.kubectl(wait);
    if (status === 0) return "";
    said = stderr;
    if (!stderr.includes("NotFound") && !stderr.includes("not found")) return stderr;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  return said;
}
