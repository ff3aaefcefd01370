import { describe, expect, it } from "vitest";
import type { JsonObject } from "../base/records.ts";
import { parseCgroup } from "../kernel/cgroup.ts";
import { readRecorded } from "../testing/fake-node.ts";
import { tryParseDockerConfig, tryParseOciConfig } from "./runtime-record.ts";

const ID = "a".repeat(64);
const UID = "aaaa2b4a-f398-41c0-928b-049e1cc4ec40";

async function recorded(name: string): Promise<JsonObject> {
  return JSON.parse(await readRecorded(name)) as JsonObject;
}

describe("containerd's config.json, as recorded", () => {
  it("names pod, namespace, container, image and sandbox", async () => {
    const { podA } = (await recorded("containerd-1.6/ids.json")) as { podA: string };
    expect(tryParseOciConfig(await recorded("containerd-1.6/config-server.json"))).toEqual({
      runtime: "containerd",
      sandbox: false,
      containerName: "server",
      podName: "web-0",
      podNamespace: "shop",
      podUid: "3b0a5d2e-8f4c-4f3b-9a57-0c6a1f6e2d11",
      sandboxId: podA,
      imageRef: "cdh.test/crasher:1.2",
    });
  });

  it("tells the pause container", async () => {
    expect(tryParseOciConfig(await recorded("containerd-1.6/config-sandbox.json"))).toMatchObject({
      sandbox: true,
      podName: "web-0",
      logDirectory: "/var/log/pods/shop_web-0_3b0a5d2e-8f4c-4f3b-9a57-0c6a1f6e2d11",
    });
  });
});

interface RecordedIds {
  podA: string;
  serverA: string;
  uidA: string;
}

async function recordedIds(folder: string): Promise<RecordedIds> {
  return (await recorded(`${folder}/ids.json`)) as unknown as RecordedIds;
}

describe("a cgroup, as recorded", () => {
  it.each([
    ["cri-o-1.34", "cri-o"],
    ["cri-o-1.34-systemd", "cri-o"],
    ["docker-20.10", undefined],
  ])("of %s names container and pod", async (folder, runtimeHint) => {
    const { serverA, uidA } = await recordedIds(folder);
    const found = parseCgroup(await readRecorded(`${folder}/cgroup.txt`));
    expect(found).toMatchObject({ containerId: serverA, podUid: uidA, qos: "besteffort" });
    expect(found.runtimeHint).toBe(runtimeHint);
  });
});

describe("CRI-O's config.json, as recorded", () => {
  it("names everything, though the kubelet asked for the image by its id", async () => {
    const { podA, uidA } = await recordedIds("cri-o-1.34");
    expect(tryParseOciConfig(await recorded("cri-o-1.34/config-server.json"))).toEqual({
      runtime: "cri-o",
      sandbox: false,
      containerName: "server",
      podName: "web-0",
      podNamespace: "shop",
      podUid: uidA,
      sandboxId: podA,
      imageRef: "cdh.test/crasher:1.2",
      imageId: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
      restartCount: 2,
      logPath: `/var/log/pods/shop_web-0_${uidA}/server/2.log`,
      logDirectory: `/var/log/pods/shop_web-0_${uidA}`,
    });
  });

  it("tells the pause container, which has no name of its own", async () => {
    const { podA, uidA } = await recordedIds("cri-o-1.34");
    const record = tryParseOciConfig(await recorded("cri-o-1.34/config-sandbox.json"));
    expect(record).toMatchObject({
      sandbox: true,
      podName: "web-0",
      podNamespace: "shop",
      sandboxId: podA,
      logDirectory: `/var/log/pods/shop_web-0_${uidA}`,
    });
    expect(record).not.toHaveProperty("containerName");
  });
});

describe("CRI-O's config.json", () => {
  const annotations = {
    "io.kubernetes.cri-o.ContainerType": "container",
    "io.kubernetes.cri-o.SandboxID": ID,
    "io.kubernetes.cri-o.Image": "docker.io/number9/segfaulter:latest",
    "io.kubernetes.cri-o.ImageName": "docker.io/number9/segfaulter:latest",
    "io.kubernetes.cri-o.ImageRef": "b".repeat(64),
    "io.kubernetes.cri-o.LogPath": `/var/log/pods/default_segfaulter_${UID}/segfaulter/3.log`,
    "io.kubernetes.cri-o.Labels": JSON.stringify({
      "io.kubernetes.container.name": "segfaulter",
      "io.kubernetes.pod.name": "segfaulter",
      "io.kubernetes.pod.namespace": "default",
      "io.kubernetes.pod.uid": UID,
    }),
    "io.kubernetes.container.restartCount": "3",
  };

  it("names everything, whether by annotations or by its labels", () => {
    const expected = {
      runtime: "cri-o",
      sandbox: false,
      containerName: "segfaulter",
      podName: "segfaulter",
      podNamespace: "default",
      podUid: UID,
      sandboxId: ID,
      imageRef: "docker.io/number9/segfaulter:latest",
      imageId: "b".repeat(64),
      restartCount: 3,
      logPath: `/var/log/pods/default_segfaulter_${UID}/segfaulter/3.log`,
      logDirectory: `/var/log/pods/default_segfaulter_${UID}`,
    };
    expect(tryParseOciConfig({ annotations })).toEqual(expected);
    const direct = {
      ...annotations,
      ...(JSON.parse(annotations["io.kubernetes.cri-o.Labels"]) as object),
      "io.kubernetes.cri-o.Labels": "{}",
    };
    expect(tryParseOciConfig({ annotations: direct })).toEqual(expected);
  });

  it("prefers a name to the id that a user may have written", () => {
    expect(
      tryParseOciConfig({ annotations: { ...annotations, "io.kubernetes.cri-o.Image": "c".repeat(64) } })?.imageRef,
    ).toBe("docker.io/number9/segfaulter:latest");
  });

  it("tells the pause container, whose own log lies in the pod's folder", () => {
    const sandbox = {
      ...annotations,
      "io.kubernetes.cri-o.ContainerType": "sandbox",
      "io.kubernetes.cri-o.LogPath": `/var/log/pods/default_segfaulter_${UID}/${ID}.log`,
    };
    const record = tryParseOciConfig({ annotations: sandbox });
    expect(record).toMatchObject({ sandbox: true, logDirectory: `/var/log/pods/default_segfaulter_${UID}` });
    expect(record).not.toHaveProperty("containerName");
  });
});

