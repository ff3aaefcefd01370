import { mkdtempSync, statSync } from "node:fs";
import { arch, release } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { outcomeOf, runPath } from "../helpers/built.ts";
import { gdb, readNotesWithElfutils } from "../helpers/core-readers.ts";
import { compileCrashPrograms, type CrashProgram } from "../helpers/crash-programs.ts";
import { runCrash } from "../helpers/run-crash.ts";
import { describeUnless, skipAloud } from "../helpers/skip.ts";
import { findTool } from "../helpers/tools.ts";
import { kernelSuiteUnavailable, setUpKernel } from "./suite.ts";

/** Each program, the signal it dies of, and what the kernel says about why. */
const CASES: { program: CrashProgram; signal: string; number: number; codeName?: string; faultAddress?: string }[] = [
  { program: "segv", signal: "SIGSEGV", number: 11, codeName: "SEGV_MAPERR", faultAddress: "0x0" },
  { program: "abrt", signal: "SIGABRT", number: 6, codeName: "SI_TKILL" },
  { program: "bus", signal: "SIGBUS", number: 7, codeName: "BUS_ADRERR" },
  { program: "fpe", signal: "SIGFPE", number: 8, ...(arch() === "x64" ? { codeName: "FPE_INTDIV" } : {}) },
  { program: "ill", signal: "SIGILL", number: 4, codeName: arch() === "x64" ? "ILL_ILLOPN" : "ILL_ILLOPC" },
  { program: "quit", signal: "SIGQUIT", number: 3, codeName: "SI_USER" },
  { program: "trap", signal: "SIGTRAP", number: 5 },
];

describeUnless(kernelSuiteUnavailable("gdb", "eu-readelf"), "each fatal signal", () => {
  const suite = setUpKernel();
  let crashes = 0;

  it.each(CASES)(
    "$signal becomes a bundle that says so",
    async ({ program, signal, number, codeName, faultAddress }) => {
      const executable = compileCrashPrograms()[program];
      const crash = await runCrash(executable);
      crashes += 1;
      expect(crash.signalName).toBe(signal);
      expect(crash.coreDumped).toBe(true);

      const bundle = await suite.composer.bundleOf(crash.pid);
      const { manifest } = bundle;
      const name = manifest.bundle.replace(/\.zip$/, "");
      expect(bundle.path.endsWith(`/${manifest.bundle}`)).toBe(true);
      expect(manifest).toMatchObject({
        schemaVersion: 1,
        signal: {
          number,
          name: signal,
          ...(codeName === undefined ? {} : { codeName }),
          ...(faultAddress === undefined ? {} : { faultAddress }),
        },
        process: {
          pid: crash.pid,
          pidInNamespace: crash.pid,
          tid: crash.pid,
          uid: 0,
          gid: 0,
          comm: program,
          exe: executable,
          cmdline: [executable],
          dumpMode: 1,
        },
        node: { kernelRelease: release(), architecture: arch() },
        core: { entry: `${name}.core.zst`, compression: "zstd", complete: true },
        identity: { source: "none" },
      });
      expect(manifest.core.truncatedBy).toBeUndefined();
      expect(manifest.pod).toBeUndefined();
      expect(manifest.core.expectedBytes).toBe(manifest.core.sizeBytes);
      expect(Math.abs(Date.parse(manifest.crashedAt) - Date.now())).toBeLessThan(60_000);

      // The entries: what, in which order, readable by whom.
      const names = bundle.entries.map((entry) => entry.name);
      expect(names[0]).toBe(`${name}-dump-info.json`);
      expect(names.at(-1)).toBe(`${name}-manifest.json`);
      expect(names).toContain(`${name}-proc/status`);
      expect(names).toContain(`${name}-proc/maps`);
      expect(names).not.toContain(`${name}-proc/environ`);
      expect(new Set(bundle.entries.map((entry) => entry.mode.toString(8)))).toEqual(new Set(["444"]));
      expect(bundle.entries.find((entry) => entry.name === manifest.core.entry)).toMatchObject({
        method: "stored",
        sizeBytes: manifest.core.storedBytes,
      });
      expect(statSync(bundle.path).mode & 0o7777).toBe(0o600);

      const dumpInfo = JSON.parse((await bundle.read("-dump-info.json")).toString()) as Record<string, unknown>;
      expect(Object.keys(dumpInfo).sort()).toEqual([
        "dump_file",
        "exe",
        "hostname",
        "node_hostname",
        "path",
        "real_pid",
        "restricted",
        "signal",
        "timestamp",
        "uuid",
      ]);
      expect(dumpInfo).toMatchObject({
        uuid: manifest.crashId,
        signal: String(number),
        real_pid: String(crash.pid),
        restricted: "false",
        exe: program,
      });

      // The core, as other tools read it.
      const core = await bundle.unpackCore(mkdtempSync(join(suite.scratch, "core-")));
      expect(core.sha256).toBe(manifest.core.sha256);
      expect(statSync(core.path).size).toBe(manifest.core.sizeBytes);
      expect(gdb(executable, core.path, "bt")).toContain(`Program terminated with signal ${signal}`);
      const notes = readNotesWithElfutils(core.path);
      expect(manifest.signal.number).toBe(notes.signal);
      expect(manifest.signal.code).toBe(notes.code);
      if (notes.senderPid !== undefined) expect(manifest.signal.senderPid).toBe(notes.senderPid);
    },
  );

  it("keeps nothing but published bundles in the spool", () => {
    expect(suite.composer.spoolNames().filter((entry) => entry.endsWith(".partial"))).toEqual([]);
    expect(suite.composer.published().length).toBe(crashes);
  });

  it("leaves bundles that any unzip reads", async (context) => {
    const unzip = findTool("unzip");
    if (unzip.path === undefined) return skipAloud(context, unzip.reason);
    for (const name of suite.composer.published()) {
      const result = await runPath(unzip.path, ["-tqq", join(suite.composer.coreDir, name)]);
      expect(outcomeOf(result)).toBe("exit 0");
    }
  });
});
