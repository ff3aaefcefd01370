import { describe, expect, it } from "vitest";
import { isContainerId, isPodUid, parseCgroup, type CgroupIdentity } from "./cgroup.ts";

const ID = "0f3cbd6f1f2a4d0d9c9f1d9b4b6ab9f3a1c2d3e4f5061728394a5b6c7d8e9f00";
const OTHER = "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100";
const UID = "3b0a5d2e-8f4c-4f3b-9a57-0c6a1f6e2d11";
const UID_ = UID.replaceAll("-", "_");
const STATIC = "d41d8cd98f00b204e9800998ecf8427e";

type Expected = Omit<CgroupIdentity, "raw" | "containerIds"> & { containerIds?: string[] };

const CASES: [string, string, Expected][] = [
  [
    "v2, systemd, containerd, BestEffort",
    `0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod${UID_}.slice/cri-containerd-${ID}.scope`,
    { containerId: ID, podUid: UID, runtimeHint: "containerd", qos: "besteffort" },
  ],
  [
    "v2, systemd, containerd, Burstable",
    `0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${UID_}.slice/cri-containerd-${ID}.scope`,
    { containerId: ID, podUid: UID, runtimeHint: "containerd", qos: "burstable" },
  ],
  [
    "v2, systemd, containerd, Guaranteed",
    `0::/kubepods.slice/kubepods-pod${UID_}.slice/cri-containerd-${ID}.scope`,
    { containerId: ID, podUid: UID, runtimeHint: "containerd", qos: "guaranteed" },
  ],
  [
    "v2, systemd, CRI-O",
    `0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${UID_}.slice/crio-${ID}.scope`,
    { containerId: ID, podUid: UID, runtimeHint: "cri-o", qos: "burstable" },
  ],
  [
    "v2, systemd, CRI-O with crun's own level",
    `0::/kubepods.slice/kubepods-pod${UID_}.slice/crio-${ID}.scope/container`,
    { containerId: ID, podUid: UID, runtimeHint: "cri-o", qos: "guaranteed" },
  ],
  [
    "v2, systemd, cri-dockerd",
    `0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod${UID_}.slice/docker-${ID}.scope`,
    { containerId: ID, podUid: UID, runtimeHint: "docker", qos: "besteffort" },
  ],
  [
    "v2, a child cgroup that the container made",
    `0::/kubepods.slice/kubepods-pod${UID_}.slice/cri-containerd-${ID}.scope/init.scope/deeper`,
    { containerId: ID, podUid: UID, runtimeHint: "containerd", qos: "guaranteed" },
  ],
  [
    "v2, removed meanwhile",
    `0::/kubepods.slice/kubepods-pod${UID_}.slice/cri-containerd-${ID}.scope (deleted)`,
    { containerId: ID, podUid: UID, runtimeHint: "containerd", qos: "guaranteed" },
  ],
  [
    "v2, cgroupfs (k3s, rke2, microk8s), BestEffort",
    `0::/kubepods/besteffort/pod${UID}/${ID}`,
    { containerId: ID, podUid: UID, qos: "besteffort" },
  ],
  ["v2, cgroupfs, Guaranteed", `0::/kubepods/pod${UID}/${ID}`, { containerId: ID, podUid: UID, qos: "guaranteed" }],
  [
    "v2, cgroupfs, CRI-O",
    `0::/kubepods/burstable/pod${UID}/crio-${ID}`,
    { containerId: ID, podUid: UID, runtimeHint: "cri-o", qos: "burstable" },
  ],
  [
    "v2, static pod",
    `0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${STATIC}.slice/cri-containerd-${ID}.scope`,
    { containerId: ID, podUid: STATIC, runtimeHint: "containerd", qos: "burstable" },
  ],
  [
    "v2, static pod, cgroupfs",
    `0::/kubepods/burstable/pod${STATIC}/${ID}`,
    { containerId: ID, podUid: STATIC, qos: "burstable" },
  ],
  [
    "containerd on cgroupfs below a kubelet on systemd",
    `0::/system.slice/containerd.service/kubepods-besteffort-pod${UID_}.slice:cri-containerd:${ID}`,
    { containerId: ID, podUid: UID, runtimeHint: "containerd", qos: "besteffort" },
  ],
  [
    "the same for CRI-O, Guaranteed",
    `0::/kubepods-pod${UID_}.slice:crio:${ID}`,
    { containerId: ID, podUid: UID, runtimeHint: "cri-o", qos: "guaranteed" },
  ],
  [
    "kind: a kubelet slice inside docker, v2",
    `0::/system.slice/docker-${OTHER}.scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod${UID_}.slice/cri-containerd-${ID}.scope`,
    {
      containerId: ID,
      podUid: UID,
      runtimeHint: "containerd",
      qos: "besteffort",
      containerIds: [OTHER, ID],
      foreign: true,
    },
  ],
  [
    "kind: v1, cgroupfs, a hierarchy that ends further up",
    `12:misc:/docker/${OTHER}\n4:memory:/docker/${OTHER}/kubelet/kubepods/burstable/pod${UID}/${ID}\n`,
    { containerId: ID, podUid: UID, qos: "burstable", containerIds: [OTHER, ID], foreign: true },
  ],
  [
    "docker inside a pod: the pod's own container",
    `0::/kubepods/burstable/pod${UID}/${ID}/docker/${OTHER}`,
    { containerId: ID, podUid: UID, qos: "burstable", containerIds: [ID, OTHER] },
  ],
  [
    "a cluster inside a pod: the outer pod",
    `0::/kubepods/pod${UID}/${ID}/kubepods/besteffort/pod${STATIC}/${OTHER}`,
    { containerId: ID, podUid: UID, qos: "guaranteed", containerIds: [ID, OTHER] },
  ],
  [
    "a custom cgroup root",
    `0::/k8s.slice/k8s-kubepods.slice/k8s-kubepods-pod${UID_}.slice/cri-containerd-${ID}.scope`,
    { containerId: ID, podUid: UID, runtimeHint: "containerd", qos: "guaranteed" },
  ],
  [
    "a cgroup namespace other than the reader's",
    `0::/../../kubepods-burstable.slice/kubepods-burstable-pod${UID_}.slice/cri-containerd-${ID}.scope`,
    { containerId: ID, podUid: UID, runtimeHint: "containerd", qos: "burstable" },
  ],
  [
    "v1, systemd driver",
    `12:cpuset:/kubepods.slice/kubepods-pod${UID_}.slice/docker-${ID}.scope\n1:name=systemd:/kubepods.slice/kubepods-pod${UID_}.slice/docker-${ID}.scope\n`,
    { containerId: ID, podUid: UID, runtimeHint: "docker", qos: "guaranteed" },
  ],
  [
    "v1, cgroupfs, controllers joined",
    `11:cpu,cpuacct:/kubepods/besteffort/pod${UID}/${ID}\n10:net_cls,net_prio:/kubepods/besteffort/pod${UID}/${ID}\n1:name=systemd:/kubepods/besteffort/pod${UID}/${ID}\n`,
    { containerId: ID, podUid: UID, qos: "besteffort" },
  ],
  [
    "hybrid: the unified hierarchy says nothing",
    `9:memory:/kubepods/burstable/pod${UID}/${ID}\n1:name=systemd:/system.slice/containerd.service\n0::/\n`,
    { containerId: ID, podUid: UID, qos: "burstable" },
  ],
  [
    "hybrid: only the unified hierarchy says it",
    `9:memory:/\n0::/kubepods/burstable/pod${UID}/${ID}\n`,
    { containerId: ID, podUid: UID, qos: "burstable" },
  ],
  [
    "docker without Kubernetes, systemd",
    `0::/system.slice/docker-${ID}.scope`,
    { containerId: ID, runtimeHint: "docker" },
  ],
  ["docker without Kubernetes, cgroupfs", `5:pids:/docker/${ID}\n`, { containerId: ID, runtimeHint: "docker" }],
  ["docker, joined", `0::/system.slice:docker:${ID}`, { containerId: ID, runtimeHint: "docker" }],
  [
    "podman, rootful",
    `0::/machine.slice/libpod-${ID}.scope/container`,
    { containerId: ID, runtimeHint: "podman", foreign: true },
  ],
  [
    "podman, rootless",
    `0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-${ID}.scope/container`,
    { containerId: ID, runtimeHint: "podman", foreign: true },
  ],
  ["podman, cgroupfs", `0::/libpod_parent/libpod-${ID}`, { containerId: ID, runtimeHint: "podman" }],
  ["nerdctl", `0::/system.slice/nerdctl-${ID}.scope`, { containerId: ID, runtimeHint: "containerd" }],
  ["ECS", `0::/ecs/9781c248-0edd-4cdb-9a93-f63cb662a5d3/${ID}`, { containerId: ID }],
  [
    "CRI-O's conmon in the pod",
    `0::/kubepods.slice/kubepods-pod${UID_}.slice/crio-conmon-${ID}.scope`,
    { podUid: UID, runtimeHint: "cri-o", qos: "guaranteed" },
  ],
  ["podman's conmon", `0::/machine.slice/libpod-conmon-${ID}.scope`, {}],
  ["CRI-O's conmon on the host", `0::/system.slice/crio-conmon-${ID}.scope`, {}],
  ["a host service", "0::/system.slice/ssh.service", {}],
  ["a user's session", "0::/user.slice/user-0.slice/session-3.scope", {}],
  ["the root", "0::/", {}],
  ["the kubelet itself", "0::/system.slice/kubelet.service", {}],
  ["an id that is too short", `0::/kubepods/pod${UID}/${ID.slice(1)}`, { podUid: UID, qos: "guaranteed" }],
  ["an id in capitals", `0::/docker/${ID.toUpperCase()}`, {}],
  [
    "a user who names a cgroup as a pod's",
    `0::/user.slice/user-1000.slice/user@1000.service/app.slice/kubepods-besteffort-pod${UID_}.slice/cri-containerd-${ID}.scope`,
    { containerId: ID, runtimeHint: "containerd", foreign: true },
  ],
  [
    "a user who builds the whole tree",
    `0::/user.slice/user-1000.slice/user@1000.service/kubepods.slice/kubepods-pod${UID_}.slice/cri-containerd-${ID}.scope`,
    { containerId: ID, runtimeHint: "containerd", foreign: true },
  ],
  [
    "a user who joins it into one name",
    `0::/user.slice/user-1000.slice/user@1000.service/kubepods-pod${UID_}.slice:cri-containerd:${ID}`,
    { containerId: ID, runtimeHint: "containerd", foreign: true },
  ],
  ["a user's pod without a container", `0::/user.slice/user-1000.slice/kubepods/pod${UID}`, {}],
  [
    "a service with a part of the tree of its own",
    `0::/system.slice/ci-runner.service/kubepods/pod${UID}/${ID}`,
    { containerId: ID, podUid: UID, qos: "guaranteed", foreign: true },
  ],
  [
    "a docker container with a writable cgroup",
    `0::/system.slice/docker-${OTHER}.scope/kubepods/pod${UID}/${ID}`,
    { containerId: ID, podUid: UID, qos: "guaranteed", foreign: true, containerIds: [OTHER, ID] },
  ],
  [
    "a system container",
    `0::/lxc.payload.web/kubepods/pod${UID}/${ID}`,
    { containerId: ID, podUid: UID, qos: "guaranteed", foreign: true },
  ],
  [
    "a machine of systemd-nspawn",
    `0::/machine.slice/machine-web.scope/payload/kubepods/pod${UID}/${ID}`,
    { containerId: ID, podUid: UID, qos: "guaranteed", foreign: true },
  ],
  ["a pod's name outside of the pods", `0::/build/pod${UID}/${ID}`, { containerId: ID }],
  [
    "k3s in its own service",
    `0::/system.slice/k3s.service/kubepods/besteffort/pod${UID}/${ID}`,
    { containerId: ID, podUid: UID, qos: "besteffort" },
  ],
  ["a pod uid that is none", `0::/kubepods/pod../../etc/${ID}`, { containerId: ID }],
];

