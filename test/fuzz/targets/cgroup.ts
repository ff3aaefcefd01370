import * as fc from "fast-check";
import { isContainerId, isPodUid, parseCgroup } from "@cdh/core/kernel/cgroup";
import { parseCorePattern } from "@cdh/core/kernel/pattern";
import { around, hostileText } from "../grammar/text.ts";
import { defineTarget, must } from "../target.ts";

const POD = "3b0a5d2e-8f4c-4f3b-9a57-0c6a1f6e2d11";
const ID = "0123456789abcdef".repeat(4);

/** Where kubelets put a pod's container: systemd's and cgroupfs's driver, each class of service, each runtime. */
const places = fc
  .record({
    qos: fc.constantFrom("", "burstable", "besteffort"),
    runtime: fc.constantFrom("cri-containerd", "crio", "docker"),
    systemd: fc.boolean(),
    above: fc.constantFrom("", "/kubelet.slice/kubelet-", "/kubelet/"),
  })
  .map(({ qos, runtime, systemd, above }) => {
    if (!systemd)
      return `${above === "/kubelet/" ? "/kubelet" : ""}/kubepods${qos === "" ? "" : `/${qos}`}/pod${POD}/${ID}`;
    const class_ = qos === "" ? "" : `-${qos}`;
    const slice = `kubepods${class_}-pod${POD.replaceAll("-", "_")}.slice`;
    return above === "/kubelet.slice/kubelet-"
      ? `/kubelet.slice/kubelet-kubepods.slice${qos === "" ? "" : `/kubelet-kubepods${class_}.slice`}/kubelet-${slice}/${runtime}-${ID}.scope`
      : `/kubepods.slice${qos === "" ? "" : `/kubepods${class_}.slice`}/${slice}/${runtime}-${ID}.scope`;
  });

/** What somebody without rights over the kubelet's tree may name a cgroup of their own. */
const others = fc.constantFrom(
  "/user.slice/user-1000.slice/user@1000.service/app.slice",
  "/system.slice/web.service",
  "/machine.slice/machine-qemu.scope",
);

const PIECES = [
  "/",
  "kubepods",
  "kubepods.slice",
  "besteffort",
  "pod",
  "-pod",
  ".slice",
  ".scope",
  ":",
  "cri-containerd-",
  "crio-conmon-",
  "docker",
  " (deleted)",
  POD,
  ID,
  "f".repeat(64),
  "\n0::/",
  "\r",
  "\u2028",
];

/** Cgroup texts: the kubelet's are read, others' name no pod, and whatever comes gives only valid ids. */
export const cgroupTarget = defineTarget({
  name: "cgroup",
  what: "/proc/<pid>/cgroup: the kubelet's trees, imitations of them, and noise",
  recipes: fc.oneof(
    fc.record({ kind: fc.constant("kubelet" as const), path: places, v1: fc.boolean() }),
    fc.record({
      kind: fc.constant("foreign" as const),
      path: fc.tuple(others, places).map((parts) => parts.join("")),
      v1: fc.boolean(),
    }),
    fc.record({
      kind: fc.constant("noise" as const),
      path: fc
        .tuple(
          fc.array(fc.oneof(fc.constantFrom(...PIECES), hostileText), { maxLength: 14 }),
          around(1, 128, 256, 3000),
        )
        .map(([pieces, times]) => `/${pieces.join("").repeat(times)}`),
      v1: fc.boolean(),
    }),
  ),
  build: ({ kind, path, v1 }) => ({
    kind,
    text: v1 ? `12:pids:${path}\n1:name=systemd:${path}\n0::/\n` : `0::${path}\n`,
  }),
  bytesOf: ({ text }) => Buffer.from(text),
  run: ({ kind, text }) => {
    const { containerId, podUid, containerIds, foreign, raw } = parseCgroup(text);
    if (kind === "kubelet")
      must(containerId === ID && podUid === POD && foreign === undefined, `read as ${podUid}, ${containerId}`);
    if (kind === "foreign") must(podUid === undefined || foreign === true, `an imitation names pod ${podUid}`);
    must(containerId === undefined || isContainerId(containerId), `container ${containerId}`);
    must(podUid === undefined || isPodUid(podUid), `pod ${podUid}`);
    must(containerIds.length <= 4096 && raw.length <= text.length, "more comes out than went in");
    parseCorePattern(text);
  },
});
