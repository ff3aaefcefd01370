import { readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, expect, it } from "vitest";
import { compileCrashPrograms } from "../helpers/crash-programs.ts";
import { readKernelSettings } from "../helpers/kernel-state.ts";
import { runCrash } from "../helpers/run-crash.ts";
import { describeUnless } from "../helpers/skip.ts";
import { kernelSuiteUnavailable, setUpKernel } from "./suite.ts";

const DAY_S = 24 * 3600;

describeUnless(kernelSuiteUnavailable(), "a handler that nobody looks after", () => {
  const suite = setUpKernel();
  let ours: string;

  beforeEach(() => {
    ours = readKernelSettings().corePattern;
    rmSync(mark(), { force: true });
  });

  const mark = (): string => join(suite.composer.hostDir, ".watch-lease-expired");

  /** Leave a lease that was last renewed so long ago, as a watch does that is gone. */
  function leaveLease(ageSeconds: number): void {
    const lease = join(suite.composer.hostDir, ".watch-lease");
    const at = Date.now() / 1000 - ageSeconds;
    writeFileSync(lease, "a watch that is gone\n", { mode: 0o600 });
    utimesSync(lease, at, at);
  }

  /** Note, as a composer does, that the lease was seen expired so long ago. */
  function leaveMark(ageMs: number): void {
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    const uptimeMs = Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]) * 1000;
    writeFileSync(mark(), JSON.stringify({ boot, uptimeMs: Math.max(0, uptimeMs - ageMs) }));
  }

  async function crash(): Promise<void> {
    const { pid } = await runCrash(compileCrashPrograms().fill, ["1", "mixed"]);
    // The lease is looked at when the crash is kept: every one of these is.
    const { manifest } = await suite.composer.bundleOf(pid);
    expect(manifest.core.complete).toBe(true);
    // And after it is published: the next test's lease is not for this composer.
    await expect.poll(() => suite.composer.running(), { timeout: 120_000 }).toEqual([]);
  }

  it("goes on without a lease, and with one of yesterday", async () => {
    await crash();
    leaveLease(DAY_S);
    leaveMark(3_600_000);
    await crash();
    expect(readKernelSettings().corePattern).toBe(ours);
  });

  it("does not believe the first look at a lease that is eight days old: a clock may have jumped", async () => {
    leaveLease(8 * DAY_S);
    await crash();
    await expect
      .poll(() => readMark(mark()), { timeout: 10_000 })
      .toMatchObject({ boot: expect.any(String) as string });
    await crash();
    expect(readKernelSettings().corePattern).toBe(ours);
  });

  it("keeps that crash too, and gives the kernel the node's own values back", async () => {
    leaveLease(8 * DAY_S);
    leaveMark(11 * 60_000);
    await crash();
    await expect.poll(() => readKernelSettings().corePattern, { timeout: 10_000 }).toBe("core");
    expect(readKernelSettings()).toMatchObject({ corePattern: "core", corePipeLimit: "16", suidDumpable: "2" });
    const said = suite.composer.log().find(({ kind }) => kind === "given-back");
    expect(said).toMatchObject({ level: "error", since: "8d 0h" });
  });
});

function readMark(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch {
    return undefined;
  }
}
