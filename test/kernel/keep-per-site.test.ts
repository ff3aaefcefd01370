import { readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, it, vi } from "vitest";
import type { CrashGroup } from "@cdh/core/groups/crash-groups";
import { buildBugProgram, BUG_PROGRAMS } from "../helpers/bug-programs.ts";
import { runBuilt } from "../helpers/built.ts";
import type { OpenBundle } from "../helpers/bundle-files.ts";
import { compileCrashPrograms } from "../helpers/crash-programs.ts";
import { runCrash, type CrashOptions } from "../helpers/run-crash.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless } from "../helpers/skip.ts";
import { kernelSuiteUnavailable, setUpKernel } from "./suite.ts";

/** With `CDH_PLACES=all` five bugs of each language; else two of two, which takes a minute less. */
const ALL = process.env["CDH_PLACES"] === "all";
const PROGRAMS = ALL ? ["shop", "store", "market", "stall"] : ["shop", "store"];
const NUMBERS = ALL ? [1, 2, 3, 4, 5] : [1, 2];

describeUnless(kernelSuiteUnavailable(), "KEEP_PER_SITE", () => {
  const suite = setUpKernel({ settings: { KEEP_PER_SITE: "2/1h" } });
  const folder = scratchDirectory("keep-per-site");

  afterEach(() => rmSync(join(suite.composer.coreDir, "state"), { recursive: true, force: true }));

  const crash = async (path: string, args: string[] = [], options: CrashOptions = {}): Promise<OpenBundle> => {
    const { pid, signalName } = await runCrash(path, args, options);
    expect(signalName).toBeDefined();
    const bundle = await suite.composer.bundleOf(pid, 60_000);
    // What a composer remembers of its core comes after the bundle.
    await vi.waitFor(() => expect(suite.composer.running()).toEqual([]), { timeout: 20_000 });
    return bundle;
  };

  it("takes two whole cores of a place; the next crashes are reports, with all that is not memory", async () => {
    const { segv } = compileCrashPrograms();
    const bundles = [await crash(segv), await crash(segv), await crash(segv), await crash(segv)];
    expect(bundles.map(({ manifest }) => manifest.core.complete)).toEqual([true, true, false, false]);
    const [, second, third] = bundles.map(({ manifest }) => manifest);
    expect(third?.core).toMatchObject({ sizeBytes: 0, truncatedBy: "keptEnough" });
    expect(third?.wholeCore).toEqual({ crashId: second?.crashId, bundle: second?.bundle });
    expect(third?.signature).toBe(second?.signature);
    expect(third?.site).toBe(second?.site);
    expect(third?.modules).toEqual(
      second?.modules?.map((module) => expect.objectContaining({ buildId: module.buildId })),
    );
    const registers = (manifest = second): string[] => Object.keys(manifest?.threads?.[0]?.registers ?? {});
    expect(registers(third)).toEqual(registers());
    expect(third?.threads?.[0]?.stack?.frames.length).toBe(second?.threads?.[0]?.stack?.frames.length);
    expect(third?.problems).toEqual(second?.problems);
    const { stdout } = await runBuilt("cdh-inspect", ["groups", "-o", "json", suite.composer.coreDir]);
    const { groups } = JSON.parse(stdout) as { groups: CrashGroup[] };
    expect(groups.find(({ signature }) => signature === third?.signature)).toMatchObject({ count: 4, wholeCores: 2 });
  });

  it("of other bugs of the same program, and of another program, takes its own", async () => {
    for (const name of PROGRAMS) {
      const program = BUG_PROGRAMS.find((each) => each.name === name);
      const variant = program?.variants[0];
      if (program === undefined || variant === undefined) throw new Error(`no program ${name}`);
      const path = buildBugProgram(program, variant, folder);
      const options = { env: { GOTRACEBACK: "crash" } };
      for (const number of NUMBERS) {
        const bundles = [];
        for (let time = 0; time < 3; time += 1)
          bundles.push(await crash(path, [String(number), ...variant.args], options));
        const kept = bundles.map(({ manifest }) => manifest.core.truncatedBy ?? "whole");
        expect(kept, `${name} ${number}`).toEqual(["whole", "whole", "keptEnough"]);
      }
    }
  }, 300_000);

  it("takes the core when what was remembered is damaged, and says so", async () => {
    const { abrt } = compileCrashPrograms();
    for (let time = 0; time < 3; time += 1) await crash(abrt);
    writeFileSync(join(suite.composer.coreDir, "state/kept-cores.json"), '{"torn":');
    const { manifest } = await crash(abrt);
    expect(manifest.core.complete).toBe(true);
    expect(manifest.problems).toContainEqual(expect.objectContaining({ step: "keepPerSite", code: "CDH_DAMAGED" }));
  });

  it("does not count cores that were cut", async () => {
    const { segv } = compileCrashPrograms();
    const rlimitCore = { soft: 65_536, hard: "unlimited" } as const;
    const cut = [await crash(segv, [], { rlimitCore }), await crash(segv, [], { rlimitCore })];
    expect(cut.map(({ manifest }) => manifest.core.truncatedBy)).toEqual(["rlimit", "rlimit"]);
    expect((await crash(segv)).manifest.core.complete).toBe(true);
    expect(readdirSync(join(suite.composer.coreDir, "state"))).toContain("kept-cores.json");
  });
});
