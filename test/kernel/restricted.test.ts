import { statSync } from "node:fs";
import { expect, it } from "vitest";
import { compileCrashPrograms } from "../helpers/crash-programs.ts";
import { runCrash } from "../helpers/run-crash.ts";
import { describeUnless } from "../helpers/skip.ts";
import { kernelSuiteUnavailable, setUpKernel } from "./suite.ts";

const NOBODY = 65_534;

describeUnless(kernelSuiteUnavailable(), "a process that dropped its rights (dump mode 2)", () => {
  const suite = setUpKernel();

  it("leaves a whole bundle that is marked restricted and that only root can read", async () => {
    suite.hold.set({ suidDumpable: "2" });
    const crash = await runCrash(compileCrashPrograms().dropped);
    expect(crash).toMatchObject({ signalName: "SIGSEGV", coreDumped: true });
    const { manifest, path } = await suite.composer.bundleOf(crash.pid);
    expect(manifest).toMatchObject({ restricted: true, process: { uid: NOBODY, gid: NOBODY, dumpMode: 2 } });
    expect(manifest.core.complete).toBe(true);
    expect(statSync(path)).toMatchObject({ uid: 0, gid: 0 });
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  it("is not marked when an ordinary process crashes beside it", async () => {
    const crash = await runCrash(compileCrashPrograms().segv);
    const { manifest } = await suite.composer.bundleOf(crash.pid);
    expect(manifest.process.dumpMode).toBe(1);
    expect(manifest.restricted).toBeUndefined();
  });
});
