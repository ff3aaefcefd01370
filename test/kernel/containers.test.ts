import { chmodSync, cpSync, existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { OpenBundle } from "../helpers/bundle-files.ts";
import { containerdUnavailable, startRealContainerd, type RealContainerd } from "../helpers/real-containerd.ts";
import { describeUnless } from "../helpers/skip.ts";
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

    it("are attributed to the other one too, which is Guaranteed and has no level of its own", async () => {
      const { manifest } = await crash(runtime.ids.serverB);
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
