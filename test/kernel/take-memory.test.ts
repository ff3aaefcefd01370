import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import type { OpenBundle } from "../helpers/bundle-files.ts";
import { compileCrashPrograms } from "../helpers/crash-programs.ts";
import { runCrash } from "../helpers/run-crash.ts";
import { describeUnless } from "../helpers/skip.ts";
import { findOnPath } from "../helpers/tools.ts";
import { kernelSuiteUnavailable, setUpKernel } from "./suite.ts";

/** Programs of random mappings; CDH_BIG=1 makes them 500. */
const SEEDS = process.env["CDH_BIG"] === "1" ? 500 : 40;

/** coredump_filter: the kernel's default, everything, private memory alone, files too. */
const FILTERS = ["0x33", "0xff", "0x1", "0x3f"];

function expectSame({ manifest }: OpenBundle, what: string): void {
  const told = JSON.stringify({ take: manifest.composer.take, problems: manifest.problems });
  expect(manifest.core.complete, `${what}: ${told}`).toBe(true);
  expect(manifest.composer.take?.from, `${what}: ${told}`).toBe("memory");
  expect(manifest.problems.filter(({ step }) => step === "take")).toEqual([]);
}

describeUnless(kernelSuiteUnavailable("python3", "perl", "bash"), "a core from the process's memory", () => {
  const suite = setUpKernel({ settings: { TAKE: "check" } });

  it(`is what the kernel's pipe gives, of ${SEEDS} programs with memory of every kind`, async () => {
    const files = join(suite.scratch, "files");
    mkdirSync(files);
    for (let seed = 1; seed <= SEEDS; seed += 1) {
      const filter = FILTERS[seed % FILTERS.length] ?? "0x33";
      const crash = await runCrash(compileCrashPrograms().regions, [String(seed), files, filter]);
      expect(crash.signalName).toBe("SIGSEGV");
      const bundle = await suite.composer.bundleOf(crash.pid);
      expectSame(bundle, `seed ${seed}, filter ${filter}`);
      rmSync(bundle.path);
    }
  }, 900_000);

  it.each<[string, string[]]>([
    [
      "python3",
      [
        "-c",
        "import os, mmap\nx = bytearray(30 << 20)\ny = mmap.mmap(-1, 6 << 30, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)\ny[5 << 30] = 1\nos.abort()",
      ],
    ],
    ["perl", ["-e", 'my %h = map { $_ => "x" x 100 } 1..50000; kill 11, $$; sleep 5']],
    ["bash", ["-c", "x=$(seq 1000000); y=$x$x; kill -SEGV $$"]],
    [process.execPath, ["-e", "globalThis.x = Array.from({ length: 1e6 }, (_, i) => ({ i })); process.abort()"]],
  ])(
    "is what the kernel's pipe gives, of %s",
    async (program, args) => {
      const { path = program } = program.startsWith("/") ? {} : findOnPath(program);
      expect(path).toBeDefined();
      const crash = await runCrash(path, args);
      const bundle = await suite.composer.bundleOf(crash.pid, 60_000);
      expectSame(bundle, program);
      rmSync(bundle.path);
    },
    120_000,
  );
});
