import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { isElf64, readLoaderFacts } from "../change/loader.ts";
import { makeCrashProgram } from "./crash-program.ts";

// That it crashes, `cdh-sysctl doctor` shows in test/sysctl, where the kernel's settings are held.
describe("makeCrashProgram", () => {
  it.each(["x64", "arm64"])("makes a static executable of a few bytes for %s", (architecture) => {
    const file = makeCrashProgram(architecture);
    expect(isElf64(file)).toBe(true);
    expect(file.length).toBeLessThan(256);
    expect(readLoaderFacts((offset, length) => file.subarray(offset, offset + length))).toEqual({});
  });

  it("asks for a core without limit before it crashes", (context) => {
    const directory = mkdtempSync(join(tmpdir(), "cdh-tiny-"));
    try {
      const program = join(directory, "tiny");
      writeFileSync(program, makeCrashProgram(process.arch), { mode: 0o700 });
      // Killed as it asks: a crash would be somebody's who holds the kernel's settings.
      const { stderr, error } = spawnSync(
        "strace",
        ["-e", "trace=prlimit64,getpid,kill", "-e", "inject=kill:signal=KILL", program],
        {
          encoding: "utf8",
        },
      );
      if (error !== undefined || /ptrace/i.test(stderr)) context.skip(`strace: ${error?.message ?? stderr}`);
      expect(stderr).toContain("prlimit64(0, RLIMIT_CORE, {rlim_cur=RLIM64_INFINITY, rlim_max=RLIM64_INFINITY}");
      // A fault would leave a line in the kernel's log each time.
      expect(stderr).toMatch(/kill\(\d+, SIGSEGV/);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });

  it("knows no other machine", () => {
    expect(() => makeCrashProgram("s390x")).toThrow(expect.objectContaining({ code: "CDH_ENVIRONMENT" }));
  });
});
