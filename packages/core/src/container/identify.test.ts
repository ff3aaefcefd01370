import { symlink, mkdir } from "node:fs/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FakeNode, makeCrash, readRecorded } from "../testing/fake-node.ts";
import { Crictl } from "./crictl.ts";
import { identify, type Identity } from "./identify.ts";
import type { ProcessSnapshot } from "./process.ts";

const UID_A = "3b0a5d2e-8f4c-4f3b-9a57-0c6a1f6e2d11";
let node: FakeNode;
let ids: { podA: string; podB: string; serverA: string; sidecarA: string; serverB: string };

beforeEach(async () => {
  node = await FakeNode.create();
  ids = JSON.parse(await readRecorded("containerd-1.6/ids.json")) as typeof ids;
});

afterEach(async () => {
  await node[Symbol.asyncDispose]();
});

function inCgroup(cgroup: string): ProcessSnapshot {
  return { state: "verified", files: [], cgroup, problems: [] };
}

function inPod(containerId = ids.serverA, podUid = UID_A): ProcessSnapshot {
  return inCgroup(`0::/kubepods/besteffort/pod${podUid}/${containerId}\n`);
}

async function crictl(body: string): Promise<Crictl> {
  await node.program("/bin/crictl", body);
  return new Crictl(node.path("/bin/crictl"), [], { PATH: "/bin:/usr/bin" });
}

/** A crictl that answers with a recorded file. */
async function crictlAnswering(name: string): Promise<Crictl> {
  await node.write("/answer.json", await readRecorded(name));
  return await crictl(`cat ${node.path("/answer.json")}`);
}

async function find(process: ProcessSnapshot, more: { crictl?: Crictl; hostname?: string } = {}): Promise<Identity> {
  const crash = makeCrash({ pid: 1, hostname: more.hostname ?? "web-0" });
  return await identify({
    roots: node.roots,
    crash,
    process,
    ...(more.crictl === undefined ? {} : { crictl: more.crictl }),
  });
}

describe("by the runtime's record", () => {
  const record = (state: string): string => `${state}/io.containerd.runtime.v2.task/k8s.io/${ids.serverA}/config.json`;

  it.each([
    "/run/containerd",
    "/run/k3s/containerd",
    "/var/snap/microk8s/common/run/containerd",
    "/run/k0s/containerd",
  ])("of containerd in %s", async (state) => {
    await node.write(record(state), await readRecorded("containerd-1.6/config-server.json"));
    expect(await find(inPod())).toEqual({
      source: "oci-config",
      verified: true,
      place: "container",
      container: { id: ids.serverA, name: "server", runtime: "containerd", imageRef: "cdh.test/crasher:1.2" },
      pod: { name: "web-0", namespace: "shop", uid: UID_A, sandboxId: ids.podA },
      problems: [],
    });
  });

  it.each([
    "/run/containers/storage/overlay-containers",
    "/var/lib/containers/storage/overlay-containers",
    "/var/data/crioruntimestorage/overlay-containers",
  ])("of CRI-O in %s", async (store) => {
    const annotations = {
      "io.kubernetes.cri-o.ContainerType": "container",
      "io.kubernetes.container.name": "server",
      "io.kubernetes.pod.name": "web-0",
      "io.kubernetes.pod.namespace": "shop",
      "io.kubernetes.pod.uid": UID_A,
      "io.kubernetes.cri-o.LogPath": `/var/log/pods/shop_web-0_${UID_A}/server/0.log`,
    };
    await node.write(`${store}/${ids.serverA}/userdata/config.json`, JSON.stringify({ annotations }));
    expect(await find(inPod())).toMatchObject({
      source: "oci-config",
      pod: { name: "web-0" },
      logPath: `/var/log/pods/shop_web-0_${UID_A}/server/0.log`,
    });
  });

  it("of docker, where a container outside Kubernetes has an image and no pod", async () => {
    await node.write(
      `/var/lib/docker/containers/${ids.serverA}/config.v2.json`,
      JSON.stringify({ ID: ids.serverA, Name: "/x", Config: { Image: "nginx" } }),
    );
    expect(await find(inCgroup(`0::/system.slice/docker-${ids.serverA}.scope`))).toMatchObject({
      source: "none",
      verified: false,
      place: "container",
      container: { id: ids.serverA, name: "x", runtime: "docker", imageRef: "nginx" },
    });
  });

  it("of the pause container", async () => {
    await node.write(record("/run/containerd"), await readRecorded("containerd-1.6/config-sandbox.json"));
    expect(await find(inPod())).toMatchObject({ source: "oci-config", sandbox: true, pod: { name: "web-0" } });
  });

  it("is not believed when it names another pod than the cgroup", async () => {
    await node.write(record("/run/containerd"), await readRecorded("containerd-1.6/config-server.json"));
    const other = "00000000-0000-4000-8000-000000000000";
    const identity = await find(inPod(ids.serverA, other));
    expect(identity).toMatchObject({ source: "none", verified: false, pod: { uid: other } });
    expect(identity.problems).toContainEqual(expect.objectContaining({ code: "CDH_IDENTITY_CONTRADICTED" }));
  });

  it("that is damaged, huge, a link or a FIFO is passed over", async () => {
    const path = record("/run/containerd");
    for (const content of ["{", "[]", "null", '{"annotations": {}}', " ".repeat(5 * 1024 * 1024)]) {
      await node.write(path, content);
      expect((await find(inPod())).source).toBe("none");
    }
    await node.write("/secret.json", await readRecorded("containerd-1.6/config-server.json"));
    const k3s = node.path(record("/run/k3s/containerd"));
    await mkdir(k3s.replace(/\/config\.json$/, ""), { recursive: true });
    await symlink(node.path("/secret.json"), k3s);
    expect((await find(inPod())).source).toBe("none");
  });
});

