import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { expect, it } from "vitest";
import type { Manifest } from "@cdh/core/bundle/manifest";
import { crashLine } from "@cdh/core/report/crash-line";
import { REPOSITORY } from "../helpers/repository.ts";
import { runCrash, type CrashOptions } from "../helpers/run-crash.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless, skipAloud } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { kernelSuiteUnavailable, setUpKernel } from "./suite.ts";

const SOURCES = join(REPOSITORY, "test/inspect/programs/messages");
const GO = { GOTRACEBACK: "crash" };

/** How a program is built, and what it says when it ends in which way. */
const BUILDS: Readonly<Record<string, readonly string[]>> = {
  libc: ["gcc", "-g", "-O1", "-w", "-fstack-protector-all", "libc.c"],
  "libc-static-stripped": ["gcc", "-O1", "-w", "-static", "-s", "-fstack-protector-all", "libc.c"],
  go: ["go", "build", "panic.go"],
  "go-stripped": ["go", "build", "-ldflags", "-s -w", "panic.go"],
};

const SAID: readonly [build: string, how: string, kind: string, text: RegExp][] = [
  ["libc", "assert", "assert", /^libc: libc\.c:8: check: Assertion `count > 3 && "cart has items"' failed\.$/],
  ["libc", "free", "abort", /^free\(\): double free detected in tcache 2$/],
  ["libc", "smash", "abort", /^\*\*\* stack smashing detected \*\*\*: terminated$/],
  ["libc-static-stripped", "assert", "assert", /Assertion `count > 3 .*' failed\.$/],
  ["go", "error", "panic", /^panic: no such cart$/],
  ["go", "index", "panic", /^panic: runtime error: index out of range \[5\] with length 0$/],
  ["go", "nil", "panic", /^panic: runtime error: invalid memory address or nil pointer dereference$/],
  ["go-stripped", "error", "panic", /^panic: no such cart$/],
];

describeUnless(kernelSuiteUnavailable(), "the message at crash time", () => {
  const suite = setUpKernel();
  const folder = scratchDirectory("crash-message");
  const built = new Map<string, string>();

  function build(name: string): string {
    const known = built.get(name);
    if (known !== undefined) return known;
    const [command = "", ...args] = BUILDS[name] ?? [];
    const program = join(folder, name);
    const source = args.pop() ?? "";
    const env = { ...process.env, GO111MODULE: "off" };
    execFileSync(command, [...args, "-o", program, source], { cwd: SOURCES, stdio: "pipe", env });
    built.set(name, program);
    return program;
  }

  async function crash(name: string, args: readonly string[], options: CrashOptions = {}): Promise<Manifest> {
    const { pid } = await runCrash(build(name), args, { env: GO, ...options });
    return (await suite.composer.bundleOf(pid, 60_000)).manifest;
  }

  it.for(SAID)(
    "of %s that ends by %s is in its memory",
    { timeout: 180_000 },
    async ([name, how, kind, text], context) => {
      const reason = missingTools(BUILDS[name]?.[0] ?? "");
      if (reason !== undefined) skipAloud(context, reason);
      const { message, ...rest } = await crash(name, [how]);
      expect(message).toMatchObject({ kind, source: "memory" });
      expect(message?.text).toMatch(text);
      // It is what everybody reads first, before the place.
      expect(crashLine({ ...rest, ...(message && { message }) }).startsWith(`${message?.text ?? "?"} in `)).toBe(true);
    },
  );

  it("is there when the process allows no core", { timeout: 180_000 }, async () => {
    const manifest = await crash("libc", ["assert"], { rlimitCore: { soft: 0, hard: 0 } });
    expect(manifest.core.truncatedBy).toBe("rlimit");
    expect(manifest.message).toMatchObject({ kind: "assert", source: "memory" });
  });

  it("is absent where the program said nothing", { timeout: 180_000 }, async () => {
    const manifest = await crash("libc", ["silent"]);
    expect(manifest.signal.name).toBe("SIGABRT");
    expect(manifest).not.toHaveProperty("message");
  });

  it("is bounded, and no character of it ends a line or moves a cursor", { timeout: 180_000 }, async () => {
    const hostile = `\u001b[2Ja\r\u2028\u202eb\u0085${"\u0007".repeat(50)}\n${"x\u2029\n".repeat(200)}${"y".repeat(60_000)}`;
    const { message } = await crash("libc", ["text", hostile]);
    expect(message?.kind).toBe("assert");
    const lines = [message?.text ?? "", ...(message?.more ?? [])];
    expect(lines.length).toBeLessThanOrEqual(7);
    // eslint-disable-next-line no-control-regex -- what must not be there
    expect(lines.join("")).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u2028-\u202e]/);
    expect(Buffer.byteLength(JSON.stringify(message))).toBeLessThan(4096);
  });
});

describeUnless(kernelSuiteUnavailable(), "MESSAGE=off", () => {
  const suite = setUpKernel({ settings: { MESSAGE: "off" } });
  const folder = scratchDirectory("crash-message-off");

  it("leaves it out, and not the stack", { timeout: 180_000 }, async () => {
    const program = join(folder, "libc");
    execFileSync("gcc", ["-g", "-O1", "-w", "-o", program, "libc.c"], { cwd: SOURCES, stdio: "pipe" });
    const { pid } = await runCrash(program, ["assert"]);
    const { manifest } = await suite.composer.bundleOf(pid, 60_000);
    expect(manifest).not.toHaveProperty("message");
    expect(crashLine(manifest)).toBe("SIGABRT in check() at libc.c:8 ← main()");
  });
});
