/** Kubernetes' quality-of-service classes. Guaranteed pods have no level of their own in the cgroup tree. */
export type QosClass = "guaranteed" | "burstable" | "besteffort";

/** The container runtime, as far as the cgroup's name tells. */
export type RuntimeHint = "containerd" | "cri-o" | "docker" | "podman";

/** Hold what `/proc/<pid>/cgroup` says about where a process belongs. Absent means that the text doesn't say it. */
export interface CgroupIdentity {
  /** 64 hexadecimal digits. In a pod: the container that this node's runtime knows, not one nested inside it. */
  containerId?: string;
  /** A UUID with dashes, or 32 hexadecimal digits for a static pod. */
  podUid?: string;
  runtimeHint?: RuntimeHint;
  qos?: QosClass;
  /** Every container id on the path, outermost first; more than one when containers are nested. */
  containerIds: string[];
  /**
   * Set when the ids stand in a part of the tree that is not the node's own runtime's: a user's, a machine's, or below
   * another container. Whoever that part is delegated to makes directories there by any name, so no record of this node
   * may be looked up by them.
   */
  foreign?: true;
  /** Set when the hierarchies name different containers or pods; then no id is given. */
  ambiguous?: true;
  /** The text itself, cut to {@link CGROUP_TEXT_MAX}. */
  raw: string;
}

/** Characters of the text that are looked at; a real file is a few kilobytes. */
export const CGROUP_TEXT_MAX = 65536;
const MAX_LINES = 256;
const MAX_SEGMENTS = 128;

const UUID = "[0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12}";
const POD_UID = `${UUID}|[0-9a-f]{32}`;

/** `pod<uid>` of the cgroupfs driver; `kubepods-burstable-pod<uid>.slice` of the systemd driver, whatever the cgroup root. */
const POD_SEGMENT = new RegExp(`^(?:pod|[^/]*-pod)(${POD_UID})(?:\\.slice)?$`);

/** The folder of all pods, of the cgroupfs and the systemd driver, or a slice within it. */
const PODS_SEGMENT = /^(?:[^/]+-)?kubepods(?:-[^/]*)?(?:\.slice)?(?::.*)?$/;

/** Where others are at home: users, virtual machines and system containers. */
const DELEGATED_SEGMENT =
  /^(?:user\.slice|user-\d+\.slice|user@\d+\.service|machine\.slice|machine-.*\.scope|lxc|lxc\.(?:payload|monitor)\..*)$/;

/** Services that are runtimes or run one; to any other one its part of the tree may be delegated. */
const RUNTIME_SERVICE = /(?:containerd|crio|cri-o|docker|podman|kubelet|k3s|rke2|k0s|microk8s)/;

/** A whole systemd path in one segment: containerd on cgroupfs below a kubelet that speaks systemd. */
const JOINED_SEGMENT = new RegExp(`^[^/]*-pod(${POD_UID})\\.slice:([a-z-]+):([0-9a-f]{64})$`);

/** `<id>`, `cri-containerd-<id>.scope`, `crio-<id>`, `docker-<id>.scope`, `libpod-<id>.scope`, `system.slice:docker:<id>` … */
const CONTAINER_SEGMENT = /^(?:([a-z][a-z0-9_.]*(?:-[a-z0-9_.]+)*)-)?([0-9a-f]{64})(?:\.scope)?$/;

const RUNTIMES: Record<string, RuntimeHint> = {
  "cri-containerd": "containerd",
  containerd: "containerd",
  nerdctl: "containerd",
  crio: "cri-o",
  docker: "docker",
  libpod: "podman",
};

/** Tell whether a text can be a container's id: 64 hexadecimal digits, nothing else. */
export function isContainerId(text: string): boolean {
  return /^[0-9a-f]{64}$/.test(text);
}

/** Tell whether a text can be a pod's uid: a UUID, or the 32 hexadecimal digits of a static pod. */
export function isPodUid(text: string): boolean {
  return /^(?:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{32})$/.test(text);
}

/**
 * Find the pod and the container in the text of `/proc/<pid>/cgroup`: cgroup v1, v2 and hybrid, systemd and cgroupfs
 * drivers. Total. Of several lines the one that says most is taken; hierarchies that contradict it give no ids at all.
 * @see cgroups(7)
 */
