import { rmSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { compileCrashPrograms } from "../helpers/crash-programs.ts";
import { runCrash } from "../helpers/run-crash.ts";
import { describeUnless } from "../helpers/skip.ts";
import { kernelSuiteUnavailable, setUpKernel } from "./suite.ts";

const MIB = 1024 * 1024;

describeUnless(kernelSuiteUnavailable(), "a process that may leave no core", () => {
  const suite = setUpKernel();

  it("is known all the same: the kernel starts the handler, which honours the limit and says so", async () => {
    const crash = await runCrash(compileCrashPrograms().nocore);
    const { manifest, entries } = await suite.composer.bundleOf(crash.pid);
    expect(manifest.process.rlimitCoreBytes).toBe(0);
    expect(manifest.core).toMatchObject({ sizeBytes: 0, complete: false, truncatedBy: "rlimit" });
    expect(manifest.signal).toMatchObject({ number: 11, name: "SIGSEGV" });
    expect(entries.some(({ name }) => name.endsWith("-proc/maps"))).toBe(true);
  });

  it("with a limit of 1 MiB leaves 1 MiB", async () => {
    const crash = await runCrash(compileCrashPrograms().pattern300, ["8"], {
      rlimitCore: { soft: MIB, hard: "unlimited" },
    });
    const bundle = await suite.composer.bundleOf(crash.pid);
    expect(bundle.manifest.process.rlimitCoreBytes).toBe(MIB);
    expect(bundle.manifest.core).toMatchObject({ sizeBytes: MIB, complete: false, truncatedBy: "rlimit" });
    expect(bundle.manifest.core.expectedBytes).toBeGreaterThan(8 * MIB);
    expect((await bundle.unpackCore(suite.scratch)).sha256).toBe(bundle.manifest.core.sha256);
  });
});

describeUnless(kernelSuiteUnavailable(), "RLIMIT_CORE=ignore", () => {
  const suite = setUpKernel({ settings: { RLIMIT_CORE: "ignore" } });

  it("keeps the whole core of a process that may leave none", async () => {
    const crash = await runCrash(compileCrashPrograms().nocore);
    const { manifest } = await suite.composer.bundleOf(crash.pid);
    expect(manifest.process.rlimitCoreBytes).toBe(0);
    expect(manifest.core).toMatchObject({ complete: true });
    expect(manifest.core.sizeBytes).toBeGreaterThan(0);
  });
});

describeUnless(kernelSuiteUnavailable(), "RATE_LIMIT", () => {
  const suite = setUpKernel({ settings: { RATE_LIMIT: "2/1h" } });

  it("keeps two crashes of one program, counts the others, and lets another program through", async () => {
    const { segv, abrt } = compileCrashPrograms();
    // What a former try left counts too: it would have used the limit up.
    rmSync(join(suite.composer.coreDir, "state"), { recursive: true, force: true });
    const before = suite.composer.published().length;
    const first = await runCrash(segv);
    await suite.composer.bundleOf(first.pid);
    const second = await runCrash(segv);
    await suite.composer.bundleOf(second.pid);
    for (let i = 0; i < 3; i++) expect((await runCrash(segv)).signalName).toBe("SIGSEGV");
    const other = await runCrash(abrt);
    await suite.composer.bundleOf(other.pid);
    expect(suite.composer.published().length - before).toBe(3);
    expect(suite.composer.spoolNames().filter((name) => name.endsWith(".partial"))).toEqual([]);
  });
});
