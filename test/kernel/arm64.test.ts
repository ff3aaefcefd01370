import { mkdtempSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import type { Manifest, ModuleFacts, ThreadFacts } from "@cdh/core/bundle/manifest";
import {
  arm64MachineUnavailable,
  crashOnArm64,
  keepAnswer,
  type Arm64Answer,
  type Arm64Job,
} from "../helpers/arm64-machine.ts";
import { arm64CompilerUnavailable, compileArm64Go, makeArm64Root } from "../helpers/arm64-programs.ts";
import { notBuilt, outcomeOf, runBuilt } from "../helpers/built.ts";
import { openBundleFile, type OpenBundle } from "../helpers/bundle-files.ts";
import { buildIdsWithElfutils, readNotesWithElfutils, type ElfutilsNotes } from "../helpers/core-readers.ts";
import { askGdb, gdbStacks, type GdbThread } from "../helpers/gdb-stacks.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";

interface Case extends Arm64Job {
  signal: "SIGSEGV" | "SIGABRT";
  /** Functions of the crashed thread, the innermost first, as far as the case knows them. */
  stack: string[];
  threads?: number;
}

const STEPS = ["step_four", "step_three", "step_two", "step_one"];
const LIBRARY = ["library_three", "library_two", "through_library"];
const GO = "/app/go";
const CASES: Case[] = [
  { compression: "zstd", command: ["/app/framed", "deep"], signal: "SIGSEGV", stack: ["step_five", ...STEPS, "main"] },
  {
    compression: "deflate",
    command: ["/app/frameless", "library"],
    signal: "SIGSEGV",
    stack: ["step_five", ...STEPS, ...LIBRARY, "main"],
  },
  { compression: "none", command: ["/app/signed", "abort"], signal: "SIGABRT", stack: ["step_five", ...STEPS, "main"] },
  {
    compression: "zstd",
    command: ["/app/signed", "handler"],
    signal: "SIGABRT",
    stack: ["give_up", "on_signal", "<signal handler called>", "read_it", ...STEPS, "main"],
  },
  { compression: "zstd", command: ["/app/frameless", "nowhere"], signal: "SIGSEGV", stack: ["call_nowhere", "main"] },
  { compression: "zstd", command: ["/app/thrown"], signal: "SIGABRT", stack: [], threads: 2 },
  {
    compression: "zstd",
    command: [GO],
    signal: "SIGABRT",
    // Go's handler of the SIGSEGV puts its own call between goFour and what the link register said then: goThree.
    stack: ["<signal handler called>", "main.goFour", "main.goTwo", "main.goOne", "main.main", "runtime.main"],
  },
];

interface RawFrame {
  pc: string;
  function?: string;
  signal?: true;
  inlined?: true;
}

interface Looked {
  path: string;
  bundle: OpenBundle;
  manifest: Manifest;
  core: string;
  notes: ElfutilsNotes;
}

describeUnless(
  arm64MachineUnavailable() ??
    arm64CompilerUnavailable() ??
    notBuilt("cdh-inspect") ??
    missingTools("gdb-multiarch", "eu-readelf", "eu-unstrip", "go"),
  "crashes on a real arm64 kernel",
  () => {
    const scratch = scratchDirectory("arm64-kernel");
    const root = join(scratch, "root");
    let answer: Arm64Answer;
    const looked = new Map<string, Looked>();

    const json = async <T>(...args: string[]): Promise<T> => {
      const result = await runBuilt("cdh-inspect", [...args, "-o", "json"]);
      expect(outcomeOf(result)).toBe("exit 0");
      return JSON.parse(result.stdout) as T;
    };

    beforeAll(async () => {
      makeArm64Root(root, ["framed", "frameless", "signed"]);
      compileArm64Go(join(root, GO));
      answer = await crashOnArm64(scratch, root, CASES, 400_000);
      const bundles = await Promise.all(
        keepAnswer(answer, join(scratch, "bundles"), ".zip").map((path) => openBundleFile(path)),
      );
      for (const [index, { command }] of CASES.entries()) {
        const bundle = bundles.find(({ manifest }) => manifest.process.pid === answer.crashes[index]?.pid);
        if (bundle === undefined) continue;
        const { path: core } = await bundle.unpackCore(mkdtempSync(join(scratch, "core-")));
        looked.set(command.join(" "), {
          path: bundle.path,
          bundle,
          manifest: bundle.manifest,
          core,
          notes: readNotesWithElfutils(core),
        });
      }
    }, 600_000);

    it("the kernel starts the composer for each, and each becomes a bundle", () => {
      expect(answer.files.get("/out/version.txt")?.toString()).toMatch(/^Linux version \d/);
      expect(answer.files.get("/out/self-test-status")?.toString()).toBe("0\n");
      expect(answer.crashes.map(({ coreDumped }) => coreDumped)).toEqual(CASES.map(() => true));
      expect(answer.measurements.map(({ exitCode }) => exitCode)).toEqual(CASES.map(() => 0));
      expect(looked.size).toBe(CASES.length);
    });

    describe.each(CASES)("$command", ({ command, compression, signal, stack, threads: threadCount }) => {
      const [program] = command;
      const crash = (): Looked => {
        const found = looked.get(command.join(" "));
        if (found === undefined) throw new Error(`no bundle; the console said:\n${answer.console.slice(-2000)}`);
        return found;
      };

      it("says in its manifest what elfutils finds in the core", () => {
        const { manifest, notes, core } = crash();
        expect(manifest.node).toMatchObject({
          architecture: "arm64",
          kernelRelease: expect.stringMatching(/^\d+\.\d+/),
        });
        expect(manifest.core).toMatchObject({ compression, complete: true });
        expect(manifest.signal).toMatchObject({ name: signal, number: notes.signal, code: notes.code });
        if (signal === "SIGSEGV") expect(manifest.signal.faultAddress).toBe(command[1] === "nowhere" ? "0x0" : "0x10");
        expect(manifest.process).toMatchObject({ exe: program, cmdline: [...command] });
        const threads = manifest.threads ?? [];
        // Go starts threads as it needs them.
        if (program === GO) expect(threads.length).toBeGreaterThan(1);
        else expect(threads).toHaveLength(threadCount ?? 6);
        expect(
          threads.map(({ tid, registers }) => [tid, BigInt(registers["pc"] ?? -1), BigInt(registers["sp"] ?? -1)]),
        ).toEqual(notes.threads.map(({ tid, registers }) => [tid, registers["pc"], registers["sp"]]));
        const crashed = Object.entries(threads[0]?.registers ?? {}).map(([name, value]) => [name, BigInt(value)]);
        expect(crashed).toHaveLength(34);
        expect(Object.fromEntries(crashed)).toEqual(
          Object.fromEntries(
            Object.entries(notes.threads[0]?.registers ?? {})
              .filter(([name]) => /^(x\d+|sp|pc|pstate)$/.test(name))
              .map(([name, value]) => [name, BigInt.asUintN(64, value)]),
          ),
        );
        // Whatever the kernel lists as mapped is in a module, whole.
        const modules = manifest.modules ?? [];
        for (const { path, start, end } of notes.files) {
          const module = modules.find(
            (one) => one.path === path && BigInt(one.start) <= start && end <= BigInt(one.end),
          );
          expect([path, start.toString(16), module?.path]).toEqual([path, start.toString(16), path]);
        }
        const buildIds = buildIdsWithElfutils(core);
        for (const { path, start, buildId } of modules) {
          const theirs = buildIds.get(BigInt(start));
          // The vDSO may lie in the loader's hole, where elfutils does not look for another module.
          if (path !== "[vdso]" || theirs !== undefined) expect([path, buildId]).toEqual([path, theirs]);
        }
        expect(modules.find(({ path }) => path === "[vdso]")?.buildId).toMatch(/^[0-9a-f]{40}$/);
        const expected = program === GO ? [GO, "[vdso]"] : [program, "/lib/libc.so.6", "[vdso]"];
        expect(modules.map(({ path }) => path)).toEqual(expect.arrayContaining(expected));
        expect(manifest.problems.filter(({ step }) => step === "core")).toEqual([]);
      });

      it("is undamaged, and unpacks to the core that the kernel wrote", async () => {
        const { path, manifest, core } = crash();
        const verified = await runBuilt("cdh-inspect", ["verify", path]);
        expect(outcomeOf(verified)).toBe("exit 0");
        const { files } = await json<{ files: { path: string; sha256: string }[] }>(
          "unpack",
          path,
          join(scratch, "unpacked", compression, program),
          "--entry",
          "core",
        );
        expect(files[0]?.sha256).toBe(manifest.core.sha256);
        expect(readFileSync(files[0]?.path ?? "").equals(readFileSync(core))).toBe(true);
      });

      it("shows the same threads, registers and memory as gdb", async () => {
        const { path, core } = crash();
        const { threads } = await json<{ threads: ThreadFacts[] }>("threads", path);
        const said = askGdb("gdb-multiarch", {
          executable: join(root, program),
          core,
          sysroot: root,
          commands: ["info threads", "info registers", "x/2gx $sp"],
        });
        const tids = new Set([...said.matchAll(/LWP (\d+)/g)].map(([, tid]) => Number(tid)));
        expect([...tids].toSorted()).toEqual(threads.map(({ tid }) => tid).toSorted());
        const registers = [...said.matchAll(/^(x\d+|sp|pc) +(0x[0-9a-f]+)/gm)].map(([, name, value]) => [
          name,
          BigInt(value ?? 0),
        ]);
        expect(registers).toHaveLength(33);
        for (const [name, value] of registers)
          expect([name, BigInt(threads[0]?.registers[String(name)] ?? -1)]).toEqual([name, value]);
        const words = /^0x[0-9a-f]+.*:\s+(0x[0-9a-f]+)\s+(0x[0-9a-f]+)/m.exec(said);
        const memory = await runBuilt("cdh-inspect", [
          "cat",
          path,
          "core",
          "--address",
          `${threads[0]?.registers["sp"]}+16`,
          "--hex",
        ]);
        const bytes = Buffer.from(memory.stdout.slice(14, 14 + 49).replaceAll(/\s+/g, ""), "hex");
        expect([bytes.readBigUInt64LE(0), bytes.readBigUInt64LE(8)]).toEqual([
          BigInt(words?.[1] ?? -1),
          BigInt(words?.[2] ?? -1),
        ]);
      });

      it("walks every thread as gdb does, without gdb", async () => {
        const { path, core } = crash();
        const { threads } = await json<{ threads: { tid: number; frames: RawFrame[] }[] }>(
          "bt",
          "--raw",
          "--sysroot",
          root,
          path,
        );
        const theirs = gdbStacks("gdb-multiarch", { executable: join(root, program), core, sysroot: root });
        expect(threads.map(({ tid }) => tid)).toEqual(theirs.map(({ tid }) => tid));
        for (const [index, { tid, frames }] of threads.entries()) {
          const physical = frames.filter(({ inlined }) => inlined !== true);
          const ours = physical.map(({ pc, signal: isSignal }) => (isSignal === true ? 0n : BigInt(pc)));
          const said = (theirs[index] as GdbThread).frames.map(({ pc }) => hex(pc));
          // gdb knows Go's own tables and not Go's signal frames: what both have is where the signal was raised.
          if (program !== GO) expect([tid, ours.map(hex)]).toEqual([tid, said]);
          else if (index === 0) expect(ours.slice(0, 4).map(hex)).toEqual(said.slice(0, 4));
        }
        // The processor made the signatures, which gdb sees and takes off, too.
        expect(theirs[0]?.frames.some(({ isSigned }) => isSigned)).toBe(program === "/app/signed");
        const names = threads[0]?.frames.map((frame) =>
          frame.signal === true
            ? "<signal handler called>"
            : frame.function?.replace(/\.(constprop|part|isra|abi0).*/, ""),
        );
        expect(names?.filter((name) => name !== undefined && (stack.includes(name) || name.startsWith("<")))).toEqual(
          stack,
        );
      });
    });

    it("walks by frame pointers where no file is at hand, and by debuggers where they know the machine", async () => {
      const { path } = looked.get("/app/framed deep") ?? { path: "" };
      const raw = await runBuilt("cdh-inspect", ["bt", "--raw", path]);
      expect(raw.exitCode).toBe(3);
      expect(raw.stdout).toMatch(/ \(crashed\)\n(  #\d+ .*framed\+0x[0-9a-f]+.*\n){6,}/);
      const byGdb = await runBuilt("cdh-inspect", ["bt", "--sysroot", root, path]);
      expect(outcomeOf(byGdb)).toBe("exit 0");
      expect(byGdb.stdout).toMatch(/#0 .*step_five.*\n#1 .*step_four/);
    });

    it("has C++ callers up to the frame that threw", async () => {
      const { path } = looked.get("/app/thrown") ?? { path: "" };
      const { threads } = await json<{ threads: { frames: RawFrame[] }[] }>("bt", "--raw", "--sysroot", root, path);
      const names = threads[0]?.frames.map((frame) => frame.function ?? "") ?? [];
      const from = names.indexOf("__cxa_throw");
      expect(from).toBeGreaterThan(2);
      expect(names.slice(from + 1, from + 3)).toEqual([
        expect.stringContaining("weigh"),
        expect.stringContaining("pay"),
      ]);
    });

    it("keeps the composer's memory small", () => {
      for (const { maxRssBytes } of answer.measurements) expect(maxRssBytes).toBeLessThan(128 * 1024 * 1024);
    });

    it("lists modules with the build-ids of the files", async () => {
      const { path } = looked.get("/app/signed abort") ?? { path: "" };
      const { modules } = await json<{ modules: ModuleFacts[] }>("modules", path);
      expect(modules.find((module) => module.path === "/app/signed")?.buildId).toMatch(/^[0-9a-f]{40}$/);
    });
  },
);

const hex = (value: bigint): string => `0x${value.toString(16)}`;
