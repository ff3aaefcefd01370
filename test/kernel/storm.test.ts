import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { compileCrashPrograms } from "../helpers/crash-programs.ts";
import { readKernelSettings } from "../helpers/kernel-state.ts";
import { runCrash, type CrashResult } from "../helpers/run-crash.ts";
import { describeUnless, skipAloud } from "../helpers/skip.ts";
import { kernelSuiteUnavailable, setUpKernel, type KernelSuite } from "./suite.ts";

const CRASHES = 128;
const MIB = 1024 * 1024;
/** What these cores cost in memory does not depend on their size; the figures in docs/decisions come from the large ones. */
const SMALL_MEGABYTES = 2;
const LARGE_MEGABYTES = 16;
const notLarge =
  process.env["CDH_BIG"] === undefined ? `${CRASHES} large cores at once take minutes: CDH_BIG=1 runs them` : undefined;

/** Memory of several processes, pages that they share counted once. */
interface Memory {
  bytes: number;
  residentBytes: number;
  processes: number;
}

/** Start this many processes that crash, and wait for the end of them all. */
function crashAtOnce(count: number, megabytes: number): Promise<CrashResult[]> {
  const { fill } = compileCrashPrograms();
  return Promise.all(
    Array.from({ length: count }, () => runCrash(fill, [String(megabytes), "mixed"], { timeoutMs: 300_000 })),
  );
}

/** Run something and tell the most memory that the composers took together meanwhile. */
async function withPeak<Result>(suite: KernelSuite, run: () => Promise<Result>): Promise<[Result, Memory]> {
  let peak: Memory = { bytes: 0, residentBytes: 0, processes: 0 };
  const watch = setInterval(() => {
    const now = memoryOf(suite.composer.running());
    if (now.bytes > peak.bytes) peak = now;
  }, 250);
  try {
    return [await run(), peak];
  } finally {
    clearInterval(watch);
  }
}

function memoryOf(pids: readonly number[]): Memory {
  const memory: Memory = { bytes: 0, residentBytes: 0, processes: 0 };
  for (const pid of pids) {
    try {
      const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
      memory.bytes += 1024 * Number(/\nPss:\s+(\d+) kB/.exec(rollup)?.[1] ?? 0);
      memory.residentBytes += 1024 * Number(/\nRss:\s+(\d+) kB/.exec(rollup)?.[1] ?? 0);
      memory.processes += 1;
    } catch {
      // It ended while we looked.
    }
  }
  return memory;
}

function tell(text: string, peak?: Memory): void {
  const memory =
    peak === undefined
      ? ""
      : `; at most ${(peak.bytes / MIB).toFixed(0)} MiB (sum of RSS ${(peak.residentBytes / MIB).toFixed(0)} MiB) in ${peak.processes} composers`;
  process.stderr.write(`storm: ${text}${memory}\n`);
}

describeUnless(kernelSuiteUnavailable(), `${CRASHES} processes that crash at once`, () => {
  const suite = setUpKernel();

  it.for([SMALL_MEGABYTES, LARGE_MEGABYTES])(
    "each leave a whole bundle, in bounded memory, with %i MB",
    { timeout: 700_000 },
    async (megabytes, context) => {
      if (megabytes === LARGE_MEGABYTES && notLarge !== undefined) skipAloud(context, notLarge);
      suite.hold.set({ corePipeLimit: String(CRASHES) });
      const before = suite.composer.published().length;
      const started = performance.now();
      const [crashes, peak] = await withPeak(suite, async () => {
        const ended = await crashAtOnce(CRASHES, megabytes);
        expect(ended.filter(({ coreDumped }) => coreDumped).length).toBe(CRASHES);
        for (const { pid } of ended) {
          const { manifest } = await suite.composer.bundleOf(pid, 120_000);
          expect(manifest.core).toMatchObject({ complete: true });
          expect(manifest.core.sizeBytes).toBeGreaterThan(megabytes * MIB);
        }
        return ended;
      });
      const seconds = ((performance.now() - started) / 1000).toFixed(1);
      tell(`${crashes.length} crashes of ${megabytes} MB in ${seconds} s`, peak);
      expect(suite.composer.published().length - before).toBe(CRASHES);
      expect(suite.composer.spoolNames().filter((name) => name.endsWith(".partial"))).toEqual([]);
      expect(peak.processes).toBeGreaterThan(0);
      expect(peak.bytes / MIB).toBeLessThan(CRASHES * 32);
    },
  );

  it("with a core_pipe_limit that drops most of them, whatever the kernel hands over is kept", async () => {
    const limit = 16;
    suite.hold.set({ corePipeLimit: String(limit) });
    const before = suite.composer.published().length;
    const crashes = await crashAtOnce(CRASHES, SMALL_MEGABYTES);
    const handedOver = crashes.filter(({ coreDumped }) => coreDumped);
    tell(`core_pipe_limit ${limit}: ${handedOver.length} of ${CRASHES} handed over`);
    expect(handedOver.length).toBeGreaterThanOrEqual(limit);
    for (const { pid } of handedOver) {
      expect((await suite.composer.bundleOf(pid, 120_000)).manifest.core.complete).toBe(true);
    }
    expect(suite.composer.published().length - before).toBe(handedOver.length);
  }, 700_000);
});

