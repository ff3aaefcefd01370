import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import type { ModuleFacts, ThreadFacts } from "@cdh/core/bundle/manifest";
import { notBuilt, runBuilt, type BuiltResult } from "../helpers/built.ts";
import { nativeFrames } from "../helpers/compare-stacks.ts";
import { buildIdsWithElfutils, gdb, readNotesWithElfutils } from "../helpers/core-readers.ts";
import { REPOSITORY } from "../helpers/repository.ts";
import { runCrash } from "../helpers/run-crash.ts";
import { describeUnless, skipAloud } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { kernelSuiteUnavailable, setUpKernel } from "./suite.ts";

const sources = join(REPOSITORY, "test/inspect/programs");
const built = mkdtempSync(join(tmpdir(), "cdh-languages-"));

interface Language {
  name: string;
  tool: string;
  signal: string;
  /** Makes the program and says how to start it. */
  make(): [string, ...string[]];
}

function compile(command: string, args: readonly string[]): void {
  execFileSync(command, args, {
    cwd: sources,
    stdio: "pipe",
    env: { ...process.env, GOFLAGS: "-mod=mod", GO111MODULE: "off" },
  });
}

const languages: Language[] = [
  {
    name: "C",
    tool: "gcc",
    signal: "SIGSEGV",
    make: () => {
      const program = join(built, "frames");
      compile("gcc", [
        "-g",
        "-O1",
        "-fno-omit-frame-pointer",
        "-mno-omit-leaf-frame-pointer",
        "-fno-optimize-sibling-calls",
        "-o",
        program,
        "frames.c",
      ]);
      return [program];
    },
  },
  {
    name: "C without frame pointers",
    tool: "gcc",
    signal: "SIGSEGV",
    make: () => {
      const program = join(built, "frameless");
      compile("gcc", ["-g", "-O2", "-fomit-frame-pointer", "-fno-ipa-cp", "-o", program, "frames.c"]);
      return [program];
    },
  },
  {
    name: "Go",
    tool: "go",
    signal: "SIGABRT",
    make: () => {
      compile("go", ["build", "-o", join(built, "gocrash"), "main.go"]);
      return [join(built, "gocrash")];
    },
  },
  {
    name: "Rust",
    tool: "rustc",
    signal: "SIGABRT",
    make: () => {
      compile("rustc", ["-g", "-o", join(built, "rustcrash"), "main.rs"]);
      return [join(built, "rustcrash")];
    },
  },
  { name: "Node", tool: "node", signal: "SIGABRT", make: () => [process.execPath, "-e", "process.abort()"] },
  {
    name: "Python",
    tool: "python3",
    signal: "SIGABRT",
    make: () => {
      // A version manager's shim would start the interpreter as a child of its own.
      const python = execFileSync("python3", ["-c", "import sys; print(sys.executable)"], { encoding: "utf8" }).trim();
      return [python, "-c", "import os; os.abort()"];
    },
  },
  {
    name: "Java",
    tool: "javac",
    signal: "SIGABRT",
    make: () => {
      compile("javac", ["-d", built, "Crash.java"]);
      const home = execFileSync("java", ["-XshowSettings:properties", "-version"], {
        encoding: "utf8",
        stdio: ["ignore", "pipe", "pipe"],
      });
      const java = /java\.home = (.*)/.exec(home)?.[1];
      return [
        java === undefined
          ? execFileSync("sh", ["-c", "readlink -f $(command -v java)"], { encoding: "utf8" }).trim()
          : `${java}/bin/java`,
        "-Xmx32m",
        "-cp",
        built,
        "Crash",
      ];
    },
  },
];

