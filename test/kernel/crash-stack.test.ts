import { copyFileSync, existsSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { loadavg } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import type { Manifest, StackFacts } from "@cdh/core/bundle/manifest";
import { crashLine } from "@cdh/core/report/crash-line";
import { runBuilt } from "../helpers/built.ts";
import { compileCrashPrograms } from "../helpers/crash-programs.ts";
import { runCrash, type CrashOptions } from "../helpers/run-crash.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless, skipAloud } from "../helpers/skip.ts";
import { argumentsIn, STACK_PROGRAMS, stackProgramUnavailable } from "../helpers/stack-programs.ts";
import { kernelSuiteUnavailable, setUpKernel } from "./suite.ts";

/** Names of `functions` in the order in which they are on the stack. */
function inOrder(names: readonly (string | undefined)[], functions: readonly string[]): string[] {
  const found: string[] = [];
  for (const name of names) {
    const next = functions[found.length];
    const bare = name?.replace(/\.(?:isra|constprop|part|abi0).*$/, "").replace(/(?<!\.)\([^)]*\)$/, "");
    if (next !== undefined && bare === next) found.push(next);
  }
  return found;
}

function crashedStack(manifest: Manifest): StackFacts | undefined {
  return manifest.threads?.find(({ crashed }) => crashed === true)?.stack;
}

const functionsOf = (manifest: Manifest): (string | undefined)[] =>
  crashedStack(manifest)?.frames.map((frame) => frame.function) ?? [];

/** What went wrong with a stack. On a machine with far more work than processors the time for lines may run out. */
function stackProblems({ problems }: Manifest): unknown[] {
  const isStarved = (loadavg()[0] ?? 0) > 6;
  return problems.filter(({ step, code }) => step === "stack" && !(isStarved && code === "CDH_STACK_DEADLINE"));
}

/** What the node cannot know, because it is in files of another package, or is read otherwise there. */
const FUNCTIONS: Readonly<Record<string, readonly string[]>> = {
  thrown: ["shop::pay", "main"],
  rust: ["<panic::Square as panic::Shape>::area", "panic::sum"],
  "rust-v0": ["<panic::Square as panic::Shape>::area", "panic::sum"],
  debuglink: ["__libc_start_main"],
  "go-deep": ["runtime.newstack", "main.descend", "main.descend"],
};

/** The line that everybody reads. */
const LINES: Readonly<Record<string, RegExp>> = {
  plain: /^SIGSEGV \(null pointer\) in total\(\) at recursion\.c:11 ← walk\(\) ← main\(\)$/,
  thrown: /^SIGABRT in shop::Cart::pick\(\) at thrown\.cpp:11 ← shop::pay\(\) ← main\(\)$/,
  handler: /^SIGABRT in clean_up\(\) at handler\.c:10 ← on_signal\(\) ← follow\(\) ← work\(\)$/,
  static: /^SIGSEGV \(null pointer\) in total\(\) at recursion\.c:11 ← walk\(\) ← main\(\)$/,
  "call-null": /^SIGSEGV \(null pointer\) in 0x0 ← dispatch\(\) ← main\(\)$/,
  "go-nil":
    /^panic: runtime error: invalid memory address or nil pointer dereference in main\.\(\*node\)\.nextValue\(\) at nil\.go:15 ← main\.\(\*node\)\.sum\(\) ← main\.process\(\)/,
  "go-stripped":
    /^panic: runtime error: invalid memory address or nil pointer dereference in main\.\(\*node\)\.nextValue\(\) at nil\.go:15 ← main\.\(\*node\)\.sum\(\)/,
};

/** An ELF file with nothing but headers: two pages of code, and a table of symbols up to the file's end. */
function hugeSymbolTable(size: number): Buffer {
  const elf = Buffer.alloc(4096);
  elf.set(readFileSync(compileCrashPrograms().segv).subarray(0, 64));
  elf.writeBigUInt64LE(64n, 32);
  elf.writeBigUInt64LE(256n, 40);
  elf.writeUInt16LE(1, 56);
  elf.writeUInt16LE(3, 60);
  elf.writeUInt16LE(0, 62);
  // One program header: type, flags, offset, addresses, sizes, alignment.
  elf.writeUInt32LE(1, 64);
  elf.writeUInt32LE(5, 68);
  for (const [index, value] of [0n, 0n, 0n, 8192n, 8192n, 4096n].entries()) elf.writeBigUInt64LE(value, 72 + index * 8);
  // Sections 1 (symbols) and 2 (their texts), 64 bytes each behind an empty one.
  const section = (at: number, type: number, offset: bigint, length: bigint, link: number): void => {
    elf.writeUInt32LE(type, at + 4);
    elf.writeBigUInt64LE(offset, at + 24);
    elf.writeBigUInt64LE(length, at + 32);
    elf.writeUInt32LE(link, at + 40);
    elf.writeBigUInt64LE(24n, at + 56);
  };
  section(256 + 64, 2, 8192n, BigInt(size) - 8192n, 2);
  section(256 + 128, 3, 4096n, 4096n, 0);
  return elf;
}

