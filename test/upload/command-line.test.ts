import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { notBuilt, runBuilt, type Program } from "../helpers/built.ts";
import { REPOSITORY } from "../helpers/repository.ts";
import { describeUnless } from "../helpers/skip.ts";

const STORE = ["--store", "file:///nonexistent/store"];

/** What was typed, and what the first line of the answer says. The composer is no such program: the kernel starts it. */
const MISUSES: [Program, string[], RegExp, RegExp?][] = [
  ["cdh-upload", ["swep"], /^no such command: swep$/, /did you mean sweep\?/],
  ["cdh-upload", ["Run"], /^no such command: Run$/, /did you mean run\?/],
  ["cdh-upload", ["help", "swep"], /^no such command: swep$/, /did you mean sweep\?/],
  ["cdh-inspect", ["describe", "x"], /^no such command: describe$/, /did you mean show\?/],
  ["cdh-inspect", ["delete", "x"], /^no such command: delete$/, /kubectl delete coredump NAME/],
  ["cdh-upload", [""], /^no such command: ""$/],
  ["cdh-upload", ["--store", "x", "rnu"], /^no such command: rnu$/, /did you mean run\?/],
  ["cdh-upload", ["-x"], /^no such option: -x$/],
  ["cdh-upload", ["run", "x"], /^one word too many: x$/, /cdh-upload run .*--metrics-addr/],
  ["cdh-upload", ["check", "a", "b"], /^one word too many: a$/],
  ["cdh-upload", ["run", "--metric-addr", ":1"], /^no such option: --metric-addr$/, /did you mean --metrics-addr\?/],
  ["cdh-upload", ["sweep", "--store"], /^--store needs a value$/],
  ["cdh-upload", ["check", "-o"], /^-o needs a value$/],
  ["cdh-upload", ["check", ...STORE, "-o", "yaml"], /^-o yaml: none of table, json, jsonl$/, /cdh-upload check --help/],
  ["cdh-upload", ["run", "--print-config=yes"], /^--print-config takes no value$/],
  ["cdh-upload", ["run", ...STORE, "--log-level", "loud"], /^--log-level loud: none of trace, debug, info/],
  ["cdh-upload", ["sweep", ...STORE, "--log-format", "xml"], /^--log-format xml: none of json, text$/],
  ["cdh-upload", ["completion"], /^something is missing: SHELL$/],
  ["cdh-upload", ["completion", "bash", "zsh"], /^one word too many: zsh$/],
  ["cdh-sysctl", ["isntall"], /^no such command: isntall$/, /did you mean install\?/],
  ["cdh-sysctl", ["install", "now"], /^one word too many: now$/, /cdh-sysctl install \[OPTIONS\]/],
  ["cdh-sysctl", ["status", "--hostroot", "/"], /^no such option: --hostroot$/, /did you mean --host-root\?/],
  ["cdh-sysctl", ["install", "--mode"], /^--mode needs a value$/],
  ["cdh-inspect", ["shwo"], /^no such command: shwo$/, /did you mean show\?/],
  ["cdh-inspect", ["ls", "a", "b"], /^one word too many: b$/, /cdh-inspect ls \[PLACE\]/],
  ["cdh-inspect", ["show"], /^something is missing: BUNDLE$/],
  ["cdh-inspect", ["cat", "a.zip"], /^something is missing: ENTRY$/],
  ["cdh-inspect", ["show", "x.zip", "--line", "3"], /^no such option: --line$/, /did you mean --lines\?/],
  ["cdh-api", ["srve"], /^no such command: srve$/, /did you mean serve\?/],
  ["cdh-api", ["serve", "x"], /^one word too many: x$/],
  ["cdh-api", ["prune", "--dryrun"], /^no such option: --dryrun$/, /did you mean --dry-run\?/],
];

