import { expect, it } from "vitest";
import { buildIdsWithElfutils, gdb, readNotesWithElfutils } from "../helpers/core-readers.ts";
import { compileCrashPrograms } from "../helpers/crash-programs.ts";
import { runCrash } from "../helpers/run-crash.ts";
import { describeUnless } from "../helpers/skip.ts";
import { kernelSuiteUnavailable, setUpKernel } from "./suite.ts";

/** elfutils' names of the registers that the manifest calls `pc` and `sp`. */
const NAMES = process.arch === "arm64" ? { pc: "pc", sp: "sp" } : { pc: "rip", sp: "rsp" };

describeUnless(
  kernelSuiteUnavailable("gdb", "eu-readelf", "eu-unstrip"),
  "a process with 8 threads, one of which crashes",
  () => {
    const suite = setUpKernel();

    it("is described as elfutils and gdb read it out of the core", async () => {
      const executable = compileCrashPrograms().threads;
      const crash = await runCrash(executable);
      const tids = new Map(
        [...crash.stdout.matchAll(/^thread (\d+) (\d+)$/gm)].map(([, index, tid]) => [Number(index), Number(tid)]),
      );
      expect(tids.size).toBe(8);

      const bundle = await suite.composer.bundleOf(crash.pid);
      const { manifest } = bundle;
      const core = await bundle.unpackCore(suite.scratch);
      const notes = readNotesWithElfutils(core.path);

      expect(manifest.process.tid).toBe(tids.get(5));
      expect(manifest.signal.faultAddress).toBe("0x1234");
      const threads = manifest.threads ?? [];
      expect(threads.map(({ tid }) => tid).sort()).toEqual([...tids.values()].sort());
      expect(threads.filter(({ crashed }) => crashed === true).map(({ tid }) => tid)).toEqual([tids.get(5)]);
      expect(
        threads.map(({ tid, registers }) => [tid, BigInt(registers["pc"] ?? 0), BigInt(registers["sp"] ?? 0)]),
      ).toEqual(notes.threads.map(({ tid, registers }) => [tid, registers[NAMES.pc], registers[NAMES.sp]]));
      // All registers of the crashed thread: more than the two that every thread has.
      const crashed = threads.find((thread) => thread.crashed === true);
      expect(Object.keys(crashed?.registers ?? {}).length).toBeGreaterThan(10);
      for (const [name, value] of Object.entries(crashed?.registers ?? {})) {
        const theirs = notes.threads[0]?.registers[name];
        if (theirs !== undefined)
          expect([name, BigInt.asUintN(64, BigInt(value))]).toEqual([name, BigInt.asUintN(64, theirs)]);
      }

      // The module map: every mapped file, and the build-ids that elfutils finds at the same addresses.
      const modules = manifest.modules ?? [];
      expect(new Set(modules.map(({ path }) => path).filter((path) => path !== "[vdso]"))).toEqual(
        new Set(notes.files.map(({ path }) => path)),
      );
      const buildIds = buildIdsWithElfutils(core.path);
      for (const module of modules)
        expect([module.path, module.buildId]).toEqual([module.path, buildIds.get(BigInt(module.start))]);
      expect(modules.find(({ path }) => path === executable)?.buildId).toMatch(/^[0-9a-f]{40}$/);

      const answer = gdb(executable, core.path, "info threads", "bt");
      expect(answer).toContain("Program terminated with signal SIGSEGV");
      expect(answer.match(/LWP \d+/g)?.length).toBeGreaterThanOrEqual(8);
      expect(answer).toMatch(/#0 .*crash_here/);
    });
  },
);
