import { cpSync, existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { OpenBundle } from "../helpers/bundle-files.ts";
import { describeUnless, skipAloud } from "../helpers/skip.ts";
import { findTool } from "../helpers/tools.ts";
import { kernelSuiteUnavailable, setUpKernel } from "../kernel/suite.ts";
import { makeCaseTable } from "../pods/case-table.ts";
import { CRASHER, makeCrasher } from "../pods/images.ts";
import { expectSoon } from "../pods/soon.ts";
import { startCrashingPod, type CrashingPod } from "./crashing-pod.ts";
import { runtimeUnavailable, startRuntimeNode, type RuntimeKind, type RuntimeNode } from "./runtime-node.ts";

/** What the manifest calls each of them. */
const RUNTIME_NAMES: Record<RuntimeKind, string> = { crio: "cri-o", "crio-systemd": "cri-o", docker: "docker" };

for (const kind of ["crio", "crio-systemd", "docker"] as const) {
  describeUnless(kernelSuiteUnavailable() ?? runtimeUnavailable(kind), `crashes in pods of a real ${kind}`, () => {
    const suite = setUpKernel({
      settings: { IGNORE_CRIO: "false", USE_CRIO_CONF: "true", RLIMIT_CORE: "ignore", METADATA_TIMEOUT: "30" },
    });
    let node: RuntimeNode;
    const table = makeCaseTable(() => `Pods of ${node?.version ?? kind}`);

    beforeAll(async () => {
      node = await startRuntimeNode(kind);
      for (const image of await makeCrasher(suite.scratch)) await node.importImage(image);
      cpSync(findTool("crictl").path ?? "", join(suite.composer.hostDir, "crictl"));
      writeFileSync(
        join(suite.composer.hostDir, "crictl.yaml"),
        `runtime-endpoint: unix://${node.socket}\nimage-endpoint: unix://${node.socket}\ntimeout: 10\n`,
      );
    }, 120_000);

    afterAll(async () => {
      await node?.[Symbol.asyncDispose]();
    }, 60_000);

    async function crash(containerId: string): Promise<OpenBundle> {
      const pid = node.pidOf(containerId);
      process.kill(pid, "SIGUSR1");
      return await suite.composer.bundleOf(pid, 60_000);
    }

    /** What every manifest of a pod's container must say. */
    const attributed = (pod: CrashingPod, id: string, name: string, restartCount = 0) => ({
      identity: { source: "oci-config", verified: true },
      pod: {
        name: pod.config.metadata.name,
        namespace: pod.config.metadata.namespace,
        uid: pod.uid,
        sandboxId: pod.id,
      },
      container: {
        id,
        name,
        runtime: RUNTIME_NAMES[kind],
        imageRef: CRASHER,
        imageId: expect.stringMatching(/[0-9a-f]{64}$/) as string,
        restartCount,
      } as Record<string, unknown>,
      signal: { name: "SIGSEGV", codeName: "SEGV_MAPERR", faultAddress: "0x1234" },
      core: { complete: true },
      problems: [],
    });
    const logsOf = async (bundle: OpenBundle): Promise<string[]> => {
      const names = bundle.entries.map(({ name }) => name).filter((name) => /-\d+\.log$/.test(name));
      return await Promise.all(names.map(async (name) => (await bundle.read(name)).toString()));
    };
    const cgroupOf = async (bundle: OpenBundle): Promise<string> =>
      (await bundle.read("-proc/cgroup"))
        .toString()
        .split("\n")
        .find((line) => line.includes("kubepods")) ?? "";

    it("two containers, of which one crashes", async () => {
      const labels = { app: "web", "statefulset.kubernetes.io/pod-name": "web-0", "info.coredump.owner": "team-a" };
      const pod = await startCrashingPod(node, { namespace: "shop", name: "web-0", labels });
      const other = await pod.start("server");
      const id = await pod.start("sidecar");
      const bundle = await crash(id);
      expect(bundle.manifest).toMatchObject(attributed(pod, id, "sidecar"));
      expect(bundle.manifest.pod?.labels).toEqual(labels);
      expect(bundle.manifest.pod?.owner).toEqual({ kind: "StatefulSet", name: "web" });
      const names = bundle.entries.map(({ name }) => name.slice(bundle.manifest.bundle.length - ".zip".length));
      expect(names).toEqual(
        expect.arrayContaining(["-pod-info.json", "-runtime-info.json", "-ps-info.json", "-0-image-info.json"]),
      );
      expect(names).toContain("-1-image-info.json");
      expect(await logsOf(bundle)).toEqual(Array(2).fill("first line of 1\nlast line of 1\n"));
      expect(node.pidOf(other)).toBeGreaterThan(0);
      table.saw(await cgroupOf(bundle));
    });

    it("two pods of one name in two namespaces, one of them Guaranteed", async () => {
      const pods = [
        await startCrashingPod(node, { namespace: "blue", name: "same-0", labels: { colour: "blue" } }),
        await startCrashingPod(node, {
          namespace: "green",
          name: "same-0",
          labels: { colour: "green" },
          qos: "guaranteed",
        }),
      ];
      const seen: string[] = [];
      for (const pod of pods) {
        const id = await pod.start("server");
        const bundle = await crash(id);
        expect(bundle.manifest).toMatchObject(attributed(pod, id, "server"));
        expect(bundle.manifest.pod?.labels).toMatchObject({ colour: pod.config.metadata.namespace });
        seen.push(`${bundle.manifest.pod?.namespace}/${bundle.manifest.pod?.name}`);
      }
      table.saw(seen.join(", "));
    });

    it("a pod in the node's network", async () => {
      const pod = await startCrashingPod(node, { namespace: "shop", name: "hostnet-0", hostNetwork: true });
      const id = await pod.start("server");
      const { manifest } = await crash(id);
      expect(manifest).toMatchObject(attributed(pod, id, "server"));
      table.saw(`${manifest.pod?.namespace}/${manifest.pod?.name}, host name ${manifest.process.hostname}`);
    });

    it("a container that was started again", async () => {
      const pod = await startCrashingPod(node, { namespace: "shop", name: "again-0" });
      await crash(await pod.start("server"));
      const id = await pod.start("server", 1);
      const bundle = await crash(id);
      expect(bundle.manifest).toMatchObject(attributed(pod, id, "server", 1));
      // The log of the start before is read too.
      expect(await logsOf(bundle)).toEqual(["first line of 1\nlast line of 1\n".repeat(2)]);
      table.saw("restart count 1, the log of both starts");
    });

    it("a log that was rotated", async (context) => {
      table.saw("not with docker");
      if (kind === "docker") return skipAloud(context, "docker rotates its own files, the kubelet leaves them alone");
      const pod = await startCrashingPod(node, { namespace: "shop", name: "rotated-0" });
      const id = await pod.start("server");
      // As the kubelet does it.
      const log = pod.logOf("server");
      renameSync(log, `${log}.20261121-101112`);
      await node.crictl("logs", "--reopen", id);
      await expectSoon("the runtime has a new file", () => existsSync(log));
      const bundle = await crash(id);
      expect(bundle.manifest).toMatchObject(attributed(pod, id, "server"));
      expect(await logsOf(bundle)).toEqual(["first line of 1\nlast line of 1\n"]);
      table.saw("the rotated file is read");
    });

    it("without the runtime's records: crictl, asked for the very container", async () => {
      const pod = await startCrashingPod(node, { namespace: "shop", name: "asked-0", labels: { app: "asked" } });
      const id = await pod.start("server");
      node.hideRecords(true);
      try {
        const { manifest } = await crash(id);
        const { problems: _problems, ...facts } = attributed(pod, id, "server");
        expect(manifest).toMatchObject({ ...facts, identity: { source: "crictl", verified: true } });
        expect(manifest.pod?.labels).toMatchObject({ app: "asked" });
      } finally {
        node.hideRecords(false);
      }
      table.saw("the same facts from crictl");
    });

    it("without crictl: the runtime's records", async () => {
      const pod = await startCrashingPod(node, { namespace: "shop", name: "files-0" });
      const id = await pod.start("server", 3);
      const file = join(suite.composer.hostDir, ".env");
      const before = readFileSync(file, "utf8");
      writeFileSync(file, before.replace(/^IGNORE_CRIO.*$/m, "IGNORE_CRIO=true"));
      try {
        const bundle = await crash(id);
        const facts = attributed(pod, id, "server", 3);
        // Docker's record holds the id that the kubelet asked for, and no name.
        if (kind === "docker") delete facts.container["imageRef"];
        expect(bundle.manifest).toMatchObject(facts);
        expect(await logsOf(bundle)).toEqual(["first line of 1\nlast line of 1\n"]);
      } finally {
        writeFileSync(file, before);
      }
      table.saw("all facts but the labels, and the log");
    });

    it("the pause container", async (context) => {
      table.saw("not with systemd here");
      if (kind === "crio-systemd")
        return skipAloud(context, "CRI-O gives its pause container a cpu.weight, and this v2 tree has no controllers");
      const pod = await startCrashingPod(node, { namespace: "shop", name: "pause-0", sharedPids: true });
      await pod.start("server");
      const { manifest } = await crash(pod.id);
      expect(manifest).toMatchObject({
        identity: { source: "oci-config", verified: true },
        pod: { name: "pause-0", namespace: "shop", uid: pod.uid, sandboxId: pod.id },
        container: { id: pod.id, runtime: RUNTIME_NAMES[kind] },
      });
      expect(manifest.container).not.toHaveProperty("name");
      table.saw(`${manifest.pod?.namespace}/${manifest.pod?.name}, no container's name`);
    });
  });
}