describe("parseCgroup", () => {
  it.each(CASES)("%s", (_name, text, expected) => {
    const { raw, ...identity } = parseCgroup(text);
    expect(raw).toBe(text);
    const ids = expected.containerIds ?? (expected.containerId === undefined ? [] : [expected.containerId]);
    expect(identity).toEqual({ ...expected, containerIds: ids });
  });

  it("gives no id when hierarchies contradict each other", () => {
    const identity = parseCgroup(`2:cpu:/docker/${ID}\n3:memory:/docker/${OTHER}\n`);
    expect(identity).toMatchObject({ ambiguous: true, containerIds: [ID, OTHER] });
    expect(identity).not.toHaveProperty("containerId");
    expect(parseCgroup(`2:cpu:/kubepods/pod${UID}/${ID}\n3:memory:/kubepods/pod${STATIC}\n`)).not.toHaveProperty(
      "podUid",
    );
  });

  it("stays quick on a text made to be slow", () => {
    const started = performance.now();
    for (const text of [
      `0::${"/a-pod".repeat(200000)}`,
      `0::/${"-pod".repeat(200000)}`,
      `${"0::/docker/x\n".repeat(100000)}`,
      `0::/${"a-".repeat(30000)}`,
      ":".repeat(1e6),
    ])
      parseCgroup(text);
    expect(performance.now() - started).toBeLessThan(1000);
  });
});

describe("ids", () => {
  it("are what they must be before they touch a path", () => {
    expect(isContainerId(ID)).toBe(true);
    expect(isPodUid(UID)).toBe(true);
    expect(isPodUid(STATIC)).toBe(true);
    for (const bad of ["", "..", `${ID}\n`, `${ID}0`, ID.toUpperCase(), "../".repeat(21) + "a"])
      expect(isContainerId(bad)).toBe(false);
    for (const bad of ["", UID_, `${UID}\n`, `${UID}/..`, UID.toUpperCase()]) expect(isPodUid(bad)).toBe(false);
  });
});