describe("by the kubelet's folders", () => {
  it("names pod and namespace by uid, and the container by the link to its log", async () => {
    await node.write(`/var/log/pods/shop_web-0_${UID_A}/server/2.log`, "");
    await node.write("/var/log/pods/bank_web-0_7c1d2e3f-0a1b-4c2d-8e3f-5a6b7c8d9e0f/server/0.log", "");
    await mkdir(node.path("/var/log/containers"));
    await symlink(
      `/var/log/pods/shop_web-0_${UID_A}/server/2.log`,
      node.path(`/var/log/containers/web-0_shop_server-${ids.serverA}.log`),
    );
    const identity = await find(inPod());
    expect(identity).toMatchObject({
      source: "kubelet",
      verified: true,
      container: { id: ids.serverA, name: "server" },
      pod: { name: "web-0", namespace: "shop", uid: UID_A },
      logDirectory: `/var/log/pods/shop_web-0_${UID_A}`,
    });
    expect(identity.problems).toEqual([expect.objectContaining({ step: "oci-config", code: "CDH_NOT_FOUND" })]);
  });

  it("takes no name that is none", async () => {
    for (const folder of [`Shop_web-0_${UID_A}`, `shop_web_0_${UID_A}`, `_web_${UID_A}`, `shop_${UID_A}`])
      await node.write(`/var/log/pods/${folder}/x`, "");
    expect((await find(inPod())).source).toBe("none");
  });
});

describe("by crictl", () => {
  it("asks by id and takes what it says", async () => {
    const identity = await find(inPod(), { crictl: await crictlAnswering("containerd-1.6/inspect.json") });
    expect(identity).toMatchObject({
      source: "crictl",
      verified: true,
      container: { id: ids.serverA, name: "server", restartCount: 2 },
      pod: { name: "web-0", namespace: "shop", uid: UID_A, sandboxId: ids.podA },
      logPath: `/var/log/pods/shop_web-0_${UID_A}/server/2.log`,
    });
  });

  it("does not take an answer about another container or pod", async () => {
    const answering = await crictlAnswering("containerd-1.6/inspect.json");
    expect(await find(inPod(ids.serverB), { crictl: answering })).toMatchObject({
      source: "none",
      container: { id: ids.serverB },
    });
    const other = await find(inPod(ids.serverA, "00000000-0000-4000-8000-000000000000"), { crictl: answering });
    expect(other).toMatchObject({ source: "none", verified: false });
  });
});

