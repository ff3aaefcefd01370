import { readFile, rm } from "node:fs/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FakeNode, readRecorded } from "../testing/fake-node.ts";
import { Crictl } from "./crictl.ts";
import { enrich, readPodLabels } from "./enrich.ts";
import type { Identity } from "./identify.ts";

const UID = "3b0a5d2e-8f4c-4f3b-9a57-0c6a1f6e2d11";
const FOLDER = `/var/log/pods/shop_web-0_${UID}`;
let node: FakeNode;
let ids: { podA: string; serverA: string; sidecarA: string };
let identity: Identity;
let crictl: Crictl;

beforeEach(async () => {
  node = await FakeNode.create();
  ids = JSON.parse(await readRecorded("containerd-1.6/ids.json")) as typeof ids;
  identity = {
    source: "oci-config",
    verified: true,
    place: "container",
    container: { id: ids.serverA, name: "server", runtime: "containerd", imageRef: "cdh.test/crasher:1.2" },
    pod: { name: "web-0", namespace: "shop", uid: UID, sandboxId: ids.podA },
    problems: [],
  };
  for (const name of ["pods", "inspectp", "ps", "inspect", "images"])
    await node.write(`/answers/${name}.json`, await readRecorded(`containerd-1.6/${name}.json`));
  await node.program(
    "/bin/crictl",
    `echo a warning >&2; echo "$1" >>${node.path("/asked")}; cat ${node.path("/answers")}/"$1".json`,
  );
  crictl = new Crictl(node.path("/bin/crictl"), [], { PATH: "/bin:/usr/bin" });
  await node.write(`${FOLDER}/server/2.log`, await readRecorded("containerd-1.6/server-2.log"));
  await node.write(`${FOLDER}/sidecar/0.log`, "2026-11-21T09:01:03.4Z stdout F from the sidecar\n");
});

afterEach(async () => {
  await node[Symbol.asyncDispose]();
});

