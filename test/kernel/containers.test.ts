import { execFileSync } from "node:child_process";
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { Crictl } from "@cdh/core/container/crictl";
import { asObjects } from "@cdh/core/container/json";
import { crashLine } from "@cdh/core/report/crash-line";
import { readContainer, readPod } from "../../packages/core/src/container/crictl-facts.ts";
import type { OpenBundle } from "../helpers/bundle-files.ts";
import { containerdUnavailable, startRealContainerd, type RealContainerd } from "../helpers/real-containerd.ts";
import { describeUnless, skipAloud } from "../helpers/skip.ts";
import { findTool } from "../helpers/tools.ts";
import { kernelSuiteUnavailable, setUpKernel } from "./suite.ts";

/** Where the composer looks for a runtime's records on its own node; this one is nobody's on a development machine. */
const STATE = "/run/k0s/containerd";
const taken = existsSync("/run/k0s") ? "/run/k0s is somebody's here" : undefined;

describeUnless(
  kernelSuiteUnavailable() ?? containerdUnavailable() ?? taken,
  "crashes in pods of a real containerd",
  () => {
    const suite = setUpKernel({
      settings: { IGNORE_CRIO: "false", USE_CRIO_CONF: "true", RLIMIT_CORE: "ignore", METADATA_TIMEOUT: "3" },
    });
    let runtime: RealContainerd;

    beforeAll(async () => {
      runtime = await startRealContainerd();
      mkdirSync("/run/k0s");
      symlinkSync(join(runtime.host, "run/containerd"), STATE);
      cpSync(runtime.crictl, join(suite.composer.hostDir, "crictl"));
      writeFileSync(
        join(suite.composer.hostDir, "crictl.yaml"),
        `runtime-endpoint: unix://${runtime.socket}\nimage-endpoint: unix://${runtime.socket}\ntimeout: 2\n`,
      );
    }, 60_000);

    afterAll(async () => {
      rmSync("/run/k0s", { recursive: true, force: true });
      await runtime?.[Symbol.asyncDispose]();
    }, 60_000);

    async function crash(containerId: string): Promise<OpenBundle> {
      const pid = runtime.pidOf(containerId);
      process.kill(pid, "SIGUSR1");
      return await suite.composer.bundleOf(pid);
    }

    it("have the same facts from a crictl of 2023 as from today's", async (context) => {
      const old = findTool("crictl-old");
      if (old.path === undefined) return skipAloud(context, old.reason);
      const { podA, serverA } = runtime.ids;
      const facts = async (file: string): Promise<unknown> => {
        const env = {
          PATH: "/bin:/usr/bin",
          CONTAINER_RUNTIME_ENDPOINT: `unix://${runtime.socket}`,
          IMAGE_SERVICE_ENDPOINT: `unix://${runtime.socket}`,
        };
        const crictl = new Crictl(file, [], env, { timeoutMs: 30_000 });
        const valueOf = <T>(answer: { value: T } | { missing: string; detail?: string }): T => {
          if ("missing" in answer) throw new Error(`${file}: ${answer.missing}: ${answer.detail ?? ""}`);
          return answer.value;
        };
        return {
          byName: valueOf(await crictl.podsByName("web-0")).map(readPod),
          byId: valueOf(await crictl.podById(podA)).map(readPod),
          pod: readPod(valueOf(await crictl.inspectPod(podA))),
          containers: asObjects(valueOf(await crictl.containersOf(podA))["containers"]).map(readContainer),
          container: readContainer(valueOf(await crictl.inspectContainer(serverA))),
          images: valueOf(await crictl.images()).map(({ id, repoTags, repoDigests }) => ({
            id,
            repoTags,
            repoDigests,
          })),
          logs: valueOf(await crictl.logs(serverA, 20)),
        };
      };
      const today = (await facts(runtime.crictl)) as { byName: object[]; container: object };
      expect(today.byName.length).toBe(2);
      expect(today.container).toMatchObject({ id: serverA, name: "server", sandboxId: podA });
      expect(await facts(old.path)).toEqual(today);
    });

    it("are attributed to the right one of two pods of one name, and to the container that crashed", async () => {
      const { manifest, entries } = await crash(runtime.ids.serverA);
      expect(manifest).toMatchObject({
        identity: { source: "oci-config", verified: true },
        pod: {
          name: "web-0",
          namespace: "shop",
          uid: "3b0a5d2e-8f4c-4f3b-9a57-0c6a1f6e2d11",
          sandboxId: runtime.ids.podA,
          labels: { app: "web" },
          owner: { kind: "StatefulSet", name: "web" },
        },
        container: {
          id: runtime.ids.serverA,
          name: "server",
          runtime: "containerd",
          imageRef: "cdh.test/crasher:1.2",
          restartCount: 2,
        },
        process: { cmdline: ["/crasher"], exe: "/crasher" },
        signal: { name: "SIGSEGV", codeName: "SEGV_MAPERR", faultAddress: "0x1234" },
        core: { complete: true },
      });
      // The containers of a pod share their pid namespace here, so the number is small, and it is not the host's.
      expect(manifest.process.pidInNamespace).toBeLessThan(manifest.process.pid ?? 0);
      const names = entries.map(({ name }) => name.slice(manifest.bundle.length - ".zip".length));
      for (const suffix of [
        "-pod-info.json",
        "-runtime-info.json",
        "-ps-info.json",
        "-0.log",
        "-1.log",
        "-0-image-info.json",
        "-proc/maps",
      ]) {
        expect(names).toContain(suffix);
      }
    });

    it("are attributed to the other one too, and name the function, though its image is deleted", async () => {
      execFileSync(runtime.crictl, ["--runtime-endpoint", `unix://${runtime.socket}`, "rmi", "cdh.test/crasher:1.2"], {
        stdio: "pipe",
      });
      const { manifest } = await crash(runtime.ids.serverB);
      expect(crashLine(manifest)).toMatch(/^SIGSEGV \(null pointer\) in crash\(\) ← /);
      expect(manifest).toMatchObject({
        identity: { source: "oci-config", verified: true },
        pod: { name: "web-0", namespace: "bank" },
        container: { name: "server", restartCount: 0 },
      });
    });

    it("are known without the runtime's records by asking crictl for the very container", async () => {
      rmSync(STATE);
      try {
        const { manifest } = await crash(runtime.ids.sidecarA);
        expect(manifest).toMatchObject({
          identity: { source: "crictl", verified: true },
          pod: { name: "web-0", namespace: "shop" },
          container: { name: "sidecar" },
        });
      } finally {
        symlinkSync(join(runtime.host, "run/containerd"), STATE);
      }
    });

    it("are not kept where NAMESPACE_EXCLUDE says so, and the log says why", async () => {
      const file = join(suite.composer.hostDir, ".env");
      const before = readFileSync(file, "utf8");
      const bundles = suite.composer.published();
      writeFileSync(file, `${before}\nNAMESPACE_EXCLUDE=bank,sh*\n`);
      try {
        process.kill(runtime.pidOf(runtime.ids.podA), "SIGUSR1");
        const notKept = (): unknown[] => suite.composer.log().filter(({ msg }) => msg === "crash not kept");
        await expect
          .poll(notKept, { timeout: 30_000 })
          .toMatchObject([{ reason: "namespace excluded", namespace: "shop", pod: expect.any(String) as string }]);
        expect(suite.composer.published()).toEqual(bundles);
      } finally {
        writeFileSync(file, before);
      }
    });

    it("of a pause container, with a crictl that hangs, cost the deadline and not the identity", async () => {
      const crictl = join(suite.composer.hostDir, "crictl");
      writeFileSync(crictl, "#!/bin/sh\nsleep 600\n");
      chmodSync(crictl, 0o755);
      const { manifest } = await crash(runtime.ids.podB);
      expect(manifest).toMatchObject({
        identity: { source: "oci-config", verified: true },
        pod: { namespace: "bank", sandboxId: runtime.ids.podB },
        core: { complete: true },
      });
      expect(manifest.problems).toContainEqual(expect.objectContaining({ code: "CDH_CRICTL_TIMEOUT" }));
      expect(manifest.composer.durationMs).toBeLessThan(10_000);
    });
  },
);
