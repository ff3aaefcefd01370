import { readdirSync, statSync } from "node:fs";
import { expect, it } from "vitest";
import { notBuilt, outcomeOf, runBuilt } from "../helpers/built.ts";
import { openBundleFile, sha256OfFile } from "../helpers/bundle-files.ts";
import { readCoreMemory } from "../helpers/core-readers.ts";
import { compileCrashPrograms } from "../helpers/crash-programs.ts";
import { runCrash } from "../helpers/run-crash.ts";
import { describeUnless, skipAloud } from "../helpers/skip.ts";
import { kernelSuiteUnavailable, setUpKernel } from "./suite.ts";

const MIB = 1024 * 1024;
const PAGE = 4096;

/** The page that pattern300 puts at this index. @see test/programs/pattern300.c */
function patternPage(index: number): Buffer {
  const page = Buffer.alloc(PAGE);
  for (let k = 0; k < PAGE / 8; k++) {
    page.writeBigUInt64LE((BigInt(index) << 32n) | (BigInt(k * 2654435761) & 0xffffffffn), k * 8);
  }
  return page;
}

describeUnless(kernelSuiteUnavailable("tee"), "a core of 300 MB", () => {
  const suite = setUpKernel({ wrapper: "tee" });
  let pid = 0;

  it("arrives byte for byte, and its memory is found at its address", async () => {
    const crash = await runCrash(compileCrashPrograms().pattern300);
    pid = crash.pid;
    const bundle = await suite.composer.bundleOf(crash.pid, 60_000);
    const { manifest } = bundle;
    expect(manifest.core).toMatchObject({ complete: true, compression: "zstd" });
    expect(manifest.core.sizeBytes).toBeGreaterThan(300 * MIB);
    const core = await bundle.unpackCore(suite.scratch);

    // What the kernel wrote, kept aside by tee before the composer read it.
    expect(core.sha256).toBe(await sha256OfFile(suite.composer.teeOf(pid)));
    expect(core.sha256).toBe(manifest.core.sha256);

    const [, address = "0", bytes = "0"] = /^pattern (0x[0-9a-f]+) (\d+)$/m.exec(crash.stdout) ?? [];
    expect(Number(bytes)).toBe(300 * MIB);
    const pages = Number(bytes) / PAGE;
    for (let page = 0; page < pages; page += 1024) {
      const memory = readCoreMemory(core.path, BigInt(address) + BigInt(page * PAGE), PAGE);
      expect(memory.equals(patternPage(page)), `page ${page}`).toBe(true);
    }
    expect(
      readCoreMemory(core.path, BigInt(address) + BigInt((pages - 1) * PAGE), PAGE).equals(patternPage(pages - 1)),
    ).toBe(true);

    if (notBuilt("cdh-inspect") === undefined) {
      const target = `${suite.scratch}/inspect`;
      const unpacked = await runBuilt("cdh-inspect", ["unpack", bundle.path, target]);
      expect(outcomeOf(unpacked)).toBe("exit 0");
      const path = `${target}/${manifest.core.entry.replace(/\.zst$/, "")}`;
      expect(statSync(path).size).toBe(manifest.core.sizeBytes);
      expect(await sha256OfFile(path)).toBe(manifest.core.sha256);
      const verified = await runBuilt("cdh-inspect", ["verify", bundle.path]);
      expect(outcomeOf(verified)).toBe("exit 0");
    }
  });

  it.each([{ compression: "deflate" }, { compression: "none" }])(
    "replays to the same core with $compression",
    async ({ compression }) => {
      const spool = `${suite.scratch}/replay-${compression}`;
      const result = await runBuilt("cdc", ["replay", suite.composer.teeOf(pid)], {
        env: { PATH: process.env["PATH"] ?? "", CORE_DIR: spool, COMPRESSION: compression },
      });
      expect(outcomeOf(result)).toBe("exit 0");
      const names = readdirSync(spool).filter((name) => name.endsWith(".zip") && !name.startsWith("."));
      expect(names.length).toBe(1);
      const bundle = await openBundleFile(`${spool}/${names[0] ?? ""}`);
      expect(bundle.manifest.core).toMatchObject({ compression, complete: true });
      expect(bundle.manifest.core.entry).toMatch(/\.core$/);
      const core = await bundle.unpackCore(suite.scratch);
      expect(core.sha256).toBe(await sha256OfFile(suite.composer.teeOf(pid)));
    },
  );
});

describeUnless(kernelSuiteUnavailable(), "the composer's own memory", () => {
  const suite = setUpKernel({ wrapper: "measured" });

  it.for([
    { kind: "mixed", megabytes: 600 },
    { kind: "random", megabytes: 600 },
    { kind: "zero", megabytes: 600 },
    { kind: "mixed", megabytes: 12_288 },
    { kind: "zero", megabytes: 12_288 },
    { kind: "random", megabytes: 12_288 },
  ])(
    "stays under 128 MiB with $megabytes MB of $kind memory",
    { timeout: 900_000 },
    async ({ kind, megabytes }, context) => {
      if (megabytes > 1024 && process.env["CDH_BIG"] === undefined) {
        skipAloud(context, "12 GB cores take minutes and 12 GB of memory and disk: CDH_BIG=1 runs them");
      }
      const before = suite.composer.measurements().length;
      const crash = await runCrash(compileCrashPrograms().fill, [String(megabytes), kind], { timeoutMs: 600_000 });
      const { manifest } = await suite.composer.bundleOf(crash.pid, 120_000);
      expect(manifest.core.complete).toBe(true);
      // What the manifest says is what the kernel counted, up to what happened after the manifest was written.
      const said = manifest.composer.maxRssBytes ?? 0;
      // Others crash on this machine too: ours is the one that the manifest speaks of.
      const ours = () =>
        suite.composer
          .measurements()
          .slice(before)
          .find(({ maxRssBytes }) => said <= maxRssBytes + MIB && said > maxRssBytes * 0.7);
      await expect.poll(ours, { timeout: 10_000 }).toBeDefined();
      const measured = ours();
      expect(measured?.exitCode).toBe(0);
      const peak = ((measured?.maxRssBytes ?? 0) / MIB).toFixed(0);
      process.stderr.write(
        `memory: ${megabytes} MB ${kind}: peak ${peak} MiB, drained in ${manifest.composer.drainMs} ms\n`,
      );
      expect(measured?.maxRssBytes).toBeLessThan(128 * MIB);
    },
  );
});
