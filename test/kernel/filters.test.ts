import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { compileCrashPrograms } from "../helpers/crash-programs.ts";
import { runCrash } from "../helpers/run-crash.ts";
import { describeUnless } from "../helpers/skip.ts";
import { kernelSuiteUnavailable, setUpKernel } from "./suite.ts";

describeUnless(kernelSuiteUnavailable(), "crashes that are not wanted", () => {
  const suite = setUpKernel({ settings: { COMM_EXCLUDE: "abrt,hostile*", SIGNAL_EXCLUDE: "SIGQUIT,8" } });

  it("leave nothing, and the others are kept", async () => {
    const programs = compileCrashPrograms();
    const before = suite.composer.published().length;
    for (const program of ["abrt", "quit", "fpe"] as const) {
      const crash = await runCrash(programs[program], [], { timeoutMs: 20_000 });
      expect(crash.coreDumped).toBe(true);
    }
    const wanted = await runCrash(programs.segv);
    await suite.composer.bundleOf(wanted.pid);
    expect(suite.composer.published().length - before).toBe(1);
    expect(suite.composer.spoolNames().filter((name) => name.endsWith(".partial"))).toEqual([]);
  });
});

describeUnless(kernelSuiteUnavailable(), "HOST_CRASHES=ignore", () => {
  const suite = setUpKernel({ settings: { HOST_CRASHES: "ignore" } });

  it("drops the core of a process that is in no container", async () => {
    const before = suite.composer.log().length;
    const crash = await runCrash(compileCrashPrograms().pattern300, ["64"], { timeoutMs: 30_000 });
    expect(crash.signalName).toBe("SIGSEGV");
    await expect.poll(() => suite.composer.log().length, { timeout: 10_000 }).toBeGreaterThan(before);
    expect(suite.composer.spoolNames().filter((name) => name.includes(".zip"))).toEqual([]);
  });
});

describeUnless(kernelSuiteUnavailable(), "HOST_CRASHES=chain", () => {
  const suite = setUpKernel({ settings: { HOST_CRASHES: "chain" } });

  it("hands the core on to the handler that was there before, with its own words", async () => {
    const handler = join(suite.scratch, "before");
    const [words, core] = [join(suite.scratch, "words"), join(suite.scratch, "core")];
    for (const left of [words, core]) rmSync(left, { force: true });
    writeFileSync(handler, `#!/bin/sh\necho "$@" >${words}\n/bin/cat >${core}.new\n/bin/mv ${core}.new ${core}\n`, {
      mode: 0o755,
    });
    writeFileSync(join(suite.composer.hostDir, "core_pattern.bak"), `|${handler} %P %s %e\n`);
    const crash = await runCrash(compileCrashPrograms().pattern300, ["16"], { timeoutMs: 30_000 });
    await expect.poll(() => existsSync(core), { timeout: 10_000 }).toBe(true);
    expect(readFileSync(words, "utf8").trim()).toBe(`${crash.pid} 11 pattern300`);
    const bytes = readFileSync(core);
    expect(bytes.subarray(0, 4).toString("latin1")).toBe("\u007fELF");
    expect(bytes.length).toBeGreaterThan(16 * 1024 * 1024);
    expect(suite.composer.spoolNames().filter((name) => name.includes(".zip"))).toEqual([]);
  });
});
