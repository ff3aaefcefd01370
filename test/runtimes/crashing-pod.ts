import { randomUUID } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { NAMESPACE_MODE, SECCOMP, type ContainerConfig, type SandboxConfig } from "../pods/cri.ts";
import { CRASHER } from "../pods/images.ts";
import { expectSoon } from "../pods/soon.ts";
import type { RuntimeNode } from "./runtime-node.ts";

/** Say what pod is to crash. */
export interface PodWish {
  namespace: string;
  name: string;
  labels?: Record<string, string>;
  hostNetwork?: boolean;
  /** Containers share the pod's process ids: then every runtime keeps a pause container. */
  sharedPids?: boolean;
  /** Default: BestEffort. */
  qos?: "besteffort" | "burstable" | "guaranteed";
}

/** A pod of `test/pods/crasher.c`. */
export interface CrashingPod {
  readonly id: string;
  readonly uid: string;
  readonly config: SandboxConfig;
  /** Start a container and wait until it has said its last line before it waits. @returns its id */
  start(name: string, restarts?: number): Promise<string>;
  /** The container's current log, on the node. */
  logOf(name: string, restarts?: number): string;
}

/** Start a pod with no container yet, with the labels and annotations that a kubelet gives. */
export async function startCrashingPod(node: RuntimeNode, wish: PodWish): Promise<CrashingPod> {
  const uid = randomUUID();
  const namespaces = {
    network: wish.hostNetwork === true ? NAMESPACE_MODE.node : NAMESPACE_MODE.pod,
    pid: wish.sharedPids === true ? NAMESPACE_MODE.pod : NAMESPACE_MODE.container,
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
      cgroup_parent: node.cgroupParent(uid, wish.qos ?? "besteffort"),
      security_context: { namespace_options: namespaces },
    },
  };
  const id = await node.runPod(config);
  const logOf = (name: string, restarts = 0): string => join(config.log_directory, name, `${restarts}.log`);
  return {
    id,
    uid,
    config,
    logOf,
    start: async (name, restarts = 0) => {
      const container: ContainerConfig = {
        metadata: { name, attempt: restarts },
        // A kubelet looks the image up and then asks for its id.
        image: { image: await node.imageId(CRASHER), user_specified_image: CRASHER },
        command: ["/crasher"],
        args: ["wait"],
        envs: [],
        mounts: [],
        labels: { ...own, "io.kubernetes.container.name": name },
        annotations: { "io.kubernetes.container.restartCount": String(restarts) },
        log_path: `${name}/${restarts}.log`,
        linux: {
          resources: {},
          security_context: { namespace_options: namespaces, seccomp: { profile_type: SECCOMP.Unconfined } },
        },
      };
      const containerId = await node.runContainer(id, config, container);
      const log = logOf(name, restarts);
      await expectSoon(
        `${name} has said its last line`,
        () => existsSync(log) && readFileSync(log, "utf8").includes("last line of"),
      );
      return containerId;
    },
  };
}
