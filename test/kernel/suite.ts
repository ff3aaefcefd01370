import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll } from "vitest";
import { notBuilt } from "../helpers/built.ts";
import { installComposer, type InstalledComposer, type InstallOptions } from "../helpers/composer-install.ts";
import { compilerUnavailable } from "../helpers/crash-programs.ts";
import { holdKernel, kernelUnavailable, type KernelHold } from "../helpers/kernel-state.ts";
import { missingTools } from "../helpers/tools.ts";

/** Say why the suites that crash real programs can't run here, or undefined. */
export function kernelSuiteUnavailable(...tools: string[]): string | undefined {
  return kernelUnavailable() ?? compilerUnavailable() ?? notBuilt("cdc") ?? missingTools("zstd", ...tools);
}

/** What the tests of one file share: the composer, known to the kernel, and a directory of their own. */
export interface KernelSuite {
  composer: InstalledComposer;
  hold: KernelHold;
  scratch: string;
}

/** Install the composer for the tests of the surrounding `describe`, and put the kernel back after them. */
export function setUpKernel(options: InstallOptions = {}): KernelSuite {
  const suite: Partial<KernelSuite> = {};
  beforeAll(async () => {
    suite.hold = await holdKernel();
    suite.scratch = mkdtempSync(join(tmpdir(), "cdh-kernel-"));
    suite.composer = await installComposer(suite.hold, options);
  }, 700_000);
  afterAll(async () => {
    await suite.composer?.[Symbol.asyncDispose]();
    await suite.hold?.release();
    if (suite.scratch !== undefined) rmSync(suite.scratch, { recursive: true, force: true });
  });
  return suite as KernelSuite;
}
