import * as fc from "fast-check";
import { tryParseObject } from "@cdh/core/container/json";
import {
  isNamespaceName,
  isObjectName,
  tryParseDockerConfig,
  tryParseOciConfig,
} from "@cdh/core/container/runtime-record";
import { isContainerId, isPodUid } from "@cdh/core/kernel/cgroup";
import { readContainer, readPod } from "../../../packages/core/src/container/crictl-facts.ts";
import { changedJson, writeChangedJson } from "../grammar/json.ts";
import { defineTarget, must } from "../target.ts";

const POD = "3b0a5d2e-8f4c-4f3b-9a57-0c6a1f6e2d11";
const ID = "a".repeat(64);
const LABELS = {
  "io.kubernetes.pod.name": "web-0",
  "io.kubernetes.pod.namespace": "shop",
  "io.kubernetes.pod.uid": POD,
  "io.kubernetes.container.name": "app",
};

const documents = {
  containerd: {
    ociVersion: "1.1.0",
    annotations: {
      "io.kubernetes.cri.container-type": "container",
      "io.kubernetes.cri.sandbox-name": "web-0",
      "io.kubernetes.cri.sandbox-namespace": "shop",
      "io.kubernetes.cri.sandbox-uid": POD,
      "io.kubernetes.cri.sandbox-id": ID,
      "io.kubernetes.cri.image-name": "registry.example/web:1",
    },
  },
  crio: {
    annotations: {
      "io.kubernetes.cri-o.ContainerType": "container",
      "io.kubernetes.cri-o.Labels": JSON.stringify(LABELS),
      "io.kubernetes.cri-o.SandboxID": ID,
      "io.kubernetes.cri-o.LogPath": `/var/log/pods/shop_web-0_${POD}/app/0.log`,
    },
  },
  docker: {
    ID,
    Name: "/k8s_app",
    Image: `sha256:${ID}`,
    LogPath: "/var/lib/docker/x.log",
    Config: { Image: "web:1", Labels: { ...LABELS, "io.kubernetes.sandbox.id": ID } },
  },
  crictl: {
    status: {
      id: ID,
      metadata: { name: "app", namespace: "shop", uid: POD, attempt: 1 },
      state: "RUNNING",
      createdAt: "2026-11-21T08:26:11Z",
      labels: LABELS,
      annotations: {},
      image: { image: "web:1" },
      imageRef: "sha256:x",
      logPath: "/var/log/pods/x/app/0.log",
    },
    info: { sandboxID: ID },
  },
};
type Kind = keyof typeof documents;

/** The dotted keys of annotations are one key, so they are written with `annotations` and the like replaced whole, too. */
const PATHS: Record<Kind, string[]> = {
  containerd: ["annotations", "ociVersion", "process", "__proto__"],
  crio: ["annotations", "ociVersion"],
  docker: ["ID", "Name", "Image", "LogPath", "Config", "Config.Image", "Config.Labels"],
  crictl: [
    "status",
    "status.id",
    "status.metadata",
    "status.metadata.name",
    "status.metadata.namespace",
    "status.metadata.attempt",
    "status.labels",
    "status.annotations",
    "status.createdAt",
    "status.image",
    "status.imageRef",
    "status.logPath",
    "info",
    "info.sandboxID",
  ],
};

/** What runtimes say about containers: whatever it is, only names and ids that are some come out. */
export const recordsTarget = defineTarget({
  name: "records",
  what: "records of containerd, CRI-O and docker, answers of crictl",
  recipes: fc
    .constantFrom(...(Object.keys(documents) as Kind[]))
    .chain((kind) => fc.record({ kind: fc.constant(kind), json: changedJson(PATHS[kind]) })),
  build: ({ kind, json }) => ({ kind, text: writeChangedJson(documents[kind], json) }),
  bytesOf: ({ text }) => Buffer.from(text),
  run: ({ kind, text }) => {
    const object = tryParseObject(text);
    if (object === undefined) return;
    if (kind === "crictl") {
      const pod = readPod(object);
      const container = readContainer(object);
      for (const facts of [pod, container.pod]) checkPod(facts.name, facts.namespace, facts.uid);
      must(container.id === undefined || isContainerId(container.id), `container ${container.id}`);
      must(container.name === undefined || isObjectName(container.name), `container ${container.name}`);
      return;
    }
    const record = kind === "docker" ? tryParseDockerConfig(object) : tryParseOciConfig(object);
    if (record === undefined) return;
    checkPod(record.podName, record.podNamespace, record.podUid);
    must(record.sandboxId === undefined || isContainerId(record.sandboxId), `sandbox ${record.sandboxId}`);
    for (const path of [record.logPath, record.logDirectory])
      must(path === undefined || (path.startsWith("/") && !path.split("/").includes("..")), `path ${path}`);
  },
});

function checkPod(name: string | undefined, namespace: string | undefined, uid: string | undefined): void {
  must(name === undefined || isObjectName(name), `pod ${name}`);
  must(namespace === undefined || isNamespaceName(namespace), `namespace ${namespace}`);
  must(uid === undefined || isPodUid(uid), `pod uid ${uid}`);
}
