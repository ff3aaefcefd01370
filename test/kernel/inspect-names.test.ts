import { execFileSync } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { notBuilt, runBuilt } from "../helpers/built.ts";
import { gdb } from "../helpers/core-readers.ts";
import { REPOSITORY } from "../helpers/repository.ts";
import { runCrash } from "../helpers/run-crash.ts";
import { describeUnless, skipAloud } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { kernelSuiteUnavailable, setUpKernel } from "./suite.ts";

const sources = join(REPOSITORY, "test/inspect/programs");

/** Programs without debugging information, so that gdb has nothing but the linker's names either. */
const PROGRAMS: readonly {
  name: string;
  command: readonly [string, ...string[]];
  env?: Record<string, string>;
  atLeast: number;
}[] = [
  { name: "C++", command: ["g++", "-std=c++17", "-O1", "names.cpp"], atLeast: 4 },
  { name: "Rust", command: ["rustc", "-C", "symbol-mangling-version=v0", "names.rs"], atLeast: 6 },
  {
    name: "Rust, old scheme",
    command: ["rustc", "-Z", "unstable-options", "-C", "symbol-mangling-version=legacy", "names.rs"],
    env: { RUSTC_BOOTSTRAP: "1" },
    atLeast: 6,
  },
];

interface Frame {
  pc: string;
  function?: string;
  demangled?: string;
}

/** What gdb adds to names of Rust: hashes, and the types of constants. */
const VERBOSE = /::h[0-9a-f]{16}$|\[[0-9a-f]{5,16}\]|(?<=\d): [iu](?:size|\d+)/g;

/** The name that gdb has for each return address of the crashed thread. */
function namesByGdb(text: string): Map<string, string> {
  const names = new Map<string, string>();
  for (const [, address = "", name = ""] of text.matchAll(/^#\d+ +(0x[0-9a-f]+) in (.*) \(\)/gm))
    if (name !== "??") names.set(`0x${BigInt(address).toString(16)}`, name.replaceAll(VERBOSE, ""));
  return names;
}

describeUnless(
  kernelSuiteUnavailable("gdb") ?? notBuilt("cdh-inspect"),
  "names of frames without a debugger are gdb's",
  () => {
    const suite = setUpKernel();

    it.for(PROGRAMS)("$name", { timeout: 120_000 }, async ({ command: [compiler, ...args], env, atLeast }, context) => {
      const reason = missingTools(compiler);
      if (reason !== undefined) skipAloud(context, reason);
      const scratch = mkdtempSync(join(suite.scratch, "names-"));
      const program = join(scratch, "program");
      execFileSync(compiler, ["-o", program, ...args], {
        cwd: sources,
        env: { ...process.env, ...env },
        stdio: "pipe",
      });
      // Rust's own library comes with some.
      execFileSync("strip", ["--strip-debug", program]);
      const crash = await runCrash(program, []);
      const { path } = await suite.composer.bundleOf(crash.pid);
      await runBuilt("cdh-inspect", ["unpack", path, scratch, "--entry", "core"]);
      const unpacked = execFileSync("sh", ["-c", `ls "${scratch}"/*.core`], { encoding: "utf8" }).trim();
      const theirs = namesByGdb(gdb(program, unpacked, "set width 0", "bt"));
      const raw = await runBuilt("cdh-inspect", ["bt", "--raw", "-o", "json", path]);
      const { threads } = JSON.parse(raw.stdout) as { threads: { frames: Frame[] }[] };
      const ours = (threads[0]?.frames ?? []).filter((frame) => frame.demangled !== undefined);
      const compared = ours.filter((frame) => theirs.has(frame.pc));
      expect(compared.length).toBeGreaterThanOrEqual(atLeast);
      expect(compared.map((frame) => frame.demangled)).toEqual(compared.map((frame) => theirs.get(frame.pc)));
      const shown = await runBuilt("cdh-inspect", ["bt", "--raw", path]);
      for (const frame of ours) {
        expect(shown.stdout).toContain(`${frame.demangled ?? ""}+0x`);
        expect(shown.stdout).not.toContain(frame.function);
      }
    });
  },
);
