/**
 * What crictl reads, in the names and numbers of CRI's api.proto.
 * @see https://github.com/kubernetes/cri-api/blob/master/pkg/apis/runtime/v1/api.proto
 */

/** `NamespaceMode`. */
export const NAMESPACE_MODE = { pod: 0, container: 1, node: 2 } as const;
/** `MountPropagation`. */
export const PROPAGATION = { None: 0, HostToContainer: 1, Bidirectional: 2 } as const;
/** `SecurityProfile.ProfileType`. */
export const SECCOMP = { RuntimeDefault: 0, Unconfined: 1, Localhost: 2 } as const;

/** `NamespaceOption`. */
export interface NamespaceOptions {
  network: number;
  pid: number;
  ipc: number;
}

/** `PodSandboxConfig`. */
export interface SandboxConfig {
  metadata: { name: string; namespace: string; uid: string; attempt: number };
  hostname?: string;
  log_directory: string;
  labels: Record<string, string>;
  annotations: Record<string, string>;
  linux: {
    cgroup_parent: string;
    security_context: { privileged?: boolean; namespace_options: NamespaceOptions };
  };
}

/** `Mount`. */
export interface MountConfig {
  host_path: string;
  container_path: string;
  readonly?: boolean;
  propagation?: number;
}

/** `LinuxContainerSecurityContext`. */
export interface SecurityConfig {
  privileged?: boolean;
  capabilities?: { add_capabilities?: string[]; drop_capabilities?: string[] };
  namespace_options: NamespaceOptions;
  run_as_user?: { value: number };
  run_as_group?: { value: number };
  readonly_rootfs?: boolean;
  no_new_privs?: boolean;
  seccomp?: { profile_type: number; localhost_ref?: string };
  selinux_options?: Record<string, string>;
  masked_paths?: string[];
  readonly_paths?: string[];
}

/** `ContainerConfig`. */
export interface ContainerConfig {
  metadata: { name: string; attempt: number };
  image: { image: string; user_specified_image?: string };
  command?: string[];
  args?: string[];
  working_dir?: string;
  envs: { key: string; value: string }[];
  mounts: MountConfig[];
  labels: Record<string, string>;
  annotations: Record<string, string>;
  log_path: string;
  linux: { resources: Record<string, number>; security_context: SecurityConfig };
}
