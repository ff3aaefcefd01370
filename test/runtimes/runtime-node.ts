import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { REPOSITORY } from "../helpers/repository.ts";
import { missingTools } from "../helpers/tools.ts";
import { firstProcessOf, makeCriClient } from "../pods/cri-client.ts";
import type { ContainerConfig, SandboxConfig } from "../pods/cri.ts";

const execute = promisify(execFile);
const BIN = join(REPOSITORY, ".cache/tools/bin");

/** A container runtime that is not containerd itself. */
export type RuntimeKind = "crio" | "crio-systemd" | "docker";

/** What each one needs, and where on the node the composer finds its records; that place must be nobody's here. */
const CRIO = {
  tools: ["crio", "runc", "conmon", "podman"],
  state: "/var/data/crioruntimestorage",
  records: "run/containers/storage",
};
const KINDS: Record<RuntimeKind, { tools: string[]; state: string; records: string }> = {
  crio: CRIO,
  "crio-systemd": { ...CRIO, tools: [...CRIO.tools, "systemd", "dbus-daemon"] },
  docker: {
    tools: ["dockerd", "docker", "cri-dockerd", "containerd", "runc"],
    state: "/var/snap/docker/common/var-lib-docker",
    records: "docker",
  },
};

/** A machine for pods with a real runtime in namespaces of its own, on the real kernel. */
export interface RuntimeNode extends AsyncDisposable {
  readonly kind: RuntimeKind;
  /** Everything of it lies below. */
  readonly dir: string;
  readonly socket: string;
  /** The parent that a kubelet with the runtime's cgroup driver gives a pod. */
  cgroupParent(podUid: string, qos: "besteffort" | "burstable" | "guaranteed"): string;
  /** What `crictl version` says: `cri-o 1.34.1`. */
  readonly version: string;
  /** Run crictl. @throws {Error} with its words */
  crictl(...args: string[]): Promise<string>;
  /** Start a sandbox. @returns its id */
  runPod(config: SandboxConfig): Promise<string>;
  /** Create and start a container. @returns its id */
  runContainer(podId: string, pod: SandboxConfig, config: ContainerConfig): Promise<string>;
  /** Import an image from a folder of makeImage. */
  importImage(folder: string): Promise<void>;
  /** Pid on this machine of the process that is number 1 of this container. @throws {Error} when there is none */
  pidOf(containerId: string): number;
  /** Id of an imported image. @throws {Error} when there is none of this name */
  imageId(name: string): Promise<string>;
  /** The runtime's own record of a container. */
  recordOf(containerId: string): string;
  /** Hide the runtime's records from the composer, or show them again. */
  hideRecords(hidden: boolean): void;
}

/** Say why there can be no such machine here, or undefined. */
export function runtimeUnavailable(kind: RuntimeKind): string | undefined {
  if (process.getuid?.() !== 0) return "a machine for pods needs root";
  const { tools, state } = KINDS[kind];
  const missing = missingTools(...tools, "crictl", "gcc", "tar", "ip", "unshare");
  if (missing !== undefined) return missing;
  if (!existsSync("/usr/lib/cni/bridge")) return "containernetworking-plugins is not on this machine";
  if (kind === "crio-systemd" && !existsSync("/etc/machine-id")) return "a systemd would make /etc/machine-id here";
  return existsSync(state) ? `${state} is somebody's here` : undefined;
}

/** Start it. It ends with this process, however that ends, with every process, mount, cgroup and file of it. */
export async function startRuntimeNode(kind: RuntimeKind): Promise<RuntimeNode> {
  const { state, records } = KINDS[kind];
  const dir = mkdtempSync("/tmp/cdhr-");
  const hideRecords = (hidden: boolean): void => {
    rmSync(state, { force: true });
    if (hidden) return;
    mkdirSync(dirname(state), { recursive: true });
    symlinkSync(join(dir, records), state);
  };
  hideRecords(false);
  const child = spawn(join(REPOSITORY, "test/runtimes/machine.sh"), ["start", kind, dir, BIN, state], {
    stdio: ["pipe", "pipe", "pipe"],
    detached: true,
  });
  child.stdin.on("error", () => undefined);
  let errors = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (errors = (errors + text).slice(-8192)));
  const ended = once(child, "close");
  const first = await Promise.race([once(child.stdout, "data"), ended.then(() => undefined)]);
  if (first === undefined) throw new Error(`${kind} did not start: ${errors}`);
  const socket = join(dir, "run/cri.sock");
  const cri = makeCriClient(socket, join(dir, "own"));
  const crioStorage = join(dir, "var/lib/containers/storage");
  const crioDriver = (): string => (existsSync(join(crioStorage, "vfs-images")) ? "vfs" : "overlay");
  const [, name = "", version = ""] =
    /RuntimeName:\s+(\S+)\s+RuntimeVersion:\s+(\S+)/.exec(await cri.crictl("version")) ?? [];
  return {
    kind,
    dir,
    socket,
    cgroupParent: (podUid, qos) => {
      const levels = ["kubepods", ...(qos === "guaranteed" ? [] : [qos])];
      if (kind === "crio-systemd") return `${[...levels, `pod${podUid.replaceAll("-", "_")}`].join("-")}.slice`;
      // Below a level of its own, so that they are found and removed; systemd's tree has one already.
      return join(dir.slice("/tmp".length), ...levels, `pod${podUid}`);
    },
    version: `${name} ${version}`,
    crictl: cri.crictl,
    hideRecords,
    imageId: async (image) => {
      const { images } = JSON.parse(await cri.crictl("images", "-o", "json")) as {
        images: { id: string; repoTags: string[] | null }[];
      };
      const found = images.find(({ repoTags }) => repoTags?.includes(image));
      if (found === undefined) throw new Error(`no image ${image}: ${JSON.stringify(images)}`);
      return found.id;
    },
    recordOf: (id) =>
      kind === "docker"
        ? join(dir, "docker/containers", id, "config.v2.json")
        : join(dir, records, `${crioDriver()}-containers`, id, "userdata/config.json"),
    importImage: async (folder) => {
      const archive = `${folder}.tar`;
      await execute("tar", ["-C", folder, "-cf", archive, "manifest.json", "config.json", "layer.tar"]);
      if (kind === "docker") {
        await execute("docker", ["--host", `unix://${dir}/run/docker.sock`, "load", "-i", archive]);
        return;
      }
      const where = ["--root", crioStorage, "--runroot", join(dir, records), "--storage-driver", crioDriver()];
      await execute("unshare", ["--mount", "--propagation", "private", "podman", ...where, "load", "-i", archive]);
    },
    runPod: cri.runPod,
    runContainer: cri.runContainer,
    pidOf: firstProcessOf,
    [Symbol.asyncDispose]: async () => {
      child.stdin.end();
      await ended;
    },
  };
}