describe("docker's config.v2.json, as recorded", () => {
  it("names everything but the image, which the kubelet asked for by its id", async () => {
    const { podA, uidA } = await recordedIds("docker-20.10");
    expect(tryParseDockerConfig(await recorded("docker-20.10/config-server.json"))).toEqual({
      runtime: "docker",
      sandbox: false,
      containerName: "server",
      podName: "web-0",
      podNamespace: "shop",
      podUid: uidA,
      sandboxId: podA,
      imageId: expect.stringMatching(/^sha256:[0-9a-f]{64}$/) as string,
      restartCount: 2,
      logPath: `/var/log/pods/shop_web-0_${uidA}/server/2.log`,
      logDirectory: `/var/log/pods/shop_web-0_${uidA}`,
    });
  });

  it("tells the pause container", async () => {
    const { podA } = await recordedIds("docker-20.10");
    const record = tryParseDockerConfig(await recorded("docker-20.10/config-sandbox.json"));
    expect(record).toMatchObject({ sandbox: true, podName: "web-0", podNamespace: "shop", sandboxId: podA });
    expect(record).not.toHaveProperty("containerName");
  });
});

describe("docker's config.v2.json", () => {
  const labels = {
    "io.kubernetes.container.name": "server",
    "io.kubernetes.pod.name": "web-0",
    "io.kubernetes.pod.namespace": "shop",
    "io.kubernetes.pod.uid": UID,
    "io.kubernetes.sandbox.id": ID,
    "io.kubernetes.docker.type": "container",
    "annotation.io.kubernetes.container.restartCount": "2",
  };

  it("names everything", () => {
    const config = {
      ID,
      Name: "/k8s_server",
      Image: `sha256:${ID}`,
      Config: { Image: "nginx:1", Labels: labels },
      LogPath: `/var/lib/docker/containers/${ID}/${ID}-json.log`,
    };
    expect(tryParseDockerConfig(config)).toEqual({
      runtime: "docker",
      sandbox: false,
      containerName: "server",
      podName: "web-0",
      podNamespace: "shop",
      podUid: UID,
      sandboxId: ID,
      imageRef: "nginx:1",
      imageId: `sha256:${ID}`,
      restartCount: 2,
      logPath: `/var/lib/docker/containers/${ID}/${ID}-json.log`,
    });
  });

  it("takes no id for the image's name, and the kubelet's name for the log", () => {
    const logpath = `/var/log/pods/shop_web-0_${UID}/server/2.log`;
    const config = {
      ID,
      Image: `sha256:${ID}`,
      Config: { Image: `sha256:${ID}`, Labels: { ...labels, "io.kubernetes.container.logpath": logpath } },
      LogPath: `/var/lib/docker/containers/${ID}/${ID}-json.log`,
    };
    const record = tryParseDockerConfig(config);
    expect(record).toMatchObject({
      logPath: logpath,
      logDirectory: `/var/log/pods/shop_web-0_${UID}`,
      imageId: `sha256:${ID}`,
    });
    expect(record).not.toHaveProperty("imageRef");
  });

  it("names a container outside Kubernetes, without a pod", () => {
    expect(tryParseDockerConfig({ ID, Name: "/angry_Turing", Config: { Image: "nginx" } })).toEqual({
      runtime: "docker",
      sandbox: false,
      containerName: "angry_Turing",
      imageRef: "nginx",
    });
  });
});

describe("any config", () => {
  it("that is no record gives none", () => {
    for (const config of [{}, { annotations: null }, { annotations: ["x"] }, { annotations: { a: 1 } }, { ID: 5 }]) {
      expect(tryParseOciConfig(config)).toBeUndefined();
      expect(tryParseDockerConfig(config)).toBeUndefined();
    }
  });

  it("loses what is not what it must be", () => {
    const annotations = {
      "io.kubernetes.cri.container-type": "container",
      "io.kubernetes.cri.container-name": "../../etc",
      "io.kubernetes.cri.sandbox-name": "Web",
      "io.kubernetes.cri.sandbox-namespace": "a/b",
      "io.kubernetes.cri.sandbox-uid": "..",
      "io.kubernetes.cri.sandbox-id": "-o",
      "io.kubernetes.cri.image-name": "a b",
      "io.kubernetes.cri.sandbox-log-directory": "/var/log/../../etc",
    };
    expect(tryParseOciConfig({ annotations })).toEqual({ runtime: "containerd", sandbox: false });
    expect(tryParseDockerConfig({ ID, Name: "/../x", LogPath: "relative" })).toEqual({
      runtime: "docker",
      sandbox: false,
    });
  });
});
