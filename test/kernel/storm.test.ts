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

const CROWD = 24;
const TIMEOUT_MS = 4_000;

describeUnless(
  kernelSuiteUnavailable(),
  `${CROWD} processes that crash at once and a TIMEOUT that ends most of them`,
  () => {
    // One at a time, and slowly: most are still in line when their time is over.
    const suite = setUpKernel({
      settings: { TIMEOUT: `${TIMEOUT_MS / 1000}s`, CONCURRENCY: "1", COMPRESSION: "deflate", COMPRESSION_LEVEL: "9" },
    });

    it("lets go of all of them in time, and each leaves a bundle that says how much it has", async () => {
      const { fill } = compileCrashPrograms();
      const crashes = await Promise.all(
        Array.from({ length: CROWD }, () => runCrash(fill, ["64", "mixed"], { timeoutMs: 300_000 })),
      );
      const ends: (string | undefined)[] = [];
      for (const { pid } of crashes) {
        const { manifest, unpackCore } = await suite.composer.bundleOf(pid, 120_000);
        expect(manifest.signal).toMatchObject({ name: "SIGSEGV" });
        expect(manifest.threads).toHaveLength(1);
        expect(manifest.core.expectedBytes).toBeGreaterThan(64 * MIB);
        expect(manifest.core.complete).toBe(manifest.core.truncatedBy === undefined);
        expect((await unpackCore(suite.scratch)).sha256).toBe(manifest.core.sha256);
        ends.push(manifest.core.truncatedBy);
      }
      expect(ends).toContain("deadline");
      expect(ends.filter((end) => end !== undefined && end !== "deadline")).toEqual([]);
      expect(suite.composer.spoolNames().filter((name) => name.endsWith(".partial"))).toEqual([]);
      const held = Math.max(...crashes.map(({ holdMs }) => holdMs ?? Number.POSITIVE_INFINITY));
      process.stderr.write(
        `storm: TIMEOUT ${TIMEOUT_MS} ms: held at most ${held.toFixed(0)} ms, ${ends.filter((end) => end === undefined).length} of ${CROWD} whole\n`,
      );
      // The rest is what two cores need to start so many composers at once.
      expect(held).toBeLessThan(2 * TIMEOUT_MS);
    }, 700_000);
  },
);