describeUnless(kernelSuiteUnavailable(), "the stack at crash time", () => {
  const suite = setUpKernel();
  const folder = scratchDirectory("crash-stack");

  /** Build a program, crash it, and wait for its bundle. */
  async function crash(name: string, options: CrashOptions = {}): Promise<{ manifest: Manifest; path: string }> {
    const of = STACK_PROGRAMS.find((one) => one.name === name);
    if (of === undefined) throw new Error(`no program ${name}`);
    const { program } = of.build(folder);
    const { pid } = await runCrash(program, argumentsIn(of, folder), { cwd: folder, ...options, env: { ...of.env } });
    return await suite.composer.bundleOf(pid, 60_000);
  }

  it.for(STACK_PROGRAMS.map(({ name }) => name))(
    "of %s has its functions",
    { timeout: 180_000 },
    async (name, context) => {
      const of = STACK_PROGRAMS.find((one) => one.name === name);
      const reason = of === undefined ? "no program" : stackProgramUnavailable(of);
      if (reason !== undefined) skipAloud(context, reason);
      const { manifest } = await crash(name);
      expect(stackProblems(manifest)).toEqual([]);
      const functions = FUNCTIONS[name] ?? of?.functions ?? [];
      const found = functionsOf(manifest);
      expect(found.length).toBeGreaterThan(0);
      expect(inOrder(found, functions), found.join(" < ")).toEqual(functions);
      const line = LINES[name];
      if (line !== undefined) expect(crashLine(manifest)).toMatch(line);
    },
  );

  it("is there when the process allows no core", { timeout: 180_000 }, async () => {
    const { manifest } = await crash("plain", { rlimitCore: { soft: 0, hard: 0 } });
    expect(manifest.core).toMatchObject({ complete: false, truncatedBy: "rlimit" });
    expect(stackProblems(manifest)).toEqual([]);
    expect(inOrder(functionsOf(manifest), ["total", "walk", "main"])).toEqual(["total", "walk", "main"]);
  });

  it("has the names of a program whose file is gone", { timeout: 180_000 }, async () => {
    const program = join(folder, "to-be-removed");
    copyFileSync(compileCrashPrograms()["in-file"], program);
    const { pid } = await runCrash(program, [program]);
    const { manifest } = await suite.composer.bundleOf(pid, 60_000);
    expect(existsSync(program)).toBe(false);
    expect(stackProblems(manifest)).toEqual([]);
    expect(crashLine(manifest)).toMatch(/^SIGSEGV \(null pointer\) in crash_here\(\) at crash\.h:\d+ ← main\(\)$/);
  });

  it("is of each thread, with its name", { timeout: 180_000 }, async () => {
    const { manifest } = await crash("threads");
    const threads = manifest.threads ?? [];
    expect(threads.length).toBeGreaterThan(1);
    for (const { name, stack } of threads) {
      expect(name).toBe("threads");
      expect(stack?.frames.length).toBeGreaterThan(1);
      expect(stack?.end.kind).toBe("outermost");
    }
  });

  it("costs no bundle when a mapped file is damaged", { timeout: 180_000 }, async () => {
    const file = join(folder, "damaged.so");
    // The headers of a real program, and nothing of what they promise.
    writeFileSync(file, readFileSync(compileCrashPrograms().segv).subarray(0, 1024));
    truncateSync(file, 8192);
    const { pid } = await runCrash(compileCrashPrograms()["in-file"], [file]);
    const { manifest } = await suite.composer.bundleOf(pid, 60_000);
    expect(manifest.core.complete).toBe(true);
    expect(functionsOf(manifest)).toContain("main");
  });

  it("costs no bundle when a mapped file promises more symbols than can be read", { timeout: 180_000 }, async () => {
    const file = join(folder, "huge.so");
    writeFileSync(file, hugeSymbolTable(10 * 1024 ** 3));
    truncateSync(file, 10 * 1024 ** 3);
    const { pid } = await runCrash(compileCrashPrograms()["in-file"], [file]);
    const { manifest } = await suite.composer.bundleOf(pid, 60_000);
    expect(manifest.core.complete).toBe(true);
    expect(
      crashedStack(manifest)?.frames.length ?? manifest.problems.filter(({ step }) => step === "stack").length,
    ).toBeGreaterThan(0);
  });

  it("is what the reports begin with, and what the log says", { timeout: 180_000 }, async () => {
    const { manifest, path } = await crash("plain");
    const said = crashLine(manifest);
    const shown = await runBuilt("cdh-inspect", ["show", path]);
    expect(shown.stdout.split("\n").slice(0, 4).join("\n")).toContain(said);
    expect(shown.stdout).toMatch(/#0 +total {2}\S*recursion\.c:11/);
    const listed = await runBuilt("cdh-inspect", ["ls", suite.composer.coreDir]);
    expect(listed.stdout).toContain("total() at recursion.c:11");
    const report = suite.composer.log().find((line) => line["crashId"] === manifest.crashId);
    expect(report?.["summary"]).toBe(said);
  });
});
