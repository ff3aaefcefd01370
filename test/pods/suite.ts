import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll } from "vitest";
import { notBuilt } from "../helpers/built.ts";
import { holdKernel, kernelUnavailable, type KernelHold } from "../helpers/kernel-state.ts";
import { startS3Server, type S3Server } from "../helpers/s3-server.ts";
import { findTool, missingTools } from "../helpers/tools.ts";
import { builtImage } from "../image/built-image.ts";
import { API_PORT, makeApiServer, type ApiServer } from "./api-server.ts";
import { watchArrivals, type Arrivals } from "./arrivals.ts";
import { deploy, NAMESPACE, type Deployment } from "./deployment.ts";
import { makeCrasher, OUR_REPOSITORY } from "./images.ts";
import type { Kubelet } from "./kubelet.ts";
import { assembleOurRoot, makeNextVersion, NEXT_VERSION, packOurImage, VERSION } from "./our-image.ts";
import { GATEWAY, podNodeUnavailable, startPodNode, type PodNode } from "./pod-node.ts";
import { makeS3Gate, type S3Gate } from "./s3-gate.ts";

const S3_PORT = 9000;
/** Where the composer looks for a runtime's records beside /run/containerd; this one is nobody's on a development machine. */
const STATE = "/run/k0s/containerd";

/** What the tests share. */
export interface PodsSuite {
  hold: KernelHold;
  s3: S3Server;
  /** Between the pods and the S3 server. */
  gate: S3Gate;
  node: PodNode;
  api: ApiServer;
  arrivals: Arrivals;
  hostDir: string;
  coreDir: string;
  /** Where our image came from. */
  imageSource: string;
  /** Import our image as another version. */
  importNext(): Promise<void>;
  /** Start our pod with the suite's values and these; the one before is told to stop by the caller. */
  deploy(more?: Record<string, unknown>): Promise<Deployment>;
  /** Names in CORE_DIR of published bundles. */
  spooled(): string[];
}

/** Say why the suite can't run here, or undefined. */
export function podsUnavailable(): string | undefined {
  return (
    kernelUnavailable() ??
    podNodeUnavailable() ??
    notBuilt("cdc", "cdh-sysctl", "cdh-upload", "cdh-inspect") ??
    missingTools("openssl", "zstd") ??
    (existsSync("/run/k0s") && !isOfTests() ? "/run/k0s is somebody's here" : undefined)
  );
}

/** Another suite may have it now; it gives it back with the lock. */
function isOfTests(): boolean {
  try {
    return readlinkSync(STATE).startsWith(join(tmpdir(), "cdh"));
  } catch {
    return false;
  }
}

/** Merge values as helm does: objects by key, everything else replaced. */
function merge(base: Record<string, unknown>, more: Record<string, unknown>): Record<string, unknown> {
  const result = { ...base };
  for (const [key, value] of Object.entries(more)) {
    const old = result[key];
    const both = [old, value].every((one) => typeof one === "object" && one !== null && !Array.isArray(one));
    result[key] = both ? merge(old as Record<string, unknown>, value as Record<string, unknown>) : value;
  }
  return result;
}

/** Start everything for the tests of the surrounding `describe`, and put everything back after them. */
export function setUpPods(): PodsSuite {
  const suite: Partial<PodsSuite> = {};
  beforeAll(async () => {
    suite.hold = await holdKernel();
    suite.hold.set({ corePattern: "core" });
    suite.s3 = await startS3Server();
    const node = await startPodNode([S3_PORT, API_PORT]);
    suite.node = node;
    // There it is removed even when this process is killed.
    const work = join(node.dir, "images");
    mkdirSync(work);
    mkdirSync("/run/k0s");
    symlinkSync(join(node.dir, "run/containerd"), STATE);
    suite.gate = makeS3Gate(Number(new URL(suite.s3.endpoint).port));
    await node.serve(S3_PORT, suite.gate.server);
    const api = makeApiServer(work, NAMESPACE);
    suite.api = api;
    await node.serve(API_PORT, api.server);
    const built = builtImage().path;
    suite.imageSource = built !== undefined ? "built by buildah from docker/Dockerfile" : "assembled from dist";
    const root = assembleOurRoot(work);
    const ours = built ?? (await packOurImage(work, root, VERSION));
    for (const image of [...(await makeCrasher(work)), ours]) await node.importImage(image);
    suite.importNext = async () => {
      makeNextVersion(root);
      await node.importImage(await packOurImage(work, root, NEXT_VERSION));
    };
    suite.hostDir = join(node.dir, "h");
    suite.coreDir = join(suite.hostDir, "cores");
    const tools = join(findTool("crictl").path ?? "", "..");
    const values = {
      clusterName: "first",
      image: { registry: "", repository: OUR_REPOSITORY, tag: VERSION },
      store: {
        bucket: suite.s3.bucket,
        region: suite.s3.region,
        endpoint: `http://${GATEWAY}:${S3_PORT}`,
        forcePathStyle: true,
        existingSecret: "store-keys",
      },
      daemonset: {
        hostDirectory: suite.hostDir,
        deployCrioConfig: true,
        includeCrioExe: true,
        crioEndpoint: `unix://${node.socket}`,
        extraVolumes: [{ name: "tools", hostPath: { path: tools, type: "Directory" } }],
      },
      // What is learnt about a pod must not depend on how busy the machine is.
      // And the pod of the upgrade crashes more often than any pod may; what a crash loop meets is the workload's limit.
      composer: { metadataTimeout: 60, rateLimitPod: 0, rateLimitNamespace: 0, keepPerSite: "0" },
      node: {
        crictl: "/tools/crictl",
        watchInterval: "1s",
        extraVolumeMounts: [{ name: "tools", mountPath: "/tools", readOnly: true }],
      },
    };
    const { accessKey, secretKey } = suite.s3;
    let generation = 0;
    suite.deploy = (more = {}) => {
      generation += 1;
      const kubelet: Kubelet = {
        nodeName: "node-1",
        podName: `cdh-core-dump-handler-${generation}`,
        podUid: `00000000-0000-4000-8000-${String(generation).padStart(12, "0")}`,
        namespace: NAMESPACE,
        logs: join(node.dir, "var/log/pods"),
        volumes: join(node.dir, "volumes", String(generation)),
        cgroupParent: node.cgroupParent,
        secrets: { "store-keys": { s3AccessKey: accessKey, s3Secret: secretKey } },
        configMaps: {},
        serviceAccount: api.account,
        apiServer: { host: GATEWAY, port: API_PORT },
      };
      return deploy(node, merge(values, more), kubelet);
    };
    suite.spooled = () => readdirSync(suite.coreDir ?? "").filter((name) => /^[^.].*\.zip$/.test(name));
    suite.arrivals = watchArrivals(suite.s3, work, async () => {
      const logs = ["composer.log"].map((name) => join(suite.hostDir ?? "", name));
      return logs.map((path) => (existsSync(path) ? readFileSync(path, "utf8").slice(-4096) : `no ${path}`)).join("\n");
    });
  }, 700_000);
  afterAll(async () => {
    // The node first: a watcher that lives would set the kernel's values again.
    await suite.node?.[Symbol.asyncDispose]();
    await suite.s3?.[Symbol.asyncDispose]();
    await suite.hold?.release();
  }, 60_000);
  return suite as PodsSuite;
}
