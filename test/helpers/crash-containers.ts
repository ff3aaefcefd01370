import { execFileSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readFileSync, realpathSync, rmSync, symlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { makeCriClient } from "../pods/cri-client.ts";
import { NAMESPACE_MODE, SECCOMP, type ContainerConfig, type MountConfig, type SandboxConfig } from "../pods/cri.ts";
import type { OpenBundle } from "./bundle-files.ts";
import { openBundleFile } from "./bundle-files.ts";
import type { InstalledComposer } from "./composer-install.ts";
import { startRealContainerd } from "./real-containerd.ts";

/** Where the composer looks for a runtime's records on its own node; this one is nobody's on a development machine. */
const RECORDS = "/run/k0s";

/** Say what runs in a container. */
export interface CrashWish {
  name: string;
  command: readonly string[];
  env?: Record<string, string>;
}

/** A pod of a real containerd, whose containers run this machine's programs. */
export interface CrashPod extends AsyncDisposable {
  /** Folder that is `/programs` in each container. */
  readonly programs: string;
  /** Run a container until its program has crashed, and wait for its bundle. */
  crash(wish: CrashWish): Promise<OpenBundle>;
}

/** Say why there can be no such pod here, or undefined. */
export function crashPodTaken(): string | undefined {
  return existsSync(RECORDS) ? `${RECORDS} is somebody's here` : undefined;
}

/**
 * Start a pod. Its containers see this machine's `/usr`, `/lib` and so on, read-only, and share the pod's process ids, so
 * that no program is process 1.
 */
export async function startCrashPod(
  composer: InstalledComposer,
  pod: { namespace: string; name: string; uid: string },
): Promise<CrashPod> {
  const runtime = await startRealContainerd();
  mkdirSync(RECORDS);
  symlinkSync(join(runtime.host, "run/containerd"), join(RECORDS, "containerd"));
  const cri = makeCriClient(runtime.socket, join(runtime.host, "own"));
  const programs = join(runtime.host, "programs");
  mkdirSync(programs);
  const labels = {
    "io.kubernetes.pod.name": pod.name,
    "io.kubernetes.pod.namespace": pod.namespace,
    "io.kubernetes.pod.uid": pod.uid,
  };
  const namespaces = { network: NAMESPACE_MODE.node, pid: NAMESPACE_MODE.pod, ipc: NAMESPACE_MODE.pod };
  const config: SandboxConfig = {
    metadata: { name: pod.name, namespace: pod.namespace, uid: pod.uid, attempt: 0 },
    log_directory: join(runtime.host, "var/log/pods", `${pod.namespace}_${pod.name}_${pod.uid}`),
    labels,
    annotations: { "kubernetes.io/config.source": "api" },
    linux: {
      cgroup_parent: `/kubepods/besteffort/pod${pod.uid}`,
      security_context: { namespace_options: namespaces },
    },
  };
  const podId = await cri.runPod(config);
  return {
    programs,
    crash: async ({ name, command, env = {} }) => {
      const container: ContainerConfig = {
        metadata: { name, attempt: 0 },
        image: { image: "cdh.test/crasher:1.2" },
        command: [...command],
        envs: Object.entries(env).map(([key, value]) => ({ key, value })),
        mounts: [{ host_path: programs, container_path: "/programs" }, ...machineMounts()],
        labels: { ...labels, "io.kubernetes.container.name": name },
        annotations: { "io.kubernetes.container.restartCount": "0" },
        log_path: `${name}/0.log`,
        linux: {
          resources: {},
          security_context: { namespace_options: namespaces, seccomp: { profile_type: SECCOMP.Unconfined } },
        },
      };
      await cri.runContainer(podId, config, container);
      const log = join(config.log_directory, container.log_path);
      return await bundleOfContainer(composer, name, () => (existsSync(log) ? readFileSync(log, "utf8") : ""));
    },
    [Symbol.asyncDispose]: async () => {
      rmSync(RECORDS, { recursive: true, force: true });
      await runtime[Symbol.asyncDispose]();
    },
  };
}

/** This machine's folders, and those of programs that lie elsewhere. */
function machineMounts(): MountConfig[] {
  const pythons = realpathSync(
    execFileSync("python3", ["-c", "import sys; print(sys.base_prefix)"], { encoding: "utf8" }).trim(),
  );
  const folders = ["/usr", "/lib", "/lib64", "/bin", "/etc", dirname(process.execPath), pythons];
  return [...new Set(folders)]
    .filter((folder) => existsSync(folder))
    .map((folder) => ({ host_path: realpathSync(folder), container_path: folder, readonly: true }));
}

async function bundleOfContainer(composer: InstalledComposer, name: string, said: () => string): Promise<OpenBundle> {
  const deadline = performance.now() + 120_000;
  for (;;) {
    for (const file of composer.published()) {
      const bundle = await openBundleFile(join(composer.coreDir, file));
      if (bundle.manifest.container?.name === name) return bundle;
    }
    if (performance.now() > deadline)
      throw new Error(
        `no bundle of container ${name}; it said ${said()}; log: ${JSON.stringify(composer.log().slice(-5))}`,
      );
    await delay(50);
  }
}

/** A copy of a program that is gone when it crashes. */
export function goneProgram(pod: Pick<CrashPod, "programs">, program: string): string[] {
  copyFileSync(program, join(pod.programs, "kept"));
  const steps = "cp /programs/kept /programs/gone; exec 3</programs/gone; rm /programs/gone; exec /proc/self/fd/3";
  return ["/bin/sh", "-c", steps];
}

/** A pod's uid where no API server gives one. */
export const madeUid = (): string => randomUUID();
