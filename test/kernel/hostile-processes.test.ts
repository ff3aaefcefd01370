import { chmodSync, copyFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { buildImage } from "@cdh/core/testing/core-builder";
import { compileCrashPrograms } from "../helpers/crash-programs.ts";
import { runCrash } from "../helpers/run-crash.ts";
import { describeUnless } from "../helpers/skip.ts";
import { kernelSuiteUnavailable, setUpKernel } from "./suite.ts";

const MIB = 1024 * 1024;
const NOBODY = ["--reuid=65534", "--regid=65534", "--clear-groups"];

describeUnless(kernelSuiteUnavailable("setpriv"), "a program of a user without any right", () => {
  const suite = setUpKernel({ wrapper: "measured" });

  it.each([
    { title: "nested deeper than any parser likes", note: `{"a":${"[".repeat(7990)}${"]".repeat(7990)}}` },
    { title: "nested within what is read", note: `{"a":${"[".repeat(2000)}${"]".repeat(2000)}}` },
    { title: "wide", note: `{"a":[${"{},".repeat(1300)}{}]}` },
  ])("takes no gigabytes by files with a package note that is $title", async ({ note }) => {
    chmodSync(suite.scratch, 0o755);
    const program = join(suite.scratch, "mapper");
    copyFileSync(compileCrashPrograms().mapper, program);
    chmodSync(program, 0o755);
    const file = join(suite.scratch, "lib.bin");
    const desc = Buffer.from(`${note}\0`);
    writeFileSync(
      file,
      buildImage(
        [
          { name: "GNU", type: 3, desc: new Uint8Array(20).fill(7) },
          { name: "FDO", type: 0xcafe1a7e, desc },
        ],
        { length: 20480 },
      ),
    );
    chmodSync(file, 0o644);
    const before = suite.composer.measurements().length;
    // Eight such mappings took 2.06 GB of the node once.
    const crash = await runCrash("/usr/bin/setpriv", [...NOBODY, program, file, "64"]);
    expect(crash).toMatchObject({ signalName: "SIGABRT", coreDumped: true });
    const { manifest } = await suite.composer.bundleOf(crash.pid);
    expect(manifest.process).toMatchObject({ uid: 65534, exe: program });
    expect(manifest.core.complete).toBe(true);
    expect(manifest.modules?.filter(({ path }) => path === file).length).toBeGreaterThan(8);
    await expect.poll(() => suite.composer.measurements().length).toBeGreaterThan(before);
    for (const { maxRssBytes } of suite.composer.measurements().slice(before))
      expect(maxRssBytes).toBeLessThan(128 * MIB);
  });
});

describeUnless(kernelSuiteUnavailable(), "a thread with a uid of its own", () => {
  const suite = setUpKernel();

  it("is the crashed process's: all that /proc says of it is kept", async () => {
    const crash = await runCrash(compileCrashPrograms()["own-uid"]);
    expect(crash).toMatchObject({ signalName: "SIGSEGV", coreDumped: true });
    const { manifest, entries } = await suite.composer.bundleOf(crash.pid);
    expect(manifest.problems.filter(({ step }) => step === "process" || step === "identity")).toEqual([]);
    expect(manifest.identity?.verified).toBe(true);
    expect(manifest.process).toMatchObject({ uid: 1000, gid: 1000 });
    expect(manifest.process.tid).not.toBe(crash.pid);
    expect(entries.some(({ name }) => name.endsWith("-proc/maps"))).toBe(true);
  });
});

describeUnless(kernelSuiteUnavailable(), "a composer that reaches MEMORY_MAX under the kernel", () => {
  // The bound must be above what the composer holds before any core comes, since the installation proves itself by a small crash
  // under it; 48M left no room for that. A core of 400 MB that does not compress takes its composer past 64M as well.
  const suite = setUpKernel({ settings: { MEMORY_MAX: "64M" } });

  it("lets the crashed process go and publishes what it has", async () => {
    const crash = await runCrash(compileCrashPrograms().fill, ["400", "random"]);
    expect(crash).toMatchObject({ coreDumped: true });
    const published = () => suite.composer.published().length;
    await expect.poll(published, { timeout: 60_000 }).toBe(1);
    expect(suite.composer.log().some(({ msg }) => String(msg).startsWith("memory limit reached"))).toBe(true);
    expect(suite.composer.spoolNames().filter((name) => name.endsWith(".partial"))).toEqual([]);
  });
});
