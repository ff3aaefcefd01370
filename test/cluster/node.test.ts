import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { notBuilt, builtPath } from "../helpers/built.ts";
import { holdKernel, kernelUnavailable, readKernelSettings, type KernelHold } from "../helpers/kernel-state.ts";
import { clusterUnavailable, run } from "../helpers/real-cluster.ts";
import { REPOSITORY } from "../helpers/repository.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { builtImage } from "../image/built-image.ts";
import { CRASHER, makeCrasher, OUR_REPOSITORY } from "../pods/images.ts";
import { assembleOurRoot, packOurImage, VERSION } from "../pods/our-image.ts";
import { helmFor, type Helm } from "./helm-release.ts";
import { nodeUnavailable, startRealNode, type RealNode } from "./real-node.ts";

const RELEASE = "cdh";
const PLUGIN = join(REPOSITORY, "dist/bin/kubectl-coredump");
const DAEMON_SET = "daemonset/cdh-core-dump-handler";

describeUnless(
  kernelUnavailable() ??
    nodeUnavailable() ??
    clusterUnavailable() ??
    notBuilt("cdc", "cdh-sysctl", "cdh-upload", "cdh-inspect") ??
    missingTools("helm"),
  "the chart on a cluster with a real kubelet",
  () => {
    let hold: KernelHold;
    let node: RealNode;
    let helm: Helm;
    let work: string | undefined;
    let store: string;
    let values: Record<string, unknown>;
    const hostDir = (): string => join(node.dir, "h");

    beforeAll(async () => {
      hold = await holdKernel();
      hold.set({ corePattern: "core", corePipeLimit: "0", suidDumpable: "0" });
      work = mkdtempSync("/tmp/cdhn-images-");
      node = await startRealNode();
      helm = helmFor(node.cluster);
      const ours = builtImage().path ?? (await packOurImage(work, assembleOurRoot(work), VERSION));
      for (const image of [...(await makeCrasher(work)), ours]) await node.importImage(image);
      store = join(node.dir, "store");
      mkdirSync(store);
      for (const name of ["observe", "shop"]) {
        await node.cluster.apply({ apiVersion: "v1", kind: "Namespace", metadata: { name } });
      }
      await node.cluster.apply(volume(store));
      await node.cluster.apply(claim());
      values = {
        image: { registry: "", repository: OUR_REPOSITORY, tag: VERSION, pullPolicy: "Never" },
        store: { pvc: { existingClaim: "core-dumps" } },
        node: { watchInterval: "2s" },
        daemonset: { hostDirectory: hostDir(), updateStrategy: { rollingUpdate: { maxUnavailable: 1 } } },
      };
      // Longer than another run may hold the kernel's lock.
    }, 900_000);
    afterAll(async () => {
      await node?.[Symbol.asyncDispose]();
      await hold?.release();
      if (work !== undefined) rmSync(work, { recursive: true, force: true });
    }, 120_000);

    // `helm --wait` is content when all but maxUnavailable pods are ready, which of one is none.
    const rolledOut = async (): Promise<void> => {
      const { stdout, stderr } = await node.cluster.kubectl([
        "-n",
        "observe",
        "rollout",
        "status",
        DAEMON_SET,
        "--timeout=120s",
      ]);
      expect(stderr + stdout).toContain("successfully rolled out");
    };

    it("a pod that is ready has a node that captures, and a store", async () => {
      await helm.chart("install", RELEASE, values);
      await rolledOut();
      expect(readKernelSettings().corePattern.startsWith(`|${hostDir()}/cdc `)).toBe(true);
      const { stdout } = await node.cluster.kubectl(
        ["-n", "observe", "exec", DAEMON_SET, "-c", "upload", "--"].concat(
          "/opt/core-dump-handler/bin/cdh-upload",
          "check",
        ),
      );
      expect(stdout).toMatch(/file:\/\/\/store/);
      const doctor = await node.cluster.kubectl(
        ["-n", "observe", "exec", DAEMON_SET, "-c", "node", "--"].concat(
          "/opt/core-dump-handler/bin/cdh-sysctl",
          "doctor",
        ),
      );
      expect(doctor.stdout).toMatch(/✓ capture/);
      expect(doctor).toMatchObject({ status: 0, stdout: expect.not.stringContaining("✗") as string });
    }, 180_000);

    it("helm test crashes, finds its bundle, and says so", async () => {
      const said = await helm("test", RELEASE, "--logs", "--timeout=120s");
      expect(said).toMatch(/Phase:\s+Succeeded/);
      expect(said).toMatch(/✓ crashed with SIGABRT in pod observe\/\S+ on node node-1/);
      expect(said).toMatch(/✓ .*\.zip is there after [\d.]+ s: SIGABRT of \S+\/node, core of \d+ bytes/);
    }, 180_000);

    it("a pod of somebody else's that crashes leaves a bundle that knows it, and an Event", async () => {
      await node.cluster.apply(crashingPod());
      await expect
        .poll(() => listed(store), { timeout: 60_000, interval: 500 })
        .toContainEqual(expect.objectContaining({ namespace: "shop", pod: "web-0", container: "server" }));
      const events = async (): Promise<string> =>
        (await node.cluster.kubectl(["-n", "shop", "get", "events", "-o", "json"])).stdout;
      await expect.poll(events, { timeout: 30_000, interval: 500 }).toContain("SIGSEGV");
    }, 120_000);

    it("kubectl coredump status tells of the node what is so, and of somebody who took the handler away", async () => {
      const status = async (): Promise<NodeFacts> => {
        const { stdout } = await run(PLUGIN, ["status", "-o", "json"], {
          env: { KUBECONFIG: node.cluster.kubeconfig },
        });
        return (JSON.parse(stdout) as { nodes: [NodeFacts] }).nodes[0];
      };
      await expect.poll(status).toMatchObject({ spoolBundles: 0, spoolBytes: 0, storeAvailable: true });
      const before = await status();
      expect(before).toEqual({
        node: "node-1",
        namespace: "observe",
        pod: expect.stringMatching(/^cdh-core-dump-handler-\w{5}$/) as string,
        phase: "Running",
        ready: true,
        captures: true,
        composerVersion: VERSION,
        drifts: 0,
        lastCheckAt: expect.any(Number) as number,
        spoolBundles: 0,
        spoolBytes: 0,
        oldestAgeSeconds: 0,
        quarantineBundles: 0,
        lastUploadAt: expect.any(Number) as number,
        storeAvailable: true,
        notes: [],
      });
      // The crash of the test before this one.
      expect(Date.now() - (before.lastUploadAt ?? 0)).toBeLessThan(600_000);
      const { stdout: screen } = await run(PLUGIN, ["status"], { env: { KUBECONFIG: node.cluster.kubeconfig } });
      expect(screen).toMatch(/^1 of 1 node captures\n\nNODE +POD +CAPTURES/);
      expect(screen).toMatch(/\nnode-1 +ready +yes +\S+ +0 +0 +- +0 +answers +\S.* ago\n/);

      const installed = readKernelSettings().corePattern;
      hold.set({ corePattern: "core" });
      await expect.poll(async () => (await status()).drifts, { timeout: 30_000, interval: 250 }).toBe(1);
      await expect.poll(() => readKernelSettings().corePattern, { timeout: 30_000 }).toBe(installed);
      await expect.poll(status, { timeout: 30_000, interval: 250 }).toMatchObject({ captures: true, drifts: 1 });
    }, 120_000);

    it("an upgrade replaces the pod and never takes the handler away", async () => {
      const before = readKernelSettings().corePattern;
      const seen = new Set<string>();
      const watch = setInterval(() => seen.add(readKernelSettings().corePattern), 5);
      try {
        await helm.chart("upgrade", RELEASE, { ...values, clusterName: "second" });
        await rolledOut();
      } finally {
        clearInterval(watch);
      }
      expect([...seen]).toEqual([before]);
      expect(readFileSync(join(hostDir(), ".env"), "utf8")).toContain("second");
    }, 180_000);

    it("with the API switched on, kubectl lists a namespace's crashes, and a user without rights gets none", async () => {
      const api = { enabled: true, replicas: 1, refreshInterval: "1s" };
      await helm.chart("upgrade", RELEASE, { ...values, clusterName: "second", api });
      const { cluster } = node;
      const available = ["wait", "--for=condition=Available", "apiservice/v1alpha1.core-dump-handler.dev"];
      const { stdout, stderr } = await cluster.kubectl([...available, "--timeout=90s"]);
      expect(stderr + stdout).toContain("condition met");
      const table = async (): Promise<string> => (await cluster.kubectl(["get", "coredumps", "-n", "shop"])).stdout;
      await expect.poll(table, { timeout: 30_000, interval: 500 }).toMatch(/web-0 +server +SIGSEGV/);
      const stranger = cluster.kubeconfigOf("stranger", ["somebody"]);
      const refused = await cluster.kubectl(["get", "coredumps", "-n", "shop"], { kubeconfig: stranger });
      expect(refused).toMatchObject({ stdout: "", stderr: expect.stringContaining("forbidden") as string });
    }, 180_000);

    it("the programs asked the API for nothing that it refused, and for everything that they may", async () => {
      const account = "system:serviceaccount:observe:core-dump-admin";
      const asked = new Set<string>();
      for (const line of readFileSync(node.cluster.auditLog, "utf8").split("\n")) {
        if (!line.includes(account)) continue;
        const event = JSON.parse(line) as AuditEvent;
        if (event.user.username !== account) continue;
        asked.add(`${event.verb} ${event.objectRef?.resource ?? event.requestURI} ${event.responseStatus?.code ?? 0}`);
      }
      for (const line of asked)
        expect(line).toMatch(
          /^((get daemonsets|get namespaces|watch rolebindings) 200|create events 201|(get pods|(get|patch) events) (200|404))$/,
        );
      expect(asked).toContain("get daemonsets 200");
      expect(asked).toContain("watch rolebindings 200");
      expect(asked).toContain("get pods 200");
      expect(asked).toContain("create events 201");
    });

    /** Take everything away, and see that the node has its own values back as soon as our pods are gone. */
    const expectTheNodeBack = async (takeAway: () => Promise<unknown>): Promise<void> => {
      const log = node.cluster.kubectl(["-n", "observe", "logs", "-f", "--tail=20", DAEMON_SET, "-c", "node"]);
      await takeAway();
      const pods = async (): Promise<string> =>
        (await node.cluster.kubectl(["-n", "observe", "get", "pods", "-l", "name=core-dump-ds", "-o", "name"])).stdout;
      await expect.poll(pods, { timeout: 90_000, interval: 500 }).toBe("");
      const { stdout: said } = await log;
      expect(readKernelSettings(), said).toEqual({ corePattern: "core", corePipeLimit: "0", suidDumpable: "0" });
      expect(existsSync(join(hostDir(), "cdc")), said).toBe(false);
    };

    it("helm uninstall gives the node back", async () => {
      await expectTheNodeBack(() => helm("uninstall", RELEASE, "--wait", "--timeout=120s"));
    }, 180_000);

    it("kubectl delete namespace gives the node back", async () => {
      await helm.chart("install", RELEASE, values);
      await rolledOut();
      await expectTheNodeBack(() => node.cluster.kubectl(["delete", "namespace", "observe", "--timeout=120s"]));
    }, 300_000);
  },
);

