import { mkdirSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { expect, it, vi } from "vitest";
import type { CrashGroup } from "@cdh/core/groups/crash-groups";
import { runBuilt } from "../helpers/built.ts";
import { compileCrashPrograms } from "../helpers/crash-programs.ts";
import { runCrash } from "../helpers/run-crash.ts";
import { describeUnless } from "../helpers/skip.ts";
import { kernelSuiteUnavailable, setUpKernel } from "./suite.ts";

/** Crashes of the loop. Before a release `CDH_LOOP=10000`, half an hour; 200 in every run. */
const CRASHES = Number(process.env["CDH_LOOP"] ?? 200);
const AT_ONCE = 2;
/** What is only counted is told after it was quiet for 30 s. */
const QUIET_MS = 31_000;
const STORE_MAX_BYTES = 50 * 1024 * 1024;

// The limits that a node has where nobody set any.
const DEFAULTS = { RATE_LIMIT: "5/1h", KEEP_PER_SITE: "3/24h" };

describeUnless(kernelSuiteUnavailable(), `a loop of ${CRASHES} crashes`, () => {
  const suite = setUpKernel({ settings: DEFAULTS, wrapper: "measured" });

  it("is counted to the last one, and costs little", { timeout: 3_600_000 }, async () => {
    const { segv } = compileCrashPrograms();
    const { composer } = suite;
    const startedAt = performance.now();
    let left = CRASHES;
    const loop = async (): Promise<void> => {
      while (left > 0) {
        left -= 1;
        await runCrash(segv);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, loop));
    const wallMs = performance.now() - startedAt;
    const measured = composer.measurements();
    const cpuMs = measured.reduce((sum, { userMs, systemMs }) => sum + userMs + systemMs, 0);

    const store = join(suite.scratch, "store");
    mkdirSync(store);
    // On a busy machine composers are at their counts long after their processes were let go.
    await vi.waitFor(() => expect(composer.running()).toEqual([]), { timeout: 300_000, interval: 1000 });
    await delay(QUIET_MS);
    const settings = { CORE_DIR: composer.coreDir, STORE_URL: `file://${store}` };
    const swept = await runBuilt("cdh-upload", ["sweep"], { env: { PATH: process.env["PATH"] ?? "", ...settings } });
    expect(swept.exitCode, swept.stderr).toBe(0);

    const { stdout } = await runBuilt("cdh-inspect", ["groups", "-o", "json", `file://${store}`]);
    const { groups } = JSON.parse(stdout) as { groups: CrashGroup[] };
    const told = composer.log().filter(({ level }) => level === "warn");
    expect(
      groups.map(({ count }) => count),
      JSON.stringify({ groups, told: told.slice(-5) }),
    ).toEqual([CRASHES]);
    expect(groups[0]).toMatchObject({ key: "signature" });
    expect(groups[0]?.wholeCores).toBeGreaterThanOrEqual(1);
    const bytes = sizeOf(store);
    expect(bytes).toBeLessThanOrEqual(STORE_MAX_BYTES);
    process.stdout.write(
      `${CRASHES} crashes in ${Math.round(wallMs / 1000)} s: ${(cpuMs / CRASHES).toFixed(0)} ms of a processor each, ` +
        `${((100 * cpuMs) / wallMs).toFixed(0)} % of one; ${groups[0]?.wholeCores} whole cores, ` +
        `${groups[0]?.countedOnly} without a core; ${(bytes / 1024).toFixed(0)} KiB in the store\n`,
    );
  });
});

function sizeOf(folder: string): number {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0);
}