describe("by host name, when there is no cgroup", () => {
  const gone: ProcessSnapshot = { state: "gone", files: [], problems: [] };

  it("takes the newest ready pod of exactly this name, unverified, and says that there are two", async () => {
    const identity = await find(gone, { crictl: await crictlAnswering("containerd-1.6/pods.json") });
    expect(identity).toMatchObject({
      source: "hostname",
      verified: false,
      place: "container",
      pod: { name: "web-0", namespace: "bank", sandboxId: ids.podB },
    });
    expect(identity.problems).toEqual([expect.objectContaining({ code: "CDH_HOSTNAME_SHARED" })]);
  });

  it("takes no pod whose name only resembles it, and none that is not ready", async () => {
    const answering = await crictlAnswering("containerd-1.6/pods.json");
    expect((await find(gone, { crictl: answering, hostname: "web" })).source).toBe("none");
    await node.write(
      "/answer.json",
      (await readRecorded("containerd-1.6/pods.json")).replaceAll("SANDBOX_READY", "SANDBOX_NOTREADY"),
    );
    expect((await find(gone, { crictl: await crictl(`cat ${node.path("/answer.json")}`) })).source).toBe("none");
  });

  it("is not tried when the cgroup says that it was the host's own process", async () => {
    const identity = await find(inCgroup("0::/system.slice/ssh.service\n"), {
      crictl: await crictlAnswering("containerd-1.6/pods.json"),
    });
    expect(identity).toEqual({ source: "none", verified: true, place: "host", problems: [] });
  });
});

describe("in doubt", () => {
  it("attributes the crash to nobody", async () => {
    await node.write(
      `/run/containerd/io.containerd.runtime.v2.task/k8s.io/${ids.serverA}/config.json`,
      await readRecorded("containerd-1.6/config-server.json"),
    );
    const answering = await crictlAnswering("containerd-1.6/pods.json");
    expect(await find({ ...inPod(), state: "doubtful" }, { crictl: answering })).toMatchObject({
      source: "none",
      verified: false,
      place: "unknown",
    });
    const torn = await find(inCgroup(`2:cpu:/docker/${ids.serverA}\n3:memory:/docker/${ids.serverB}\n`), {
      crictl: answering,
    });
    expect(torn).toMatchObject({ source: "none", problems: [{ code: "CDH_CGROUP_AMBIGUOUS" }] });
    expect(torn).not.toHaveProperty("container");
  });

  it.each([
    ["user.slice/user-1000.slice/user@1000.service/app.slice", false],
    ["system.slice/docker-ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100.scope", true],
  ])("looks up no id that stands below /%s, where others make cgroups by any name", async (place, hasUid) => {
    await node.write(
      `/run/containerd/io.containerd.runtime.v2.task/k8s.io/${ids.serverA}/config.json`,
      await readRecorded("containerd-1.6/config-server.json"),
    );
    const text = `0::/${place}/kubepods-besteffort-pod${UID_A.replaceAll("-", "_")}.slice/cri-containerd-${ids.serverA}.scope\n`;
    const identity = await find(inCgroup(text), { crictl: await crictlAnswering("containerd-1.6/pods.json") });
    expect(identity).toMatchObject({
      source: "none",
      verified: false,
      place: "container",
      container: { id: ids.serverA },
      problems: [{ code: "CDH_CGROUP_FOREIGN" }],
    });
    expect(identity.pod).toEqual(hasUid ? { uid: UID_A } : undefined);
  });

  it("ends at the deadline with what the cgroup said", async () => {
    const hanging = await crictl("sleep 60");
    const started = performance.now();
    const crash = makeCrash({ pid: 1 });
    const identity = await identify({
      roots: node.roots,
      crash,
      process: inPod(),
      crictl: hanging,
      signal: AbortSignal.timeout(200),
    });
    expect(performance.now() - started).toBeLessThan(2000);
    expect(identity).toMatchObject({
      source: "none",
      place: "container",
      container: { id: ids.serverA },
      pod: { uid: UID_A },
    });
    expect(identity.problems).toContainEqual(expect.objectContaining({ step: "crictl", code: "CDH_CRICTL_TIMEOUT" }));
  });
});