/** One at a time, and slowly: nearly all of them stand in line together. */
const SLOW = { CONCURRENCY: "1", COMPRESSION: "deflate", COMPRESSION_LEVEL: "9" };
/** Memory that belongs to one composer which waits, its share of common pages included. */
const WAITING_MIB = 32;

describeUnless(kernelSuiteUnavailable() ?? notLarge, `${CRASHES} composers that wait at once`, () => {
  const suite = setUpKernel({ settings: { TIMEOUT: "60s", ...SLOW } });

  it("take bounded memory, which is why core_pipe_limit may be so high", async () => {
    suite.hold.set({ corePipeLimit: String(CRASHES) });
    const [crashes, peak] = await withPeak(suite, () => crashAtOnce(CRASHES, 64));
    expect(crashes.filter(({ coreDumped }) => coreDumped).length).toBe(CRASHES);
    tell(`${CRASHES} in line`, peak);
    expect(peak.bytes / peak.processes / MIB).toBeLessThan(WAITING_MIB);
  }, 700_000);
});

const CROWD = 24;
const TIMEOUT_MS = 4_000;

describeUnless(
  kernelSuiteUnavailable(),
  `${CROWD} processes that crash at once and a TIMEOUT that ends most of them`,
  () => {
    // Most are still in line when their time is over.
    const suite = setUpKernel({ settings: { TIMEOUT: `${TIMEOUT_MS / 1000}s`, ...SLOW } });

    it("lets go of all of them in time and in bounded memory, and each leaves a bundle that says how much it has", async () => {
      // As on any node: what cdh-sysctl install sets is enough for them all.
      expect(Number(readKernelSettings().corePipeLimit)).toBeGreaterThanOrEqual(64);
      const [crashes, peak] = await withPeak(suite, () => crashAtOnce(CROWD, 64));
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
      // Every one has a bundle, whole or cut by TIMEOUT. How many are whole is the machine's affair: one place in the line
      // and the slowest compression are chosen so that a busy one may finish none.
      expect(new Set(crashes.map(({ pid }) => pid)).size).toBe(CROWD);
      expect(ends).toContain("deadline");
      expect(ends.filter((end) => end !== undefined && end !== "deadline")).toEqual([]);
      expect(suite.composer.spoolNames().filter((name) => name.endsWith(".partial"))).toEqual([]);
      const held = Math.max(...crashes.map(({ holdMs }) => holdMs ?? Number.POSITIVE_INFINITY));
      const whole = ends.filter((end) => end === undefined).length;
      tell(`TIMEOUT ${TIMEOUT_MS} ms: held at most ${held.toFixed(0)} ms, ${whole} of ${CROWD} whole`, peak);
      // The rest is what two cores need to start so many composers at once.
      expect(held).toBeLessThan(2 * TIMEOUT_MS);
      expect(peak.processes).toBeGreaterThan(CROWD / 2);
      expect(peak.bytes / peak.processes / MIB).toBeLessThan(WAITING_MIB);
    }, 700_000);
  },
);