describe("enrich", () => {
  it("gathers IBM's entries, logs from the files, and completes the identity", async () => {
    const found = await enrich({ roots: node.roots, identity, crictl, logLines: 3 });
    expect(found.problems).toEqual([]);
    expect(found.podInfo?.["id"]).toBe(ids.podA);
    expect(found.runtimeInfo).toMatchObject({ status: { id: ids.podA } });
    expect(found.psInfo).toMatchObject({ containers: [{ id: ids.sidecarA }, { id: ids.serverA }] });
    expect(
      found.containers.map(({ id, name, crashed, log }) => ({
        id,
        name,
        crashed,
        log: Buffer.from(log ?? []).toString(),
      })),
    ).toEqual([
      { id: ids.sidecarA, name: "sidecar", crashed: false, log: "from the sidecar\n" },
      { id: ids.serverA, name: "server", crashed: true, log: "err 3\nout 4\nerr 4\n" },
    ]);
    expect(found.containers[1]?.imageInfo?.["repoTags"]).toEqual(["cdh.test/crasher:1.2"]);
    expect(found.container).toMatchObject({
      id: ids.serverA,
      imageRef: "cdh.test/crasher:1.2",
      restartCount: 2,
      imageId: expect.stringMatching(/^sha256:/) as string,
    });
    expect(found.pod).toMatchObject({
      name: "web-0",
      namespace: "shop",
      labels: { app: "web" },
      owner: { kind: "StatefulSet", name: "web" },
    });
    expect(found.podLabels["info.coredump.owner"]).toBe("team-a");
    expect(found.repoDigests).toEqual(["", ""]);
  });

  it("reads the crashed container's log without any crictl, and counts its restarts", async () => {
    const found = await enrich({ roots: node.roots, identity, logLines: 500 });
    expect(found).toMatchObject({ problems: [], container: { restartCount: 2 }, podLabels: {}, repoDigests: [""] });
    expect(found.containers).toHaveLength(1);
    expect(Buffer.from(found.containers[0]?.log ?? []).toString()).toMatch(/^out 0\n/);
    expect(found).not.toHaveProperty("podInfo");
  });

  it("takes the runtime's word for where a log is, where the kubelet keeps it elsewhere", async () => {
    const elsewhere: Identity = { ...identity, pod: { ...identity.pod, namespace: "other" } };
    const found = await enrich({ roots: node.roots, identity: elsewhere, crictl, logLines: 1 });
    expect(found.containers.map(({ log }) => Buffer.from(log ?? []).toString())).toContain("err 4\n");
  });

  it("asks crictl for a log only where there is no file", async () => {
    await rm(node.path(FOLDER), { recursive: true });
    await node.program(
      "/bin/crictl",
      `case "$1" in logs) echo "asked for $3";; *) cat ${node.path("/answers")}/"$1".json;; esac`,
    );
    const found = await enrich({ roots: node.roots, identity, crictl, logLines: 5 });
    expect(found.containers.map(({ log }) => Buffer.from(log ?? []).toString())).toEqual([
      `asked for ${ids.sidecarA}\n`,
      `asked for ${ids.serverA}\n`,
    ]);
    expect(found.problems).toEqual([
      expect.objectContaining({ step: "logs", code: "CDH_NOT_FOUND" }),
      expect.objectContaining({ step: "logs", code: "CDH_NOT_FOUND" }),
    ]);
  });

  it("finds the sandbox by the pod's uid where only the kubelet was asked", async () => {
    const byKubelet: Identity = { ...identity, source: "kubelet", pod: { name: "web-0", namespace: "shop", uid: UID } };
    expect((await enrich({ roots: node.roots, identity: byKubelet, crictl, logLines: 1 })).pod?.sandboxId).toBe(
      ids.podA,
    );
    const other: Identity = {
      ...byKubelet,
      pod: { name: "web-0", namespace: "shop", uid: "00000000-0000-4000-8000-000000000000" },
    };
    const found = await enrich({ roots: node.roots, identity: other, crictl, logLines: 1 });
    expect(found.pod).not.toHaveProperty("sandboxId");
    expect(found).not.toHaveProperty("psInfo");
  });

  it("keeps what was learnt when crictl fails half-way, and says what is missing", async () => {
    await node.program(
      "/bin/crictl",
      `case "$1" in ps) exit 1;; images) echo nonsense;; *) cat ${node.path("/answers")}/"$1".json;; esac`,
    );
    const found = await enrich({ roots: node.roots, identity, crictl, logLines: 1 });
    expect(found.problems.map(({ code }) => code).sort()).toEqual(["CDH_CRICTL_ANSWER", "CDH_CRICTL_FAILED"]);
    expect(found.containers).toMatchObject([{ id: ids.serverA, name: "server", crashed: true }]);
    expect(found.podInfo?.["id"]).toBe(ids.podA);
  });

  it("ends at the deadline when crictl hangs, and still has the log", async () => {
    await node.program("/bin/crictl", "sleep 60");
    const started = performance.now();
    const found = await enrich({ roots: node.roots, identity, crictl, logLines: 1, signal: AbortSignal.timeout(300) });
    expect(performance.now() - started).toBeLessThan(3000);
    expect(found.containers.map(({ log }) => Buffer.from(log ?? []).toString())).toEqual(["err 4\n"]);
    expect(found.problems.some(({ code }) => code === "CDH_CRICTL_TIMEOUT")).toBe(true);
  });

  it("adds nothing about a host's own process", async () => {
    const host: Identity = { source: "none", verified: true, place: "host", problems: [] };
    expect(await enrich({ roots: node.roots, identity: host, crictl, logLines: 5 })).toEqual({
      containers: [],
      podLabels: {},
      repoDigests: [],
      problems: [],
    });
  });
});