describeUnless(notBuilt("cdh-upload", "cdh-sysctl", "cdh-inspect", "cdh-api"), "a wrong command line", () => {
  it.each(MISUSES)("%s %j", async (program, args, message, hint = /--help/) => {
    const { exitCode, stdout, stderr } = await runBuilt(program, args, { env: { PATH: "/usr/bin:/bin" } });
    expect({ exitCode, stdout }, stderr).toEqual({ exitCode: 2, stdout: "" });
    const lines = stderr.trimEnd().split("\n");
    // One line about the mistake, one about what would be right, and no stack.
    expect(lines).toHaveLength(2);
    expect(lines[0]?.startsWith(`${program}: `)).toBe(true);
    expect(lines[0]?.slice(program.length + 2)).toMatch(message);
    expect(lines[1]).toMatch(/^hint: /);
    expect(lines[1]).toMatch(hint);
  });

  it.each([
    ["help", ["help"], /^Usage: cdh-upload COMMAND$/m],
    ["help of a command", ["help", "sweep"], /cdh-upload sweep/],
    ["version", ["version"], /^\d+\.\d+\.\d+/],
  ])("%s is understood", async (_name, args, shown) => {
    const { exitCode, stdout, stderr } = await runBuilt("cdh-upload", args, { env: { PATH: "/usr/bin:/bin" } });
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expect(stdout).toMatch(shown);
  });

  it("check refuses what run refuses, and --print-config shows it in its place", async () => {
    const env = { PATH: "/usr/bin:/bin", SCHEDULE: "every day", BANDWIDTH_LIMIT: "20mbit" };
    for (const verb of ["run", "check"]) {
      const refused = await runBuilt("cdh-upload", [verb, ...STORE], { env });
      expect(`${refused.exitCode} ${refused.stderr}`).toMatch(
        /^10 [^]*BANDWIDTH_LIMIT "20mbit"[^]*SCHEDULE "every day"/,
      );
      const shown = await runBuilt("cdh-upload", [verb, "--print-config"], { env });
      expect(shown.exitCode).toBe(10);
      expect(shown.stdout).toMatch(/^SCHEDULE +✗ "every day": .*environment$/m);
      expect(shown.stdout).toMatch(/^BANDWIDTH_LIMIT +✗ "20mbit": .*environment$/m);
      expect(shown.stdout).toMatch(/^CORE_DIR +/m);
    }
  });

  it.each([
    ["a missing file", ["sweep", ...STORE, "nowhere.zip"], 12, "cannot upload nowhere.zip: no such file or directory"],
    ["a directory", ["sweep", ...STORE, "/tmp"], 16, "cannot upload /tmp: a directory; --core-dir sends"],
    ["no name at all", ["sweep", ...STORE, ""], 16, 'cannot upload "": a directory'],
    ["a device", ["sweep", ...STORE, "/dev/null"], 16, "cannot upload /dev/null: not a bundle"],
    [
      "several wrong files, each named",
      ["sweep", ...STORE, "a.zip", "/dev/null", "b.zip"],
      12,
      "cannot upload a.zip: no such file or directory; /dev/null: not a bundle (a regular file named N.zip); b.zip: no such",
    ],
    ["a missing spool", ["sweep", ...STORE, "--core-dir", "/nonexistent/cores"], 12, "cannot look at the spool"],
    [
      "a spool that is a file",
      ["sweep", ...STORE, "--core-dir", "/dev/null"],
      10,
      "the spool /dev/null is no directory",
    ],
    ["no store", ["run"], 10, "no store is configured"],
    ["a store of an unknown kind", ["check", "--store", "ftp://x"], 10, "none of s3://, gs://, azblob:// and file:///"],
    ["an address nobody can listen on", ["run", ...STORE, "--metrics-addr", "what"], 10, "--metrics-addr"],
  ])("%s", async (_name, args, status, message) => {
    const { exitCode, stdout, stderr } = await runBuilt("cdh-upload", args, { env: { PATH: "/usr/bin:/bin" } });
    expect({ exitCode, stdout }, stderr).toEqual({ exitCode: status, stdout: "" });
    expect(stderr).toContain(message);
    expect(stderr).not.toMatch(/^ {4}at /m);
  });

  it("what was named and is not there is an error, not an answer", async () => {
    const env = { PATH: "/usr/bin:/bin", RETENTION_MAX_AGE: "30d" };
    const pruned = await runBuilt("cdh-api", ["prune", "--dry-run", ...STORE], { env });
    expect(`${pruned.exitCode} ${pruned.stderr}`).toMatch(/^12 .*cannot look into \/nonexistent\/store/);
    const bundle = join(REPOSITORY, "test/fixtures/bundles/older/ibm-v8.zip");
    for (const args of [["bt"], ["bt", "--raw"], ["debug", "--print"], ["goroutines"], ["unpack", "--with-binaries"]])
      for (const flag of ["--exe", "--sysroot"]) {
        const told = await runBuilt("cdh-inspect", [...args, flag, "/nonexistent/file", bundle], { env });
        expect(`${told.exitCode} ${told.stderr}`, args.join(" ")).toMatch(
          new RegExp(`^12 .*${flag}: cannot read /nonexistent/file`),
        );
      }
  });

  it("lists no file as a core whose name alone is one", async () => {
    const folder = mkdtempSync(join(tmpdir(), "cdh-names-"));
    writeFileSync(join(folder, "core.js"), "export {};\n");
    const { exitCode, stdout, stderr } = await runBuilt("cdh-inspect", ["ls", "-o", "json", folder], {
      env: { PATH: "/usr/bin:/bin" },
    });
    rmSync(folder, { recursive: true });
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expect(stdout).not.toContain("core.js");
  });

  it("lists a core that is damaged as one that cannot be read", async () => {
    const folder = mkdtempSync(join(tmpdir(), "cdh-names-"));
    writeFileSync(join(folder, "core.1234"), Buffer.alloc(8192));
    const { exitCode, stdout } = await runBuilt("cdh-inspect", ["ls", "-o", "json", folder], {
      env: { PATH: "/usr/bin:/bin" },
    });
    rmSync(folder, { recursive: true });
    expect(exitCode).toBe(3);
    expect(stdout).toContain("core.1234");
  });
});
