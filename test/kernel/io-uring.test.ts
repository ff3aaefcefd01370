import { existsSync, mkdirSync, rmdirSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { compileCrashPrograms } from "../helpers/crash-programs.ts";
import { readKernelSettings } from "../helpers/kernel-state.ts";
import { runCrash } from "../helpers/run-crash.ts";
import { describeUnless } from "../helpers/skip.ts";
import { kernelSuiteUnavailable, setUpKernel } from "./suite.ts";

const MIB = 1024 * 1024;
const POD_UID = "5b0a5d2e-8f4c-4f3b-9a57-0c6a1f6e2d11";
const CONTAINER = "c".repeat(64);

const root = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].find((path) => existsSync(join(path, "cgroup.procs")));
const unavailable = root === undefined ? "this machine has no cgroup2 file system" : undefined;

describeUnless(kernelSuiteUnavailable() ?? unavailable, "a program with an io_uring", () => {
  const suite = setUpKernel();
  const cgroup = join(root ?? "", "kubepods", `pod${POD_UID}`, CONTAINER);
  beforeAll(() => void mkdirSync(cgroup, { recursive: true }));
  afterAll(() => {
    for (const path of [cgroup, dirname(cgroup), dirname(dirname(cgroup))]) {
      try {
        rmdirSync(path);
      } catch {
        // A node's own pods are in it.
      }
    }
  });

  const inPod = ["-c", `echo $$ > ${cgroup}/cgroup.procs; exec "$0" "$@"`, compileCrashPrograms()["io-uring"], "64"];

  it("is attributed to its pod although the kernel does not wait, and its bundle says why its core is short", async () => {
    const steps: string[] = [];
    for (let crash = 0; crash < 8; crash += 1) {
      const { pid } = await runCrash("/bin/sh", inPod);
      const { manifest } = await suite.composer.bundleOf(pid);
      expect(manifest.pod?.uid).toBe(POD_UID);
      expect(manifest.container?.id).toBe(CONTAINER);
      if (manifest.problems.some(({ code }) => code === "CDH_PROCESS_ENDED")) steps.push("ended before the look");
      if (manifest.core.complete) continue;
      expect(manifest.core).toMatchObject({ truncatedBy: "shortRead" });
      expect(manifest.problems).toContainEqual({
        step: "drain",
        code: "CDH_KERNEL_STOPPED",
        detail: expect.stringContaining("io_uring") as string,
      });
      steps.push("short");
    }
    process.stderr.write(`io_uring: ${steps.join(", ")}\n`);
    // Elsewhere the kernel may have finished some; all of them would mean that this tests nothing.
    expect(steps).toContain("short");
  });

  it("leaves its core whole in a plain file", async () => {
    const { corePattern } = readKernelSettings();
    const path = join(suite.scratch, "core");
    suite.hold.set({ corePattern: `${path}.%P` });
    try {
      const { pid } = await runCrash("/bin/sh", inPod);
      expect(statSync(`${path}.${pid}`).size).toBeGreaterThan(64 * MIB);
    } finally {
      suite.hold.set({ corePattern });
    }
  });
});
