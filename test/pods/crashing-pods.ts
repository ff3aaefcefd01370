import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { NAMESPACE_MODE, SECCOMP, type ContainerConfig, type SandboxConfig } from "./cri.ts";
import { CRASHER } from "./images.ts";
import type { PodNode } from "./pod-node.ts";
import { expectSoon } from "./soon.ts";

/** Say what pod is to crash. */
export interface PodWish {
  namespace: string;
  name: string;
  labels?: Record<string, string>;
  hostNetwork?: boolean;
}

/** Say what runs in it. */
export interface ContainerWish {
  name: string;
  /** What crasher.c is to do. */
  args?: readonly string[];
  user?: number;
  readOnlyRoot?: boolean;
  /** How often it was started before. */
  restarts?: number;
}

/** A pod of crasher.c. */
export interface CrashingPod {
  readonly id: string;
  readonly uid: string;
  readonly config: SandboxConfig;
  /** Start a container and wait until it has said what it says before it waits. @returns its id */
  start(wish: ContainerWish, said?: string): Promise<string>;
  /** What a container has written, without the runtime's column of times. */
  said(container: string, restarts?: number): string[];
}

/** Start a pod with no container yet, as a kubelet does for a pod that asks for no resources. */
export async function startCrashingPod(node: PodNode, wish: PodWish): Promise<CrashingPod> {
  const uid = randomUUID();
  const namespaces = {
    network: wish.hostNetwork === true ? NAMESPACE_MODE.node : NAMESPACE_MODE.pod,
    pid: NAMESPACE_MODE.container,
    ipc: NAMESPACE_MODE.pod,
  };
  const own = {
    "io.kubernetes.pod.name": wish.name,
    "io.kubernetes.pod.namespace": wish.namespace,
    "io.kubernetes.pod.uid": uid,
  };
  const config: SandboxConfig = {
    metadata: { name: wish.name, namespace: wish.namespace, uid, attempt: 0 },
    ...(wish.hostNetwork === true ? {} : { hostname: wish.name }),
    log_directory: join(node.dir, "var/log/pods", `${wish.namespace}_${wish.name}_${uid}`),
    labels: { ...wish.labels, ...own },
    annotations: { "kubernetes.io/config.source": "api" },
    linux: {
      cgroup_parent: `${node.cgroupParent}/kubepods/besteffort/pod${uid}`,
      security_context: { namespace_options: namespaces },
    },
  };
  const id = await node.runPod(config);
  const said: CrashingPod["said"] = (container, restarts = 0) => {
    try {
      return readFileSync(join(config.log_directory, container, `${restarts}.log`), "utf8")
        .split("\n")
        .flatMap((line) => /^\S+ std(?:out|err) [FP] (.*)$/.exec(line)?.[1] ?? []);
    } catch {
      return [];
    }
  };
  return {
    id,
    uid,
    config,
    said,
    start: async ({ name, args = ["wait"], user, readOnlyRoot, restarts = 0 }, until = "last line of") => {
      const container: ContainerConfig = {
        metadata: { name, attempt: restarts },
        image: { image: CRASHER },
        command: ["/crasher"],
        args: [...args],
        envs: [],
        mounts: [],
        labels: { ...own, "io.kubernetes.container.name": name },
        annotations: { "io.kubernetes.container.restartCount": String(restarts) },
        log_path: `${name}/${restarts}.log`,
        linux: {
          resources: { cpu_shares: 2 },
          security_context: {
            namespace_options: namespaces,
            seccomp: { profile_type: SECCOMP.Unconfined },
            ...(user === undefined ? {} : { run_as_user: { value: user } }),
            ...(readOnlyRoot === true ? { readonly_rootfs: true } : {}),
          },
        },
      };
      const containerId = await node.runContainer(id, config, container);
      await expectSoon(`${name} says ${until}`, () => said(name, restarts).some((line) => line.startsWith(until)));
      return containerId;
    },
  };
}
