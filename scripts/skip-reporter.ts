import fs from "node:fs";
import path from "node:path";
import type { Reporter, TestCase, TestModule, TestRunEndReason, SerializedError } from "vitest/node";

/** What a run came to; `scripts/test.ts` and `.ci/run` read it. */
export interface RunTotals {
  passed: number;
  failed: number;
  skipped: number;
}

/** Where the totals of the last run are written: `TEST_TOTALS_FILE`, else `.cache/test-totals.json`. */
export const TOTALS_FILE: string =
  process.env["TEST_TOTALS_FILE"] ?? path.resolve(import.meta.dirname, "..", ".cache", "test-totals.json");

/** Find why a test was skipped: its own note, or the reason in its or its suite's name. */
export function reasonOf(test: { fullName: string; note: string | undefined }): string | undefined {
  return test.note ?? /\[skipped: (.+?)\](?= > |$)/.exec(test.fullName)?.[1];
}

function labelOf(test: TestCase): string {
  const project = test.project.name === "" ? "" : `${test.project.name}  `;
  return `${project}${test.module.relativeModuleId} > ${test.fullName.replaceAll(/ \[skipped: .+?\](?= > |$)/g, "")}`;
}

function firstErrorOf(test: TestCase): string {
  return test.result().errors?.[0]?.message.split("\n", 1)[0] ?? "it gave no error";
}

/** Count and list what did not run, each with its reason, and what passed only when tried again; a skip without a reason fails the run. */
export default class SkipReporter implements Reporter {
  onTestRunEnd(
    modules: readonly TestModule[],
    unhandledErrors: readonly SerializedError[],
    reason: TestRunEndReason,
  ): void {
    const totals: RunTotals = { passed: 0, failed: unhandledErrors.length, skipped: 0 };
    const skips = new Map<string, string[]>();
    const silent: string[] = [];
    const unsteady: string[] = [];
    for (const module of modules) {
      // A file or a hook that failed outside of any test counts as one failure.
      const setUpFailed = module.state() === "failed" && [...module.children.allTests("failed")].length === 0;
      if (setUpFailed) totals.failed += 1;
      for (const test of module.children.allTests()) {
        const result = test.result();
        if (result.state === "passed") {
          totals.passed += 1;
          if ((test.diagnostic()?.retryCount ?? 0) > 0) unsteady.push(`${labelOf(test)}: ${firstErrorOf(test)}`);
        } else if (result.state === "failed") totals.failed += 1;
        else if (result.state === "skipped") {
          totals.skipped += 1;
          const why =
            reasonOf({ fullName: test.fullName, note: result.note }) ?? (setUpFailed ? "its set-up failed" : undefined);
          if (why === undefined) silent.push(labelOf(test));
          else skips.set(why, [...(skips.get(why) ?? []), labelOf(test)]);
        } else if (reason !== "interrupted") totals.failed += 1;
      }
    }
    // A filter (-t, .only) leaves tests out on purpose of whoever typed it.
    const filtered = process.argv.some((argument) => /^(-t|--testNamePattern)/.test(argument));
    if (filtered) silent.length = 0;

    for (const [why, tests] of skips) {
      console.log(`skipped: ${why} (${tests.length})`);
      for (const test of tests) console.log(`  ${test}`);
    }
    if (unsteady.length > 0) console.log(`unsteady, passed only at the second try (${unsteady.length})`);
    for (const test of unsteady) console.log(`  ${test}`);
    for (const test of silent) console.log(`skipped without a reason, which is a failure: ${test}`);
    totals.failed += silent.length;
    totals.skipped -= silent.length;
    if (totals.passed + totals.failed === 0) console.log("no test ran, which is a failure");
    if (totals.failed > 0 || totals.passed === 0) process.exitCode = 1;
    fs.mkdirSync(path.dirname(TOTALS_FILE), { recursive: true });
    fs.writeFileSync(TOTALS_FILE, `${JSON.stringify(totals)}\n`);
  }
}