/** Return addresses that gdb found, up to the first frame that it has no name for; inlined functions have none. */
function callersOf(text: string): string[] {
  const lines = text.split("\n").filter((line) => /^#[1-9]/.test(line));
  const end = lines.findIndex((line) => / in \?\?/.test(line));
  return (end === -1 ? lines : lines.slice(0, end)).flatMap((line) => {
    const address = /^#\d+ +(0x[0-9a-f]+) in/.exec(line)?.[1];
    return address === undefined ? [] : [`0x${BigInt(address).toString(16)}`];
  });
}

function json(result: BuiltResult): Record<string, unknown> {
  expect(result.stderr).not.toContain("bug");
  return JSON.parse(result.stdout) as Record<string, unknown>;
}

describeUnless(
  kernelSuiteUnavailable("gdb", "eu-readelf", "eu-unstrip") ?? notBuilt("cdh-inspect"),
  "cdh-inspect and the debuggers agree",
  () => {
    const suite = setUpKernel();
    afterAll(() => rmSync(built, { recursive: true, force: true }));

    /** How many callers of the crashed function both found. */
    const seen = new Map<string, number>();

    describe.each(languages)("about $name", ({ name, tool, signal, make }) => {
      it("registers, threads, build-ids and frames", async (context) => {
        const reason = missingTools(tool);
        if (reason !== undefined) skipAloud(context, reason);
        const [program, ...args] = make();
        const crash = await runCrash(program, args);
        expect(crash.signalName).toBe(signal);
        const { path } = await suite.composer.bundleOf(crash.pid, 120_000);
        const scratch = mkdtempSync(join(suite.scratch, "core-"));
        expect((await runBuilt("cdh-inspect", ["verify", path])).exitCode).toBe(0);
        const unpacked = json(
          await runBuilt("cdh-inspect", ["unpack", "-o", "json", path, scratch, "--entry", "core"]),
        );
        const [file] = unpacked["files"] as { path: string }[];
        const core = file?.path ?? "";
        const notes = readNotesWithElfutils(core);

        const { threads } = json(await runBuilt("cdh-inspect", ["threads", "-o", "json", path])) as {
          threads: ThreadFacts[];
        };
        expect(threads.map(({ tid, registers }) => [tid, BigInt(registers["pc"] ?? 0)])).toEqual(
          notes.threads.map(({ tid, registers }) => [tid, registers["rip"] ?? registers["pc"]]),
        );

        const { modules } = json(await runBuilt("cdh-inspect", ["modules", "-o", "json", path])) as {
          modules: ModuleFacts[];
        };
        const buildIds = buildIdsWithElfutils(core);
        const withIds = modules.filter((module) => module.buildId !== undefined);
        expect(withIds.length).toBeGreaterThan(0);
        for (const module of withIds) {
          const theirs = buildIds.get(BigInt(module.start));
          if (theirs !== undefined) expect([module.path, module.buildId]).toEqual([module.path, theirs]);
        }

        const shown = await runBuilt("cdh-inspect", ["show", path]);
        expect(shown.stdout).toContain(`died of ${signal}`);
        const stacks = await runBuilt("cdh-inspect", ["bt", path, "--exe", program], { timeoutMs: 120_000 });
        expect(stacks.exitCode, stacks.stderr).toBe(0);
        const innermost = /^#0 +(0x[0-9a-f]+)?/m.exec(gdb(program, core, "bt 1"))?.[1];
        const raw = json(await runBuilt("cdh-inspect", ["bt", "--raw", "-o", "json", path])) as {
          threads: { frames: { pc: string; function?: string; inlined?: true; kind?: string }[] }[];
        };
        const frames = nativeFrames(raw.threads[0]?.frames ?? []).filter(({ inlined }) => inlined !== true);
        const [top] = frames;
        if (innermost !== undefined) expect(BigInt(top?.pc ?? 0)).toBe(BigInt(innermost));
        // gdb unwinds Go by tables of Go's own; inlined functions share their caller's address.
        if (name !== "Go") {
          const ours = frames.slice(1).map(({ pc }) => pc);
          const theirs = callersOf(gdb(program, core, "bt")).filter((pc) => pc !== top?.pc);
          const callers = theirs.filter((pc) => ours.includes(pc));
          // gdb also shows a function that went on to another by a tail call, which is on no stack.
          expect(theirs.length - callers.length).toBeLessThanOrEqual(1);
          expect(ours.slice(0, callers.length)).toEqual(callers);
          seen.set(name, callers.length);
        }
        expect(stacks.stdout).toContain("Thread 1 ");

        const address = threads[0]?.registers["sp"] ?? "";
        const memory = await runBuilt("cdh-inspect", ["cat", path, "core", "--address", `${address}+16`, "--hex"]);
        const words = /0x[0-9a-f]+.*:\s+(0x[0-9a-f]+)\s+(0x[0-9a-f]+)/.exec(gdb(program, core, `x/2gx ${address}`));
        const bytes = memory.stdout.slice(14, 14 + 49).replaceAll(/\s+/g, "");
        const ours = [0, 8].map((at) => Buffer.from(bytes, "hex").readBigUInt64LE(at));
        expect(ours).toEqual([BigInt(words?.[1] ?? -1), BigInt(words?.[2] ?? -1)]);
      }, 300_000);
    });

    it("compares stacks that are worth it", (context) => {
      if (!seen.has("Python") || !seen.has("Rust")) skipAloud(context, "neither Python nor Rust ran here");
      expect(seen.get("C")).toBeGreaterThanOrEqual(5);
      expect(seen.get("C without frame pointers")).toBeGreaterThanOrEqual(5);
      expect(Math.max(...seen.values())).toBeGreaterThanOrEqual(10);
    });

    it("names the frames without a debugger, with frame pointers and without", async () => {
      for (const language of languages.slice(0, 2)) {
        const [program] = language.make();
        const crash = await runCrash(program);
        const { path } = await suite.composer.bundleOf(crash.pid);
        const raw = json(await runBuilt("cdh-inspect", ["bt", "--raw", "-o", "json", path])) as {
          threads: { frames: { function?: string }[] }[];
        };
        const names = raw.threads[0]?.frames.map((frame) => frame.function?.replace(/\..*/, ""));
        const expected = ["frame_five", "frame_four", "frame_three", "frame_two", "frame_one", "main"];
        expect(names?.slice(0, 6)).toEqual(expected);
        expect(names?.at(-1)).toBe("_start");
      }
    });
  },
);
