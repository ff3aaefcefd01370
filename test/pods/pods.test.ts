import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, it } from "vitest";
import type { Manifest } from "@cdh/core/bundle/manifest";
import { readKernelSettings, type KernelSettings } from "../helpers/kernel-state.ts";
import { describeUnless } from "../helpers/skip.ts";
import type { Arrival } from "./arrivals.ts";
import { makeCaseTable } from "./case-table.ts";
import { startCrashingPod, type CrashingPod } from "./crashing-pods.ts";
import type { Deployment } from "./deployment.ts";
import { CRASHER } from "./images.ts";
import { NEXT_VERSION, VERSION } from "./our-image.ts";
import { expectSoon } from "./soon.ts";
import { podsUnavailable, setUpPods } from "./suite.ts";

const PATTERN = "/proc/sys/kernel/core_pattern";

describeUnless(podsUnavailable(), "pods that crash beside the chart's pod", () => {
  const suite = setUpPods();
  const table = makeCaseTable(() => `Pods: our image ${suite.imageSource}, S3 by ${suite.s3.kind}`);
  let before: KernelSettings;
  let ours: Deployment;
  beforeAll(async () => {
    before = readKernelSettings();
    ours = await suite.deploy();
  }, 120_000);

  /** Make the first process of a container crash, and wait until its bundle is in the store. */
  async function crash(containerId: string, timeoutMs?: number): Promise<Arrival> {
    process.kill(suite.node.pidOf(containerId), "SIGUSR1");
    return suite.arrivals.next("its bundle arrives", ({ container }) => container?.id === containerId, timeoutMs);
  }
  const logLines = (): Record<string, unknown>[] => {
    const path = join(suite.hostDir, "composer.log");
    return (existsSync(path) ? readFileSync(path, "utf8") : "")
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  };
  /** What every manifest of a pod's container must say. */
  const attributed = (pod: CrashingPod, containerId: string, name: string, restartCount = 0): object => ({
    identity: { source: "oci-config", verified: true },
    pod: {
      name: pod.config.metadata.name,
      namespace: pod.config.metadata.namespace,
      uid: pod.uid,
      sandboxId: pod.id,
    },
    container: { id: containerId, name, runtime: "containerd", imageRef: CRASHER, restartCount },
    signal: { name: "SIGSEGV", codeName: "SEGV_MAPERR", faultAddress: "0x1234" },
    node: { nodeName: "node-1" },
  });
  const problemsOf = ({ manifest }: Arrival): string => JSON.stringify(manifest.problems);
  const shown = ({ key, manifest }: Arrival): string =>
    `${key.split("/")[0]}/${manifest.pod?.name}/${manifest.container?.name}, ${manifest.core.sizeBytes} bytes of core`;

  it("the chart's pod makes the kernel start its composer", async () => {
    expect(readKernelSettings().corePattern).toContain(`|${suite.hostDir}/cdc `);
    expect(await ours.ask("node", "readiness")).toBe(200);
    expect(await ours.ask("upload", "liveness")).toBe(200);
    table.saw(`ready at ${ours.address}`);
  });

  it("the uploader has no power", async () => {
    const pid = suite.node.pidOf(ours.ids.get("upload") ?? "");
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    // The launcher has given Node the flags that the build's launcher gives it.
    const flags = readFileSync(`/proc/${pid}/cmdline`, "utf8")
      .split("\0")
      .filter((word) => word.startsWith("--"));
    expect(flags).toEqual(
      expect.arrayContaining(["--max-semi-space-size=4", "--heap-growing-percent=20", "--no-opt", "--no-maglev"]),
    );
    expect(status).toMatch(/^CapEff:\t0+$/m);
    expect(status).toMatch(/^CapBnd:\t0+$/m);
    expect(status).toMatch(/^NoNewPrivs:\t1$/m);
    expect(status).toMatch(/^Seccomp:\t2$/m);
    table.saw("no capability, no new privileges, seccomp on");
  });

  it("the doctor, asked in the node container, proves capture", async () => {
    const id = ours.ids.get("node") ?? "";
    const said = await suite.node.crictl("exec", "--sync", id, "cdh-sysctl", "doctor", "-o", "json");
    const { checks } = JSON.parse(said) as { checks: { id: string; outcome: string; finding: string }[] };
    const capture = checks.find((check) => check.id === "capture");
    expect(capture).toMatchObject({ outcome: "ok", finding: expect.stringContaining("verified") as string });
    table.saw(capture?.finding ?? "");
  });

  it("a crashing container", async () => {
    const labels = { app: "web", "info.coredump.owner": "team-a" };
    const pod = await startCrashingPod(suite.node, { namespace: "shop", name: "single-0", labels });
    const id = await pod.start({ name: "server" });
    const arrival = await crash(id);
    expect(arrival.manifest, problemsOf(arrival)).toMatchObject(attributed(pod, id, "server"));
    expect(arrival.manifest).toMatchObject({
      pod: { labels },
      core: { complete: true },
      node: { clusterName: "first" },
      composer: { version: VERSION },
    });
    const bundle = await suite.arrivals.open(arrival);
    expect(bundle.manifest).toEqual(arrival.manifest);
    expect((await bundle.read("-0.log")).toString()).toBe("first line of 1\nlast line of 1\n");
    await expectSoon("the Event is written", () => suite.api.events.some((event) => event.pod === "shop/single-0"));
    const event = suite.api.events.find(({ pod: of }) => of === "shop/single-0");
    expect(event?.message).toMatch(new RegExp(`show .*${arrival.manifest.crashId.slice(0, 8)}$`));
    table.saw(shown(arrival));
  });

  it("two containers, of which one crashes", async () => {
    const pod = await startCrashingPod(suite.node, { namespace: "shop", name: "double-0" });
    const other = await pod.start({ name: "server" });
    const id = await pod.start({ name: "sidecar" });
    const arrival = await crash(id);
    expect(arrival.manifest, problemsOf(arrival)).toMatchObject(attributed(pod, id, "sidecar"));
    const { entries } = await suite.arrivals.open(arrival);
    expect(entries.filter(({ name }) => /-\d+\.log$/.test(name))).toHaveLength(2);
    expect(suite.node.pidOf(other)).toBeGreaterThan(0);
    table.saw(`${shown(arrival)}; the other lives, its log is there too`);
  });

  it("two pods of one name in two namespaces", async () => {
    const seen: string[] = [];
    for (const namespace of ["blue", "green"]) {
      const pod = await startCrashingPod(suite.node, { namespace, name: "same-0", labels: { colour: namespace } });
      const id = await pod.start({ name: "server" });
      const arrival = await crash(id);
      expect(arrival.manifest, problemsOf(arrival)).toMatchObject(attributed(pod, id, "server"));
      expect(arrival.manifest.pod?.labels).toMatchObject({ colour: namespace });
      expect(arrival.key).toContain(`${namespace}/`);
      seen.push(arrival.key.split("/")[0] ?? "");
    }
    table.saw(seen.join(" and "));
  });

  it("a pod in the node's network", async () => {
    const pod = await startCrashingPod(suite.node, { namespace: "shop", name: "hostnet-0", hostNetwork: true });
    const id = await pod.start({ name: "server" });
    const arrival = await crash(id);
    expect(arrival.manifest, problemsOf(arrival)).toMatchObject(attributed(pod, id, "server"));
    table.saw(shown(arrival));
  });

  it("process 1 crashes and is started again", async () => {
    const pod = await startCrashingPod(suite.node, { namespace: "shop", name: "again-0" });
    const counts: (number | undefined)[] = [];
    for (const restarts of [0, 1, 2]) {
      const id = await pod.start({ name: "server", restarts });
      const arrival = await crash(id);
      const { manifest } = arrival;
      expect(manifest, problemsOf(arrival)).toMatchObject(attributed(pod, id, "server", restarts));
      expect(manifest.process.pidInNamespace).toBe(1);
      counts.push(manifest.container?.restartCount);
    }
    table.saw(`restart counts ${counts.join(", ")}`);
  });

  it("a container that is not root", async () => {
    const pod = await startCrashingPod(suite.node, { namespace: "shop", name: "user-0" });
    const id = await pod.start({ name: "server", user: 1234 });
    const arrival = await crash(id);
    expect(arrival.manifest, problemsOf(arrival)).toMatchObject(attributed(pod, id, "server"));
    expect(arrival.manifest).toMatchObject({ process: { uid: 1234 }, core: { complete: true } });
    table.saw(`${shown(arrival)} of uid 1234`);
  });

  it("a container with a read-only root", async () => {
    const pod = await startCrashingPod(suite.node, { namespace: "shop", name: "readonly-0" });
    const id = await pod.start({ name: "server", readOnlyRoot: true });
    const arrival = await crash(id);
    expect(arrival.manifest, problemsOf(arrival)).toMatchObject(attributed(pod, id, "server"));
    expect(arrival.manifest.core.complete).toBe(true);
    table.saw(shown(arrival));
  });

  it("a container with RLIMIT_CORE=0", async () => {
    const pod = await startCrashingPod(suite.node, { namespace: "shop", name: "nolimit-0" });
    const id = await pod.start({ name: "server", args: ["nocore"] });
    const arrival = await crash(id);
    expect(arrival.manifest, problemsOf(arrival)).toMatchObject(attributed(pod, id, "server"));
    expect(arrival.manifest).toMatchObject({
      process: { rlimitCoreBytes: 0 },
      core: { complete: false, truncatedBy: "rlimit", sizeBytes: 0 },
    });
    table.saw(`${shown(arrival)}, cut by rlimit; signal and threads known`);
  });

  it("a crash loop reaches the rate limit", async () => {
    const pod = await startCrashingPod(suite.node, { namespace: "loop", name: "crashloop-0" });
    const decided = (): Record<string, unknown>[] =>
      logLines().filter(
        ({ msg, namespace }) => (msg === "crash not kept" || msg === "bundle published") && namespace === "loop",
      );
    for (let restarts = 0; restarts < 8; restarts += 1) {
      await pod.start({ name: "server", args: ["now"], restarts });
      await expectSoon(`crash ${restarts + 1} is decided on`, () => decided().length === restarts + 1, {
        explain: () => JSON.stringify(logLines().slice(-3)),
      });
    }
    const refused = decided().filter(({ msg }) => msg === "crash not kept");
    expect(refused.map(({ reason }) => reason)).toEqual(
      [1, 2, 3].map((n) => `rate limit reached, ${n} suppressed so far`),
    );
    const kept = async (): Promise<number> =>
      (await suite.arrivals.all()).filter(({ manifest }) => manifest.pod?.namespace === "loop").length;
    await expectSoon("five bundles arrive", async () => (await kept()) === 5);
    table.saw("8 crashes, 5 bundles, 3 counted as suppressed");
  });

  it("a container is removed while its 1 GiB core is written", async () => {
    const pod = await startCrashingPod(suite.node, { namespace: "shop", name: "killed-0" });
    const id = await pod.start({ name: "server", args: ["fill", "1024"] });
    process.kill(suite.node.pidOf(id), "SIGUSR1");
    const partial = (): string | undefined =>
      readdirSync(suite.coreDir)
        .filter((name) => name.endsWith(".zip.partial"))
        .find((name) => (statSync(join(suite.coreDir, name), { throwIfNoEntry: false })?.size ?? 0) > 32 << 20);
    await expectSoon("the core is being written", partial);
    // A kubelet removes the log later than the container.
    await suite.node.crictl("rm", "-f", "--keep-logs", id);
    const arrival = await suite.arrivals.next(
      "what there was arrives",
      ({ container }) => container?.id === id,
      60_000,
    );
    expect(arrival.manifest, problemsOf(arrival)).toMatchObject(attributed(pod, id, "server"));
    expect(arrival.manifest.core).toMatchObject({ complete: false, truncatedBy: "shortRead" });
    expect(arrival.manifest.core.sizeBytes).toBeGreaterThan(1 << 20);
    expect(arrival.manifest.core.sizeBytes).toBeLessThan(1 << 30);
    table.saw(`${shown(arrival)}, cut by the kill`);
  });

  it("the core pattern drifts", async () => {
    const wanted = readKernelSettings().corePattern;
    writeFileSync(PATTERN, "core.%p\n");
    await expectSoon("it comes back", () => readKernelSettings().corePattern === wanted);
    await expectSoon(
      "it is counted",
      async () => (await ours.metric("node", 'cdh_sysctl_drift_total{what="kernel.core_pattern"}')) === 1,
      {
        explain: () => ours.logs("node"),
      },
    );
    expect(await ours.logs("node")).toContain('"found":"core.%p"');
    table.saw("back, logged with what was found, counted");
  });

  it("the uploader is killed while it uploads", async () => {
    const pod = await startCrashingPod(suite.node, { namespace: "shop", name: "resend-0" });
    const id = await pod.start({ name: "server", args: ["fill", "48"] });
    suite.gate.closeAfter(20 << 20);
    try {
      process.kill(suite.node.pidOf(id), "SIGUSR1");
      await expectSoon("the upload is under way", () => suite.gate.stuck);
      process.kill(suite.node.pidOf(ours.ids.get("upload") ?? ""), "SIGKILL");
    } finally {
      suite.gate.open();
    }
    await ours.restart("upload");
    const arrival = await suite.arrivals.next("it arrives", ({ container }) => container?.id === id, 60_000);
    expect(arrival.manifest, problemsOf(arrival)).toMatchObject(attributed(pod, id, "server"));
    await expectSoon("the spool is empty", () => suite.spooled().length === 0);
    const twins = (await suite.arrivals.all()).filter(({ manifest }) => manifest.container?.id === id);
    expect(twins).toHaveLength(1);
    const { path, sha256 } = await (await suite.arrivals.open(arrival)).unpackCore(suite.node.dir);
    expect(existsSync(path)).toBe(true);
    expect(sha256).toBe(arrival.manifest.core.sha256);
    table.saw(`${shown(arrival)}, once, with the right hash`);
  });

  it("the node container is killed", async () => {
    process.kill(suite.node.pidOf(ours.ids.get("node") ?? ""), "SIGKILL");
    const pod = await startCrashingPod(suite.node, { namespace: "shop", name: "alone-0" });
    const id = await pod.start({ name: "server" });
    const arrival = await crash(id);
    expect(arrival.manifest, problemsOf(arrival)).toMatchObject(attributed(pod, id, "server"));
    await ours.restart("node");
    table.saw(`${shown(arrival)}; started again it is well`);
  });

  it("filters by namespace and by label", async () => {
    const labelled = await startCrashingPod(suite.node, { namespace: "wanted", name: "a-0", labels: { dump: "yes" } });
    const plain = await startCrashingPod(suite.node, { namespace: "unwanted", name: "b-0" });
    const selects = "label selector does not match";
    const cases: { env: Record<string, string>; labelled: string; plain: string }[] = [
      { env: { COMP_NAMESPACE_INCLUDE: "shop,want*" }, labelled: "kept", plain: "namespace not included" },
      { env: { COMP_POD_SELECTOR_LABEL: "dump" }, labelled: "kept", plain: selects },
      { env: { COMP_POD_SELECTOR_LABEL: "dump=yes" }, labelled: "kept", plain: selects },
      { env: { COMP_POD_SELECTOR_LABEL: "dump=no" }, labelled: selects, plain: selects },
      { env: { COMP_POD_SELECTOR_LABEL: "!dump" }, labelled: selects, plain: "kept" },
      // Nobody may be asked for the labels: what is unknown drops nothing.
      { env: { COMP_POD_SELECTOR_LABEL: "dump=no", COMP_IGNORE_CRIO: "true" }, labelled: "kept", plain: "kept" },
    ];
    /** What composer.log says of each crash of a pod, in order. */
    const decided = (pod: CrashingPod): unknown[] =>
      logLines().flatMap(({ msg, pod: name, reason }) => {
        if (name !== pod.config.metadata.name) return [];
        return msg === "bundle published" ? ["kept"] : msg === "crash not kept" ? [reason] : [];
      });
    for (const [restarts, { env }] of cases.entries()) {
      await ours.reconfigure("node", env);
      for (const pod of [labelled, plain]) {
        await pod.start({ name: "server", args: ["now"], restarts });
        await expectSoon("the crash is decided on", () => decided(pod).length === restarts + 1, {
          explain: () => JSON.stringify(logLines().slice(-3)),
        });
      }
    }
    await ours.reconfigure("node", {});
    expect(decided(labelled)).toEqual(cases.map((each) => each.labelled));
    expect(decided(plain)).toEqual(cases.map((each) => each.plain));
    const kept = [...decided(labelled), ...decided(plain)].filter((word) => word === "kept").length;
    const arrived = async (): Promise<Arrival[]> =>
      (await suite.arrivals.all()).filter(({ manifest }) => manifest.pod?.namespace?.endsWith("wanted"));
    await expectSoon("what is kept arrives", async () => (await arrived()).length >= kept);
    expect(await arrived()).toHaveLength(kept);
    table.saw(`${cases.length} settings, 12 crashes, ${kept} bundles; the others are in the log with their reason`);
  }, 300_000);

  it("an upgrade under fire", async () => {
    await suite.importNext();
    const pod = await startCrashingPod(suite.node, { namespace: "fire", name: "fire-0" });
    const id = await pod.start({ name: "server", args: ["fire"] }, "crash 3");
    const crashes = (): number => pod.said("server").filter((line) => line.startsWith("crash ")).length;
    const atStop = crashes();
    await ours.stop();
    const between = crashes();
    ours = await suite.deploy({ clusterName: "second", image: { tag: NEXT_VERSION } });
    const upgraded = crashes();
    await expectSoon("three more crash", () => crashes() >= upgraded + 3);
    process.kill(suite.node.pidOf(id), "SIGUSR1");
    const ceased = await expectSoon("it ceases", () => pod.said("server").find((line) => line.startsWith("ceased ")));
    const count = Number(ceased.split(" ")[1]);
    const arrived = async (): Promise<Arrival[]> =>
      (await suite.arrivals.all()).filter(({ manifest }) => manifest.pod?.namespace === "fire");
    await expectSoon("every crash arrives", async () => (await arrived()).length >= count, {
      timeoutMs: 60_000,
      explain: async () => `${(await arrived()).length} of ${count}`,
    });
    const manifests = (await arrived()).map(({ manifest }) => manifest);
    const names = Array.from({ length: count }, (_, index) => `c${index}`);
    expect(manifests.map(({ process: { comm } }) => comm).sort()).toEqual(names.sort());
    expect(manifests.filter(({ core }) => !core.complete)).toEqual([]);
    // A crash in the very moment of the upgrade may be the old composer's with the new settings.
    const versionOf = ({ composer, node }: Manifest): string => `${composer.version} ${node.clusterName}`;
    const numberOf = ({ process: { comm } }: Manifest): number => Number(comm?.slice(1));
    const early = manifests.filter((manifest) => numberOf(manifest) < atStop).map(versionOf);
    const after = manifests.filter((manifest) => numberOf(manifest) >= upgraded).map(versionOf);
    expect(new Set(early)).toEqual(new Set([`${VERSION} first`]));
    expect(new Set(after)).toEqual(new Set([`${NEXT_VERSION} second`]));
    const versions = manifests.map(versionOf);
    const late = versions.filter((version) => version.startsWith(NEXT_VERSION)).length;
    table.saw(
      `${count} crashes, ${count} bundles: ${count - late} by ${VERSION}, ${late} by ${NEXT_VERSION}; ${upgraded - between} while no pod of ours ran`,
    );
  }, 300_000);

  it("an uninstall restores the node", async () => {
    await suite.node.crictl("stop", ours.ids.get("upload") ?? "");
    const pod = await startCrashingPod(suite.node, { namespace: "shop", name: "left-0" });
    const id = await pod.start({ name: "server" });
    process.kill(suite.node.pidOf(id), "SIGUSR1");
    await expectSoon("its bundle is published", () => suite.spooled().length === 1);
    suite.api.deleteDaemonSet();
    await ours.stop();
    expect(readKernelSettings()).toEqual(before);
    expect(readdirSync(suite.hostDir)).toEqual(["cores"]);
    expect(suite.spooled()).toHaveLength(1);
    table.saw("the kernel's values are the old ones, our files are gone, the core that was left is there");
  });
});
