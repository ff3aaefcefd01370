import type { Roots } from "@cdh/core/roots";
import { existsOnHost, readHostText } from "./host-path.ts";
import type { Mode } from "./target-node.ts";

/** What is special about a kind of host: where it lets programs run from, and how. */
export interface Profile {
  hostDir: string;
  /** HOST_DIR/cores by default. */
  coreDir?: string;
  mode: Mode;
  /** Socket of the host's container runtime. */
  crictlEndpoint: string;
  /** Why these values. */
  why: string;
}

const CONTAINERD = "unix:///run/containerd/containerd.sock";

/** Profiles by name. HOST_DIR of `default` is IBM's, so that its users can switch. */
export const PROFILES = {
  default: {
    hostDir: "/var/mnt/core-dump-handler",
    mode: "pipe",
    crictlEndpoint: CONTAINERD,
    why: "most hosts can write to and execute from /var",
  },
  "gke-cos": {
    hostDir: "/home/kubernetes/bin/core-dump-handler",
    coreDir: "/home/kubernetes/cores",
    mode: "pipe",
    crictlEndpoint: CONTAINERD,
    why: "Container-Optimized OS executes only from /home/kubernetes/bin",
  },
  bottlerocket: {
    hostDir: "/var/mnt/core-dump-handler",
    coreDir: "/var/core_dumps",
    mode: "file",
    crictlEndpoint: CONTAINERD,
    why: "SELinux on Bottlerocket does not let the kernel start a handler from a writable directory",
  },
  openshift: {
    hostDir: "/var/mnt/core-dump-handler",
    mode: "pipe",
    crictlEndpoint: "unix:///run/crio/crio.sock",
    why: "/mnt is a link to /var/mnt on CoreOS, the only places beside /var that can be written to",
  },
  talos: {
    hostDir: "/var/lib/core-dump-handler",
    mode: "pipe",
    crictlEndpoint: CONTAINERD,
    why: "Talos has no C library on the host and only /var can be written to",
  },
  k3s: {
    hostDir: "/var/mnt/core-dump-handler",
    mode: "pipe",
    crictlEndpoint: "unix:///run/k3s/containerd/containerd.sock",
    why: "k3s runs a containerd of its own",
  },
} as const satisfies Record<string, Profile>;

/** Name a profile. */
export type ProfileName = keyof typeof PROFILES;

/** Names of the profiles, for the settings. */
export const PROFILE_NAMES = Object.keys(PROFILES) as ProfileName[];

/** Recognise the host by its os-release, and k3s by its directory. @see os-release(5) */
export function detectProfile(roots: Roots): ProfileName {
  const text =
    ["/etc/os-release", "/usr/lib/os-release"]
      .map((path) => readHostText(roots, path))
      .find((found) => found !== undefined) ?? "";
  const value = (key: string): string =>
    new RegExp(`(?<![^\\n])${key}=(["']?)(.*)\\1\\s*(?![^\\n])`).exec(text)?.[2]?.toLowerCase() ?? "";
  const id = value("ID");
  if (id === "cos") return "gke-cos";
  if (id === "bottlerocket") return "bottlerocket";
  if (id === "talos") return "talos";
  if (id === "rhcos" || (id === "rhel" && value("VARIANT_ID") === "coreos") || value("OPENSHIFT_VERSION") !== "")
    return "openshift";
  if (["/etc/rancher/k3s", "/var/lib/rancher/k3s"].some((path) => existsOnHost(roots, path))) return "k3s";
  return "default";
}
