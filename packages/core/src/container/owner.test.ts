import { expect, it } from "vitest";
import { ownerOf } from "./owner.ts";

it.each([
  ["web-6d4b75cb6d-hx2kq", { "pod-template-hash": "6d4b75cb6d" }, { kind: "Deployment", name: "web" }],
  [
    "web-0",
    { "statefulset.kubernetes.io/pod-name": "web-0", "controller-revision-hash": "web-1" },
    { kind: "StatefulSet", name: "web" },
  ],
  [
    "fluentd-x7z2k",
    { "controller-revision-hash": "5b9", "pod-template-generation": "1" },
    { kind: "DaemonSet", name: "fluentd" },
  ],
  ["import-8fj2k", { "job-name": "import" }, { kind: "Job", name: "import" }],
  ["backup-28391040-abcde", { "batch.kubernetes.io/job-name": "backup-28391040" }, { kind: "CronJob", name: "backup" }],
  ["plain", { app: "plain" }, undefined],
  ["web-x", { "pod-template-hash": ".*" }, undefined],
])("%s belongs to its workload", (name, labels: Record<string, string>, expected) => {
  expect(ownerOf(name, labels)).toEqual(expected);
});

it("knows a static pod", () => {
  expect(ownerOf("etcd-node1", {}, { "kubernetes.io/config.source": "file" })).toEqual({
    kind: "Node",
    name: "etcd-node1",
  });
  expect(ownerOf("web", {}, { "kubernetes.io/config.source": "api" })).toBeUndefined();
});