describe("enrich on a node with CRI-O", () => {
  it("reads its shapes: images by digest, times with an offset, null for text", async () => {
    const crio = JSON.parse(await readRecorded("crio-shapes/ids.json")) as {
      sandbox: string;
      container: string;
      podUid: string;
    };
    for (const name of ["pods", "inspectp", "ps", "inspect", "images"]) {
      await node.write(`/answers/${name}.json`, await readRecorded(`crio-shapes/${name}.json`));
    }
    const known: Identity = {
      source: "kubelet",
      verified: true,
      place: "container",
      container: { id: crio.container, runtime: "cri-o" },
      pod: { name: "ledger-6d4b75cb6d-hx2kq", namespace: "payments", uid: crio.podUid },
      problems: [],
    };
    await node.write(
      `/var/log/pods/payments_ledger-6d4b75cb6d-hx2kq_${crio.podUid}/ledger/3.log`,
      "2026-11-21T09:01:03.4Z stdout F x\n",
    );
    const found = await enrich({ roots: node.roots, identity: known, crictl, logLines: 5 });
    expect(found.problems).toEqual([]);
    expect(found.pod).toMatchObject({
      sandboxId: crio.sandbox,
      labels: { app: "ledger" },
      owner: { kind: "Deployment", name: "ledger" },
    });
    expect(found.container).toEqual({
      id: crio.container,
      name: "ledger",
      runtime: "cri-o",
      imageRef: "quay.io/example/ledger:1.4",
      imageId: `quay.io/example/ledger@sha256:${"5e".repeat(32)}`,
      restartCount: 3,
    });
    expect(found.containers[0]?.imageInfo?.["repoTags"]).toEqual(["quay.io/example/ledger:1.4"]);
    expect(found.repoDigests).toEqual([`quay.io/example/ledger@sha256:${"5e".repeat(32)}`]);
    expect(Buffer.from(found.containers[0]?.log ?? []).toString()).toBe("x\n");
  });
});

describe("enrich with what a real runtime answered", () => {
  it.each([
    ["cri-o-1.34", "cri-o"],
    ["docker-20.10", "docker"],
  ] as const)("%s", async (folder, runtime) => {
    const real = JSON.parse(await readRecorded(`${folder}/ids.json`)) as Record<"podA" | "serverA" | "uidA", string>;
    for (const name of ["pods", "inspectp", "ps", "inspect", "images"])
      await node.write(`/answers/${name}.json`, await readRecorded(`${folder}/${name}.json`));
    await node.write(
      `/var/log/pods/shop_web-0_${real.uidA}/server/2.log`,
      await readRecorded(`${folder}/server-2.log`),
    );
    const known: Identity = {
      source: "kubelet",
      verified: true,
      place: "container",
      container: { id: real.serverA, runtime },
      pod: { name: "web-0", namespace: "shop", uid: real.uidA },
      problems: [],
    };
    const found = await enrich({ roots: node.roots, identity: known, crictl, logLines: 5 });
    expect(found.pod).toEqual({
      name: "web-0",
      namespace: "shop",
      uid: real.uidA,
      sandboxId: real.podA,
      labels: { app: "web", "info.coredump.owner": "team-a", "statefulset.kubernetes.io/pod-name": "web-0" },
      owner: { kind: "StatefulSet", name: "web" },
    });
    expect(found.container).toMatchObject({
      id: real.serverA,
      name: "server",
      runtime,
      imageRef: "cdh.test/crasher:1.2",
      imageId: expect.stringMatching(/^(?:cdh\.test\/crasher@)?sha256:[0-9a-f]{64}$/) as string,
      restartCount: 2,
    });
    const server = found.containers.find(({ crashed }) => crashed);
    expect(server?.imageInfo?.["repoTags"]).toEqual(["cdh.test/crasher:1.2"]);
    expect(Buffer.from(server?.log ?? []).toString()).toBe("first line of 1\nlast line of 1\n");
  });
});

describe("readPodLabels", () => {
  it("asks once, and enrich does not ask again", async () => {
    expect(await readPodLabels({ identity, crictl })).toMatchObject({ value: { app: "web" } });
    await enrich({ roots: node.roots, identity, crictl, logLines: 1 });
    const asked = (await readFile(node.path("/asked"), "utf8")).split("\n").filter((word) => word === "inspectp");
    expect(asked).toHaveLength(1);
  });

  it("is a miss when the pod is not known, or crictl fails", async () => {
    expect(await readPodLabels({ identity: { ...identity, pod: {} }, crictl })).toMatchObject({
      missing: "CDH_NO_IDENTITY",
    });
    await node.program("/bin/crictl", "exit 1");
    expect(await readPodLabels({ identity, crictl })).toMatchObject({ missing: "CDH_CRICTL_FAILED" });
  });
});
