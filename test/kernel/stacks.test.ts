import { execFileSync, spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { notBuilt, runBuilt } from "../helpers/built.ts";
import { compareStacks, ourStacks } from "../helpers/compare-stacks.ts";
import { compilerUnavailable } from "../helpers/crash-programs.ts";
import { kernelUnavailable } from "../helpers/kernel-state.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { skipAloud } from "../helpers/skip.ts";
import { makeStackCores, type StackCore } from "../helpers/stack-cores.ts";
import { STACK_PROGRAMS, stackProgramUnavailable } from "../helpers/stack-programs.ts";
import { missingTools } from "../helpers/tools.ts";

const unavailable =
  kernelUnavailable() ?? compilerUnavailable() ?? notBuilt("cdh-inspect") ?? missingTools("gdb", "eu-stack");
const folder = scratchDirectory("stacks");
let made: Promise<Map<string, StackCore>> | undefined;

/** The cores, made when the first test asks for one. */
async function coreOf(name: string): Promise<StackCore> {
  made ??= makeStackCores(folder).then(({ cores }) => new Map(cores.map((one) => [one.of.name, one])));
  const found = (await made).get(name);
  if (found === undefined) throw new Error(`no core of ${name}`);
  return found;
}

/** Names of `functions` in the order in which they are on the stack. */
function inOrder(names: readonly (string | undefined)[], functions: readonly string[]): string[] {
  const found: string[] = [];
  for (const name of names) {
    const next = functions[found.length];
    if (next !== undefined && name?.replace(/\.(?:isra|constprop|part|abi0).*$/, "") === next) found.push(next);
  }
  return found;
}

describe("own stacks", () => {
  it.for(STACK_PROGRAMS.map(({ name }) => name))("of %s are whole", { timeout: 900_000 }, async (name, context) => {
    const of = STACK_PROGRAMS.find((one) => one.name === name);
    const reason = unavailable ?? (of === undefined ? "no program" : stackProgramUnavailable(of));
    if (reason !== undefined) skipAloud(context, reason);
    const { core, program, twin } = await coreOf(name);
    const compared = await compareStacks(core, program, twin);
    expect(compared.length).toBeGreaterThan(0);
    for (const { crashed, truth, ours, elfutils, walked } of compared) {
      if (ours < Math.max(truth, elfutils) && crashed) expect(walked.ours).toEqual(walked.truth);
      expect(ours).toBeGreaterThanOrEqual(elfutils);
    }
    const [top] = (await ourStacks(core, program)).filter(({ crashed }) => crashed);
    const functions = of?.functions ?? [];
    expect(inOrder(top?.frames.map((frame) => frame.function) ?? [], functions)).toEqual(functions);
  });

  it("show both ends of an endless recursion", { timeout: 900_000 }, async (context) => {
    if (unavailable !== undefined) skipAloud(context, unavailable);
    const { core, program } = await coreOf("overflow");
    const [stack] = await ourStacks(core, program);
    expect(stack?.leftOut?.count).toBeGreaterThan(1000);
    expect(stack?.frames.length).toBeLessThanOrEqual(256);
    expect(stack?.endsHere).toBeUndefined();
  });

  it("say what a smashed stack has for a return address", { timeout: 900_000 }, async (context) => {
    if (unavailable !== undefined) skipAloud(context, unavailable);
    const { core, program } = await coreOf("smashed");
    const [stack] = await ourStacks(core, program);
    expect(stack?.endsHere).toBe("return address 0x4141414141414141 is no code");
  });

  it("have lines of the source", { timeout: 900_000 }, async (context) => {
    if (unavailable !== undefined) skipAloud(context, unavailable);
    for (const name of ["plain", "dwarf4", "compressed", "debuglink"]) {
      const { core, program } = await coreOf(name);
      const [stack] = await ourStacks(core, program);
      const places = stack?.frames.map(({ function: fn, file, line }) => `${fn} ${file?.split("/").at(-1)}:${line}`);
      expect(places?.slice(0, 4)).toEqual([
        "total recursion.c:11",
        "walk recursion.c:15",
        "walk recursion.c:19",
        "walk recursion.c:19",
      ]);
    }
  });

  it("find the modules of a core that lists no files", { timeout: 900_000 }, async (context) => {
    if (unavailable !== undefined) skipAloud(context, unavailable);
    const { core, program } = await coreOf("plain");
    const bare = `${core}.bare`;
    const bytes = readFileSync(core);
    // NT_FILE becomes a note of a kind that nobody knows.
    const at = bytes.indexOf(Buffer.from("ELIFCORE\0", "latin1"));
    expect(at).toBeGreaterThan(0);
    bytes.writeUInt32LE(0x7f7f7f7f, at);
    writeFileSync(bare, bytes);
    const [listed, found] = [await modulesOf(core), await modulesOf(bare)];
    const known = listed
      .filter(({ buildId }) => buildId !== undefined)
      .map(({ start, buildId }) => `${start} ${buildId}`);
    expect(known.length).toBeGreaterThan(2);
    expect(found.map(({ start, buildId }) => `${start} ${buildId}`).toSorted()).toEqual(known.toSorted());
    expect(found.some(({ path }) => path.endsWith("/libc.so.6"))).toBe(true);
    const pcs = async (file: string): Promise<string[]> =>
      (await ourStacks(file, program)).flatMap(({ frames }) => frames.map(({ pc, function: fn }) => `${pc} ${fn}`));
    expect(await pcs(bare)).toEqual(await pcs(core));
    const shown = await runBuilt("cdh-inspect", ["show", bare]);
    expect(shown.stdout).toContain("the core lists no files");
  });

  it("of a live process by gcore, which leaves the code out", { timeout: 900_000 }, async (context) => {
    if (unavailable !== undefined) skipAloud(context, unavailable);
    const sleeper = spawn("sleep", ["600"], { stdio: "ignore" });
    try {
      const file = join(folder, "gcore");
      execFileSync("gdb", ["-nx", "-batch", "-p", String(sleeper.pid), "-ex", `gcore ${file}`], { stdio: "pipe" });
      const exe = execFileSync("readlink", ["-f", `/proc/${sleeper.pid}/exe`], { encoding: "utf8" }).trim();
      const [compared] = await compareStacks(file, exe, undefined);
      expect(compared?.truth).toBeGreaterThan(3);
      expect(compared?.walked.ours).toEqual(compared?.walked.truth);
    } finally {
      sleeper.kill("SIGKILL");
    }
  });
});

interface Module {
  path: string;
  start: string;
  buildId?: string;
}

async function modulesOf(core: string): Promise<Module[]> {
  const { stdout } = await runBuilt("cdh-inspect", ["modules", "-o", "json", core]);
  return (JSON.parse(stdout) as { modules: Module[] }).modules;
}
