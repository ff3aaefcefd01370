import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { expect, it } from "vitest";
import type { Manifest } from "@cdh/core/bundle/manifest";
import { SeededRandom } from "@cdh/core/testing/random";
import { STACK_WORD } from "../../packages/cdc/src/kernel/invocation.ts";
import { compileCrashPrograms } from "../helpers/crash-programs.ts";
import { fuseUnavailable, mountFuse } from "../helpers/hanging-mount.ts";
import { REPOSITORY } from "../helpers/repository.ts";
import { runCrash } from "../helpers/run-crash.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless, skipAloud } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { kernelSuiteUnavailable, setUpKernel } from "./suite.ts";

/** What the reader of stacks may take in all, and what the rest of a small crash takes on a busy machine, milliseconds. */
const BUDGET_MS = 15_000 + 30_000;

const stackCodes = ({ problems }: Manifest): string[] =>
  problems.flatMap(({ step, code }) => (step === "stack" ? [code] : []));

/** Pids of the readers of stacks that run now. */
function walkers(): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, "latin1").split("\0")[1] === STACK_WORD;
      } catch {
        return false;
      }
    })
    .map(Number);
}

/** Start a program that waits, and give its pid once it does. The caller kills it. */
async function startWaiting(program: string): Promise<number> {
  // The shell gives the core limit that a crash needs, and becomes the program.
  const child = spawn("/bin/sh", ["-c", 'ulimit -c unlimited; exec "$0"', program], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  await once(child.stdout, "data");
  if (child.pid === undefined) throw new Error(`${program} was not started`);
  return child.pid;
}

describeUnless(kernelSuiteUnavailable(), "hostile files behind a stack", () => {
  const suite = setUpKernel();
  const folder = scratchDirectory("hostile-stacks");

  it("on a FUSE that hangs are left alone, and told", { timeout: 240_000 }, async (context) => {
    const reason = fuseUnavailable();
    if (reason !== undefined) skipAloud(context, reason);
    await using fuse = await mountFuse(folder, "fuse");
    copyFileSync(compileCrashPrograms().loop, join(fuse.behind, "loop"));
    const pid = await startWaiting(join(fuse.path, "loop"));
    await fuse.hang();
    process.kill(pid, "SIGSEGV");
    const { manifest } = await suite.composer.bundleOf(pid, 120_000);
    expect(manifest.core.complete).toBe(true);
    expect(stackCodes(manifest)).toEqual(["CDH_STACK_FILES"]);
    expect(manifest.problems).toContainEqual(expect.objectContaining({ detail: expect.stringContaining("on fuse") }));
    // What has files elsewhere has its names.
    expect(manifest.threads?.[0]?.stack?.frames[0]?.function).toMatch(/pause/);
    expect(manifest.composer.durationMs).toBeLessThan(BUDGET_MS);
  });

  it(
    "below an overlay of a FUSE that hangs cost the stack and its time, never the bundle",
    { timeout: 240_000 },
    async (context) => {
      const reason = fuseUnavailable();
      if (reason !== undefined) skipAloud(context, reason);
      await using fuse = await mountFuse(folder, "lower");
      copyFileSync(compileCrashPrograms().loop, join(fuse.behind, "loop"));
      const [upper, work, merged] = ["upper", "work", "merged"].map((name) => join(folder, name)) as [
        string,
        string,
        string,
      ];
      for (const each of [upper, work, merged]) mkdirSync(each);
      const layers = `lowerdir=${fuse.path},upperdir=${upper},workdir=${work}`;
      try {
        execFileSync("mount", ["-t", "overlay", "overlay", "-o", layers, merged], { stdio: "pipe" });
      } catch (error) {
        return skipAloud(context, `no overlay of a FUSE here: ${String(error)}`);
      }
      try {
        const pid = await startWaiting(join(merged, "loop"));
        await fuse.hang();
        process.kill(pid, "SIGSEGV");
        const { manifest } = await suite.composer.bundleOf(pid, 120_000);
        expect(manifest.core.complete).toBe(true);
        expect(manifest.signal.name).toBe("SIGSEGV");
        // Its pages may all be in memory: then nobody is asked.
        expect(["", "CDH_STACK_DEADLINE", "CDH_STACK_FILES"]).toContain(stackCodes(manifest).join());
        expect(manifest.composer.durationMs).toBeLessThan(BUDGET_MS);
        // Nobody is held for longer than the reader.
        expect(manifest.composer.drainMs).toBeLessThan(10_000);
      } finally {
        fuse.answer();
        execFileSync("umount", ["-l", merged], { stdio: "ignore" });
      }
    },
  );

  /** Programs with tables of each kind: symbols, unwind tables and DWARF; Go's. */
  const BASES = [
    { tables: "C's", hits: 40, tool: "gcc", build: () => compileCrashPrograms().segv },
    { tables: "Go's", hits: 2000, tool: "go", build: buildGo },
  ];

  function buildGo(): string {
    const program = join(folder, "go-base");
    const env = { ...process.env, GO111MODULE: "off" };
    const source = join(REPOSITORY, "test/inspect/programs/messages/panic.go");
    execFileSync("go", ["build", "-o", program, source], { stdio: "pipe", env });
    return program;
  }

  it.for(BASES)(
    "that are damaged anywhere cost at most the stack: $tables",
    { timeout: 600_000 },
    async (given, context) => {
      const { tables, hits, tool, build } = given;
      const reason = missingTools(tool);
      if (reason !== undefined) skipAloud(context, reason);
      const random = new SeededRandom(16);
      const base = readFileSync(build());
      for (let round = 0; round < 10; round += 1) {
        const bytes = Buffer.from(base);
        for (let hit = 0; hit < hits; hit += 1) {
          // Headers decide most.
          const near = random.integer(hits) < 8 ? random.integer(512) : random.integer(bytes.length);
          bytes[near] = random.integer(256);
        }
        // It stays an ELF file, so that it is read, and has zeros for code where it crashes.
        base.copy(bytes, 0, 0, 20);
        bytes.fill(0, 4096, 4128);
        const file = join(folder, `damaged-${tables}-${round}.so`);
        writeFileSync(file, bytes);
        const { pid } = await runCrash(compileCrashPrograms()["in-file"], [file]);
        const { manifest } = await suite.composer.bundleOf(pid, 120_000);
        expect(manifest.core.complete, `round ${round}`).toBe(true);
        expect(manifest.composer.durationMs, `round ${round}`).toBeLessThan(BUDGET_MS);
        const found = manifest.threads?.[0]?.stack?.frames.length ?? 0;
        // What is not there is told.
        expect(found > 0 || stackCodes(manifest).length > 0, `round ${round}`).toBe(true);
      }
    },
  );

  it("are read by two processes at most at a time, however many crash", { timeout: 300_000 }, async () => {
    let most = 0;
    const over = new AbortController();
    const watching = (async () => {
      while (!over.signal.aborted) {
        most = Math.max(most, walkers().length);
        await delay(10);
      }
    })();
    const crashes = await Promise.all(Array.from({ length: 8 }, () => runCrash(compileCrashPrograms().segv)));
    const bundles = await Promise.all(crashes.map(({ pid }) => suite.composer.bundleOf(pid, 120_000)));
    over.abort();
    await watching;
    expect(most).toBeGreaterThan(0);
    expect(most).toBeLessThanOrEqual(2);
    for (const { manifest } of bundles) {
      expect(manifest.core.complete).toBe(true);
      const codes = stackCodes(manifest);
      const isRead = (manifest.threads?.[0]?.stack?.frames.length ?? 0) > 0;
      expect(isRead || codes.length > 0, codes.join()).toBe(true);
    }
  });
});
