import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { runBuilt } from "../helpers/built.ts";
import { compileCrashPrograms } from "../helpers/crash-programs.ts";
import { runCrash } from "../helpers/run-crash.ts";
import { describeUnless } from "../helpers/skip.ts";
import { kernelSuiteUnavailable, setUpKernel } from "./suite.ts";

/** Each takes nearly a page of NT_FILE, of which the kernel writes 4 MiB or nothing. */
const MAPPINGS = 1150;

describeUnless(kernelSuiteUnavailable(), "a program with so many mappings that the kernel lists none", () => {
  const suite = setUpKernel();

  it.each([
    { title: "with its core", rlimitCore: { soft: "unlimited", hard: "unlimited" } as const },
    { title: "of which no core is kept", rlimitCore: { soft: 0, hard: 0 } as const },
  ])("has its modules in the manifest, with their build-ids: $title", async ({ rlimitCore }) => {
    const directory = join(suite.scratch, ...Array.from({ length: 15 }, () => "d".repeat(250)));
    mkdirSync(directory, { recursive: true });
    const [data, program] = [join(directory, "data"), join(suite.scratch, "mapper")];
    writeFileSync(data, Buffer.alloc(20480, 1));
    copyFileSync(compileCrashPrograms().mapper, program);
    const crash = await runCrash(program, [data, String(MAPPINGS)], { rlimitCore });
    expect(crash.signalName).toBe("SIGABRT");
    const { manifest, path } = await suite.composer.bundleOf(crash.pid);
    const buildId = expect.stringMatching(/^[0-9a-f]{40}$/) as string;
    expect(manifest.modules?.map(({ path: file }) => file.replace(/^.*\//, ""))).toEqual(
      expect.arrayContaining(["mapper", "[vdso]", expect.stringMatching(/^libc\b/), expect.stringMatching(/^ld-/)]),
    );
    for (const module of manifest.modules ?? []) expect(module).toMatchObject({ buildId });
    expect(manifest.process).toMatchObject({ exe: program, exeBuildId: buildId });
    expect(manifest.problems.filter(({ step }) => step === "core")).toEqual([]);
    // Nothing that is listed is missing, and the inspector says so by its status.
    const shown = await runBuilt("cdh-inspect", ["modules", path]);
    expect(shown, shown.stderr).toMatchObject({ exitCode: 0, stdout: expect.stringContaining(program) as string });
  });
});