/** What `kubectl coredump status -o json` tells of a node. */
interface NodeFacts {
  captures?: boolean;
  drifts?: number;
  lastUploadAt?: number;
}

interface AuditEvent {
  verb: string;
  requestURI: string;
  user: { username: string };
  objectRef?: { resource: string };
  responseStatus?: { code: number };
}

function volume(path: string): object {
  return {
    apiVersion: "v1",
    kind: "PersistentVolume",
    metadata: { name: "core-dumps" },
    spec: {
      capacity: { storage: "10Gi" },
      accessModes: ["ReadWriteMany"],
      storageClassName: "",
      hostPath: { path, type: "Directory" },
      claimRef: { namespace: "observe", name: "core-dumps" },
    },
  };
}

function claim(): object {
  return {
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: { name: "core-dumps", namespace: "observe" },
    spec: {
      accessModes: ["ReadWriteMany"],
      storageClassName: "",
      volumeName: "core-dumps",
      resources: { requests: { storage: "10Gi" } },
    },
  };
}

function crashingPod(): object {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "web-0", namespace: "shop", labels: { app: "web" } },
    spec: {
      restartPolicy: "Never",
      terminationGracePeriodSeconds: 1,
      containers: [
        { name: "server", image: CRASHER, imagePullPolicy: "Never", command: ["/crasher", "now"] },
        { name: "sidecar", image: CRASHER, imagePullPolicy: "Never" },
      ],
    },
  };
}

/** What the inspector lists in a store. */
async function listed(store: string): Promise<unknown[]> {
  const { status, stdout, stderr } = await run(builtPath("cdh-inspect"), ["ls", `file://${store}`, "-o", "json"]);
  if (status !== 0) throw new Error(stderr);
  return (JSON.parse(stdout) as { bundles: unknown[] }).bundles;
}
