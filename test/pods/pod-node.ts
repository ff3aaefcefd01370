import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync } from "node:fs";
import { connect, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { REPOSITORY } from "../helpers/repository.ts";
import { missingTools } from "../helpers/tools.ts";
import { firstProcessOf, makeCriClient } from "./cri-client.ts";
import type { ContainerConfig, SandboxConfig } from "./cri.ts";

const execute = promisify(execFile);

/** The node's own address, as pods see it. */
export const GATEWAY = "10.213.7.1";

/** A machine for pods: a containerd in namespaces of its own, on the real kernel. */
export interface PodNode extends AsyncDisposable {
  /** Everything of it lies below. Short, because a core pattern has 127 bytes. */
  readonly dir: string;
  readonly socket: string;
  /** Level of the cgroup tree under which its pods must go, so that they are found and removed. */
  readonly cgroupParent: string;
  /** Run crictl. @throws {Error} with its words */
  crictl(...args: string[]): Promise<string>;
  /** What a container wrote to both streams, of its current start. */
  logs(containerId: string): Promise<string>;
  /** Import an image from a folder of makeImage, or from an archive. */
  importImage(source: string): Promise<void>;
  /** Start a sandbox. @returns its id */
  runPod(config: SandboxConfig): Promise<string>;
  /** Create and start a container. @returns its id */
  runContainer(podId: string, pod: SandboxConfig, config: ContainerConfig): Promise<string>;
  /** The address of a pod. */
  addressOf(podId: string): Promise<string>;
  /** Pid on this machine of a container's first process. @throws {Error} when it has none */
  pidOf(containerId: string): number;
  /** Connect to a port of a pod. */
  connect(address: string, port: number): Socket;
  /** Let what pods send to a port of the node reach a server. */
  serve(port: number, server: Server): Promise<void>;
}

/** Say why there can be no such machine here, or undefined. */
export function podNodeUnavailable(): string | undefined {
  if (process.getuid?.() !== 0) return "a machine for pods needs root";
  const missing = missingTools("containerd", "ctr", "runc", "gcc", "tar", "ip", "unshare", "crictl", "helm");
  if (missing !== undefined) return missing;
  try {
    return readdirSync("/usr/lib/cni").includes("bridge") ? undefined : "CNI's bridge is not on this machine";
  } catch {
    return "containernetworking-plugins is not on this machine";
  }
}

/**
 * Start it. It ends with this process, however that ends, with every process, mount, cgroup and file of it.
 * @param ports of the node that lead to servers of the test, see `serve`
 */
export async function startPodNode(ports: readonly number[]): Promise<PodNode> {
  const dir = mkdtempSync("/tmp/cdhp-");
  const script = join(REPOSITORY, "test/pods/node.sh");
  const child = spawn(script, ["start", dir, process.execPath, ...ports.map(String)], {
    stdio: ["pipe", "pipe", "pipe"],
    detached: true,
  });
  child.stdin.on("error", () => undefined);
  let errors = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (errors = (errors + text).slice(-8192)));
  const ended = once(child, "close");
  const first = await Promise.race([once(child.stdout, "data"), ended.then(() => undefined)]);
  if (first === undefined) throw new Error(`the machine for pods did not start: ${errors}`);
  const socket = join(dir, "run/containerd/containerd.sock");
  const cri = makeCriClient(socket, join(dir, "own"));
  const servers: Server[] = [];
  return {
    dir,
    socket,
    cgroupParent: `/${dir.slice("/tmp/".length)}`,
    crictl: cri.crictl,
    logs: async (containerId) => {
      const { stdout, stderr } = await cri.ask(["logs", containerId]);
      return stdout + stderr;
    },
    importImage: async (source) => {
      const archive = source.endsWith(".tar");
      const from = archive ? 'cat "$0"' : 'tar -C "$0" -cf - manifest.json config.json layer.tar';
      await execute("bash", [
        "-o",
        "pipefail",
        "-c",
        `${from} | ctr -a "$1" -n k8s.io images import -`,
        source,
        socket,
      ]);
    },
    runPod: cri.runPod,
    runContainer: cri.runContainer,
    addressOf: async (podId) => {
      const { status } = JSON.parse(await cri.crictl("inspectp", podId)) as { status: { network: { ip: string } } };
      return status.network.ip;
    },
    pidOf: firstProcessOf,
    connect: (address, port) => {
      const stream = connect(join(dir, "out.sock"));
      stream.write(`${address} ${port}\n`);
      return stream;
    },
    serve: async (port, server) => {
      servers.push(server);
      server.listen(join(dir, "in", String(port)));
      await once(server, "listening");
    },
    [Symbol.asyncDispose]: async () => {
      child.stdin.end();
      await ended;
      for (const server of servers) server.close();
    },
  };
}