export function parseCgroup(text: string): CgroupIdentity {
  const raw = text.slice(0, CGROUP_TEXT_MAX);
  const found = raw
    .split("\n")
    .slice(0, MAX_LINES)
    .map((line) => parsePath(pathOf(line)))
    .filter((place) => place.rank > 0)
    .sort((a, b) => b.rank - a.rank);
  const best = found[0];
  if (best === undefined) return { containerIds: [], raw };
  const contradicted = found.some(
    // A hierarchy that ends further up names an outer container; that is no contradiction.
    (place) =>
      (place.containerId !== undefined && !best.containerIds.includes(place.containerId)) ||
      (place.podUid !== undefined && place.podUid !== best.podUid),
  );
  if (contradicted)
    return { containerIds: [...new Set(found.flatMap((place) => place.containerIds))], ambiguous: true, raw };
  const { rank: _rank, ...identity } = best;
  return { ...identity, raw };
}

interface Place extends Omit<CgroupIdentity, "raw"> {
  /** How much the path says: 3 pod and container, 2 container, 1 pod. */
  rank: number;
}

/** The path of one line; `hierarchy-id:controllers:path`, and the path itself may hold colons. */
function pathOf(line: string): string {
  const match = /^\d+:[^:]*:(\/.*)$/.exec(line);
  // The kernel marks a cgroup that was removed while a process was still in it.
  return (match?.[1] ?? "").replace(/ \(deleted\)$/, "");
}

function parsePath(path: string): Place {
  const place: Place = { rank: 0, containerIds: [] };
  const segments = path.split("/", MAX_SEGMENTS);
  let inPods = false;
  let [isForeign, isUsers] = [false, false];
  for (const [index, segment] of segments.entries()) {
    inPods ||= PODS_SEGMENT.test(segment);
    const joined = inPods && !isUsers ? JOINED_SEGMENT.exec(segment) : null;
    if (joined !== null) {
      takePod(place, joined[1] ?? "", segments.slice(0, index + 1), isForeign);
      takeContainer(place, joined[3] ?? "", RUNTIMES[joined[2] ?? ""], isForeign);
      isForeign = true;
      continue;
    }
    const pod = inPods && !isUsers ? POD_SEGMENT.exec(segment) : null;
    if (pod !== null) {
      takePod(place, pod[1] ?? "", segments.slice(0, index + 1), isForeign);
      continue;
    }
    if (isDelegated(segment)) {
      isForeign = true;
      isUsers ||= segment.startsWith("user");
      continue;
    }
    const container = CONTAINER_SEGMENT.exec(
      segment.replace(/^.*:/, (prefix) => `${prefix.slice(0, -1).split(":").at(-1) ?? ""}-`),
    );
    if (container === null) continue;
    const prefix = container[1] ?? "";
    // conmon watches a container from its own scope; a crash of conmon is not a crash of the container.
    if (/(?:^|-)conmon$/.test(prefix)) {
      const hint = RUNTIMES[prefix.replace(/-conmon$/, "")];
      if (hint !== undefined) place.runtimeHint ??= hint;
      continue;
    }
    takeContainer(
      place,
      container[2] ?? "",
      RUNTIMES[prefix] ?? (prefix === "" ? parentRuntime(segments[index - 1]) : undefined),
      isForeign,
    );
    isForeign = true;
  }
  place.rank = (place.containerId === undefined ? 0 : 2) + (place.podUid === undefined ? 0 : 1);
  return place;
}

function isDelegated(segment: string): boolean {
  return DELEGATED_SEGMENT.test(segment) || (segment.endsWith(".service") && !RUNTIME_SERVICE.test(segment));
}

function takePod(place: Place, uid: string, above: readonly string[], foreign: boolean): void {
  if (place.podUid !== undefined) return;
  if (foreign) place.foreign = true;
  place.podUid = uid.replaceAll("_", "-");
  place.qos = qosOf(above);
  // A container outside the pod is a node of its own (kind); the pod's runtime runs inside it and knows only what follows.
  delete place.containerId;
  delete place.runtimeHint;
}

function takeContainer(place: Place, id: string, runtime: RuntimeHint | undefined, foreign: boolean): void {
  place.containerIds.push(id);
  if (place.containerId !== undefined) return;
  if (foreign && place.podUid === undefined) place.foreign = true;
  place.containerId = id;
  if (runtime !== undefined) place.runtimeHint = runtime;
}

function qosOf(segments: readonly string[]): QosClass {
  const above = segments.join("/");
  if (/(?:^|[/-])besteffort(?:[/.-]|$)/.test(above)) return "besteffort";
  return /(?:^|[/-])burstable(?:[/.-]|$)/.test(above) ? "burstable" : "guaranteed";
}

/** The cgroupfs driver puts bare ids below a folder named after the runtime, or below the pod, which tells nothing. */
function parentRuntime(parent: string | undefined): RuntimeHint | undefined {
  if (parent === "docker") return "docker";
  return parent === "libpod_parent" ? "podman" : undefined;
}
