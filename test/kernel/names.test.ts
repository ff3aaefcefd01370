import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { compileCrashPrograms } from "../helpers/crash-programs.ts";
import { runCrash } from "../helpers/run-crash.ts";
import { describeUnless } from "../helpers/skip.ts";
import { kernelSuiteUnavailable, setUpKernel } from "./suite.ts";

/** File name and comm of the program, each a trap for a parser, a template, JSON, a zip or a shell. */
const NAMES = [
  { title: "blanks", file: "a program  with blanks", comm: "two words" },
  { title: "quotes", file: `say "hi" 'there'`, comm: `"q" 'q'` },
  { title: "braces", file: "{uuid}{{pid}}{nothing}", comm: "{exe_name}" },
  { title: "UTF-8", file: "größe-日本語-🙂", comm: "größe-日本" },
  { title: "what looks like our own words", file: "x -P=1 -s=9", comm: "x -P=1 -s=9" },
  { title: "dots and a slash in the comm", file: "..hidden.zip.", comm: "../../etc/x" },
  { title: "a newline and an escape sequence", file: "new\nline\u001b[31m", comm: "n\nl\u001b[31m" },
  { title: "a backslash, a percent sign and an exclamation mark", file: "a\\b%p!c", comm: "a\\b%p!c" },
];

describeUnless(kernelSuiteUnavailable(), "a program with a hostile name", () => {
  const suite = setUpKernel();
  let crashes = 0;

  it.each(NAMES)("$title", async ({ file, comm }) => {
    const executable = join(suite.scratch, file);
    copyFileSync(compileCrashPrograms()["hostile-name"], executable);
    const crash = await runCrash(executable, [comm]);
    crashes += 1;
    const bundle = await suite.composer.bundleOf(crash.pid);
    const { manifest } = bundle;
    expect(manifest.process.exe).toBe(executable);
    expect(manifest.process.cmdline).toEqual([executable, comm]);
    expect(Buffer.from(manifest.process.comm ?? "").length).toBeLessThanOrEqual(15);
    // The kernel itself turns control characters, "/", "." and ".." in %e into "!"; the rest is the comm as it is.
    const said = manifest.process.comm ?? "";
    expect([...said].map((character, index) => (character === "!" ? [...comm][index] : character)).join("")).toBe(comm);
    expect(manifest.signal.name).toBe("SIGSEGV");
    expect(manifest.bundle).toMatch(/^[^/\p{Cc}.][^/\p{Cc}]*\.zip$/u);
    // Dots inside stay, as IBM's readers know them.
    if (file.startsWith("..")) expect(manifest.bundle).toContain(`-${said}-${crash.pid}-`);
    expect(Buffer.byteLength(manifest.bundle)).toBeLessThanOrEqual(204);
    for (const entry of bundle.entries) expect(entry.name).not.toMatch(/^\/|(?:^|\/)\.\.?(?:\/|$)|\\|\p{Cc}/u);
    const dumpInfo = JSON.parse((await bundle.read("-dump-info.json")).toString()) as Record<string, unknown>;
    // As IBM's handler has it: the kernel's own spelling, which can't tell "/" from "!". The manifest has it from /proc.
    expect(dumpInfo["path"]).toBe(executable.replaceAll("/", "!"));
    expect((await bundle.unpackCore(suite.scratch)).sha256).toBe(manifest.core.sha256);
  });

  it("writes no bundle outside the spool", () => {
    expect(suite.composer.published().length).toBe(crashes);
  });
});
