import { loadavg } from "node:os";
import { expect, it } from "vitest";
import { BUG_PROGRAMS, bugProgramUnavailable, buildBugProgram, variantsHere } from "../helpers/bug-programs.ts";
import { groupsOf, judgeKeys, keepStack, writeLabelledStacks, type LabelledStack } from "../helpers/labelled-stacks.ts";
import { runCrash } from "../helpers/run-crash.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless } from "../helpers/skip.ts";
import { kernelSuiteUnavailable, setUpKernel } from "./suite.ts";

/** Crashes at once: as many as the node reads stacks of. */
const AT_ONCE = 2;
/** With `CDH_GROUPS=keep` all bugs, whose stacks are kept for the test of every day; else every fifth one. */
const KEEPS = process.env["CDH_GROUPS"] === "keep";
const EVERY = KEEPS ? 1 : 5;

const lacking = BUG_PROGRAMS.map(bugProgramUnavailable).find((reason) => reason !== undefined);

describeUnless(kernelSuiteUnavailable() ?? lacking, "keys in the manifests of real crashes", () => {
  const suite = setUpKernel();
  const folder = scratchDirectory("groups");

  it("are the same for one bug in all builds, and others for others", { timeout: 1_800_000 }, async () => {
    const runs = BUG_PROGRAMS.flatMap((program) =>
      variantsHere(program, KEEPS).flatMap((variant) => {
        const path = buildBugProgram(program, variant, folder);
        const numbers = Array.from({ length: program.bugs }, (_, index) => index + 1);
        return numbers
          .filter((number) => number % EVERY === 3 % EVERY)
          .map((number) => ({ bug: `${program.name} ${number}`, number, variant, path }));
      }),
    );
    const crashes: { bug: string; signature: string | undefined; site: string | undefined }[] = [];
    const stacks: LabelledStack[] = [];
    const leftOut: string[] = [];
    const next = runs.values();
    const work = async (): Promise<void> => {
      for (const { bug, number, variant, path } of next) {
        const env = { GOTRACEBACK: "crash" };
        const { pid, signalName } = await runCrash(path, [String(number), ...variant.args], { env });
        if (signalName === undefined && variant.leavesOut === true) {
          leftOut.push(`${bug} ${variant.name}`);
          continue;
        }
        expect(signalName, `${bug} ${variant.name}`).toBeDefined();
        const { manifest } = await suite.composer.bundleOf(pid, 120_000);
        const isCut = manifest.problems.some(({ step }) => step === "stack");
        // On a machine with far more work than processors the time for inlined functions may run out.
        if (isCut && (loadavg()[0] ?? 0) > 6) continue;
        expect(manifest.site, `${bug} ${variant.name}`).toMatch(/^[\da-f]{16}$/);
        crashes.push({ bug, signature: manifest.signature, site: manifest.site });
        stacks.push({ bug, variant: variant.name, stack: keepStack(manifest) });
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    if (KEEPS) writeLabelledStacks(stacks);
    const left = BUG_PROGRAMS.flatMap((program) =>
      program.variants.filter((one) => !variantsHere(program).includes(one)),
    );
    if (left.length > 0) console.info(`not built here: ${left.map(({ name }) => name).join(", ")}`);

    if (leftOut.length > 0) console.info(`no bug there: ${leftOut.join(", ")}`);
    expect(leftOut.length).toBeLessThanOrEqual(runs.filter(({ variant }) => variant.leavesOut === true).length / 2);
    expect(crashes.length).toBeGreaterThan(runs.length / 2);
    const { together, wrongly } = judgeKeys(groupsOf(crashes));
    const listing = crashes.map(({ bug, signature, site }) => `${bug}: ${signature ?? site}`).toSorted();
    expect(together, listing.join("\n")).toBeGreaterThanOrEqual(0.9);
    expect(wrongly, listing.join("\n")).toBeLessThanOrEqual(0.02);
  });
});
