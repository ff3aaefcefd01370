import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { Manifest } from "@cdh/core/bundle/manifest";
import { notBuilt } from "../helpers/built.ts";
import { selfSign } from "../helpers/cluster-pki.ts";
import { describeUnless } from "../helpers/skip.ts";
import { makeWorkbench, type Workbench } from "./workbench.ts";

const UID = "11111111-2222-3333-4444-555555555555";
const ID = "c".repeat(64);
const IMAGE = "registry.example/shop@sha256:abc";

/** The pod as the API server shows it. */
const POD = {
  metadata: {
    name: "web-5d8f7c9b6d-x2x4z",
    namespace: "shop",
    uid: UID,
    labels: { app: "web", "pod-template-hash": "5d8f7c9b6d" },
    ownerReferences: [{ kind: "ReplicaSet", name: "web-5d8f7c9b6d", controller: true }],
  },
  spec: { nodeName: "node-1" },
  status: { containerStatuses: [{ name: "app", containerID: `containerd://${ID}`, image: "web:1", imageID: IMAGE }] },
};

const CRASH = {
  node: { nodeName: "node-1" },
  pod: { name: POD.metadata.name, namespace: "shop", uid: UID },
  container: { id: ID, name: "app", imageRef: "web:1" },
  identity: { source: "oci-config", verified: true },
} satisfies Partial<Manifest>;

describeUnless(notBuilt("cdh-upload"), "facts of pods that the node does not know", () => {
  let directory: string;
  let bench: Workbench;
  let asked: string[];
  let answer: { status: number; body: unknown };
  let close: () => void;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "cdh-pod-facts-"));
    const account = join(directory, "account");
    await mkdir(account);
    await writeFile(join(account, "token"), "the-token\n");
    const pair = selfSign(account, "ca", "IP:127.0.0.1");
    [asked, answer] = [[], { status: 200, body: POD }];
    const server = createServer({ key: readFileSync(pair.key), cert: readFileSync(pair.cert) }, (request, response) => {
      if (request.url?.includes("/pods/") === true) asked.push(request.url);
      response.writeHead(answer.status, { "content-type": "application/json" }).end(JSON.stringify(answer.body));
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    close = () => {
      server.closeAllConnections();
      server.close();
    };
    await mkdir(join(directory, "store"));
    bench = await makeWorkbench({
      STORE_URL: `file://${join(directory, "store")}`,
      KUBERNETES_EVENTS: "false",
      KUBERNETES_SERVICE_HOST: "127.0.0.1",
      KUBERNETES_SERVICE_PORT: String((server.address() as AddressInfo).port),
      KUBERNETES_SERVICE_ACCOUNT_DIR: account,
    });
  });

  afterEach(async () => {
    await bench[Symbol.asyncDispose]();
    close();
    await rm(directory, { recursive: true, force: true });
  });

  /** Publish crashes, and give the manifests that lie beside their bundles in the store. */
  async function upload(...crashes: Partial<Manifest>[]): Promise<Manifest[]> {
    for (const manifest of crashes) await bench.publish({ manifest });
    bench.run();
    const store = join(directory, "store");
    const list = async (): Promise<string[]> =>
      (await readdir(store, { recursive: true })).filter((name) => name.endsWith(".manifest.json"));
    await expect.poll(list).toHaveLength(crashes.length);
    const files = (await list()).map((name) => readFile(join(store, name), "utf8"));
    return (await Promise.all(files)).map((text) => JSON.parse(text) as Manifest);
  }

  it("are taken from the API server's pod, and marked as learnt later", async () => {
    const [manifest] = await upload(CRASH);
    expect(manifest).toMatchObject({
      pod: { ...CRASH.pod, labels: POD.metadata.labels, owner: { kind: "Deployment", name: "web" } },
      container: { ...CRASH.container, imageId: IMAGE },
      completed: { from: "kubernetes", fields: ["pod.labels", "pod.owner", "container.imageId"] },
    });
    expect(asked).toEqual([`/api/v1/namespaces/shop/pods/${POD.metadata.name}`]);
  });

  it("are asked for once, however often the pod crashes", async () => {
    await upload(CRASH, CRASH, CRASH);
    expect(asked).toHaveLength(1);
  });

  it.each([
    ["a pod that came after it", { ...POD, metadata: { ...POD.metadata, uid: UID.replace("1", "9") } }, CRASH],
    ["a pod of another node", { ...POD, spec: { nodeName: "node-2" } }, CRASH],
    ["an identity that is not verified", POD, { ...CRASH, identity: { source: "hostname", verified: false } as const }],
  ])("are not taken from, or for, %s", async (_, body, crash) => {
    answer.body = body;
    const [manifest] = await upload(crash);
    expect(manifest?.completed).toBeUndefined();
    expect(manifest?.pod?.labels).toBeUndefined();
  });

  it.each([403, 404, 500])("hold no bundle up when the API server answers %d", async (status) => {
    answer = { status, body: { kind: "Status", message: "no" } };
    const [manifest] = await upload(CRASH);
    expect(manifest?.completed).toBeUndefined();
  });

  it("leave what the node said as it is", async () => {
    const labels = { app: "old" };
    const [manifest] = await upload({ ...CRASH, pod: { ...CRASH.pod, labels } });
    expect(manifest?.pod?.labels).toEqual(labels);
    expect(manifest?.completed?.fields).toEqual(["pod.owner", "container.imageId"]);
  });
});
