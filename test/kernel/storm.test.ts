import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { describeUnless } from "../helpers/skip.ts";
import { compileCrashPrograms } from "../helpers/crash-programs.ts";
import { readKernelSettings } from "../helpers/kernel-state.ts";
import { runCrash } from "../helpers/run-crash.ts";
import { kernelSuiteUnavailable, setUpKernel } from "./suite.ts";

const CRASHES = 64;
const MEGABYTES = 16;
const MIB = 1024 * 1024;

/** Memory that belongs to the composers alone, all together: shared pages of the executable counted once over them all. */
function memoryOfAll(executable: string): { bytes: number; residentBytes: number; processes: number } {
  let bytes = 0;
  let residentBytes = 0;
  let processes = 0;
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      if (readlinkSync(`/proc/${pid}/exe`) !== executable) continue;
      const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
      bytes += 1024 * Number(/^Pss:\s+(\d+) kB/m.exec(rollup)?.[1] ?? 0);
      residentBytes += 1024 * Number(/^Rss:\s+(\d+) kB/m.exec(rollup)?.[1] ?? 0);
      processes += 1;
    } catch {
      // It ended while we looked.
    }
  }
  return { bytes, residentBytes, processes };
}

describeUnless(kernelSuiteUnavailable(), `${CRASHES} processes that crash at once`, () => {
  const suite = setUpKernel();

  it("each leave a whole bundle, in bounded memory", async () => {
    // The kernel drops crashes beyond core_pipe_limit without starting a handler: the installer's default must hold these.
    expect(Number(readKernelSettings().corePipeLimit)).toBeGreaterThanOrEqual(CRASHES);
    const { fill } = compileCrashPrograms();
    let peak = { bytes: 0, residentBytes: 0, processes: 0 };
    const started = performance.now();
    const watch = setInterval(() => {
      const now = memoryOfAll(join(suite.composer.hostDir, "cdc"));
      if (now.bytes > peak.bytes) peak = now;
    }, 100);
    try {
      const crashes = await Promise.all(
        Array.from({ length: CRASHES }, () => runCrash(fill, [String(MEGABYTES), "mixed"], { timeoutMs: 300_000 })),
      );
      expect(crashes.filter(({ coreDumped }) => coreDumped).length).toBe(CRASHES);
      for (const { pid } of crashes) {
        const { manifest } = await suite.composer.bundleOf(pid, 120_000);
        expect(manifest.core).toMatchObject({ complete: true });
        expect(manifest.core.sizeBytes).toBeGreaterThan(MEGABYTES * MIB);
      }
    } finally {
      clearInterval(watch);
    }
    expect(new Set(suite.composer.published()).size).toBe(CRASHES);
    expect(suite.composer.spoolNames().filter((name) => name.endsWith(".partial"))).toEqual([]);
    process.stderr.write(
      `storm: ${CRASHES} crashes of ${MEGABYTES} MB in ${((performance.now() - started) / 1000).toFixed(1)} s, at most ${(peak.bytes / MIB).toFixed(0)} MiB (sum of RSS ${(peak.residentBytes / MIB).toFixed(0)} MiB) in ${peak.processes} composers\n`,
    );
    expect(peak.bytes / MIB).toBeLessThan(CRASHES * 32);
  }, 700_000);

  it.each([16, 64])(
    "with a core_pipe_limit of %i, whatever the kernel hands over is kept",
    async (limit) => {
      suite.hold.set({ corePipeLimit: String(limit) });
      const before = suite.composer.published().length;
      const { fill } = compileCrashPrograms();
      const crashes = await Promise.all(
        Array.from({ length: CRASHES }, () => runCrash(fill, [String(MEGABYTES), "mixed"], { timeoutMs: 300_000 })),
      );
      const handedOver = crashes.filter(({ coreDumped }) => coreDumped);
      for (const { pid } of handedOver) {
        expect((await suite.composer.bundleOf(pid, 120_000)).manifest.core.complete).toBe(true);
      }
      expect(suite.composer.published().length - before).toBe(handedOver.length);
      process.stderr.write(`storm: core_pipe_limit ${limit}: ${handedOver.length} of ${CRASHES} handed over\n`);
    },
    700_000,
  );
});
