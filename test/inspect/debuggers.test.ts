import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { makeRawZip } from "@cdh/core/testing/raw-zip";
import { makeSampleEntries } from "@cdh/core/testing/sample-bundle";
import { builtPath, notBuilt, runBuilt, type BuiltResult } from "../helpers/built.ts";
import { REPOSITORY } from "../helpers/repository.ts";
import { describeUnless } from "../helpers/skip.ts";

const crash = join(REPOSITORY, "test/fixtures/bundles/older/ibm-v7.zip");

describeUnless(notBuilt("cdh-inspect"), "cdh-inspect and other programs", () => {
  let place: string;
  let tools: string;

  /** A small executable on PATH that says how it was called. */
  const fake = async (name: string, body: string): Promise<void> => {
    await writeFile(join(tools, name), `#!/bin/sh\n${body}\n`);
    await chmod(join(tools, name), 0o755);
  };
  const inspect = (path: string, ...args: string[]): Promise<BuiltResult> =>
    runBuilt("cdh-inspect", args, {
      env: { PATH: path, HOME: place, XDG_CACHE_HOME: join(place, "cache"), TMPDIR: place },
    });

  beforeAll(async () => {
    place = await mkdtemp(join(tmpdir(), "cdh-debuggers-"));
    tools = join(place, "tools");
    await mkdir(tools);
  });

  afterAll(async () => {
    await rm(place, { recursive: true, force: true });
  });

  it("walks the stack itself where there is no debugger, and says so", async () => {
    const result = await inspect("/nonexistent:/bin-without-gdb", "bt", crash);
    expect(result.exitCode).toBe(3);
    expect(result.stderr).toContain("neither gdb nor lldb is on PATH");
    expect(result.stdout).toMatch(/Thread \d+ \(crashed\)\n {2}#0 +0x[0-9a-f]+ +threads\+0x127c/);
    const debug = await inspect("/nonexistent", "debug", crash);
    expect(debug).toMatchObject({ exitCode: 14, stderr: expect.stringContaining("cdh-inspect bt --raw") });
  });

  it("sets lldb up where only that is there", async () => {
    await fake(
      "lldb",
      `[ "$1" = --version ] && exit 0\nprintf '%s\\n' "$@" > ${place}/lldb-args\nprintf "* thread #1\\n  frame #0 \\033[31mred\\n"`,
    );
    const result = await inspect(`${tools}:/usr/bin-without-gdb:/bin-none`, "bt", "--with", "lldb", crash);
    expect(result.stdout).toBe("* thread #1\n  frame #0 \\x1b[31mred\n");
    const { readFile } = await import("node:fs/promises");
    const args = (await readFile(join(place, "lldb-args"), "utf8")).split("\n");
    expect(args.slice(0, 3)).toEqual(["--no-lldbinit", "--batch", "-o"]);
    expect(args[3]).toMatch(/^target create --core ".*\/core" --sysroot ".*\/sysroot"$/);
  });

  it("gives gdb the image's root file system, once, and runs nothing of it", async () => {
    await fake("gdb", `[ "$1" = --version ] && exit 0\nprintf '%s\\n' "$@"`);
    // The machine's own podman must not be asked.
    await fake("podman", "exit 125");
    await fake(
      "docker",
      `echo "$@" >> ${place}/docker-calls
case $1 in
  version) exit 0 ;;
  create) echo 0123abcd ;;
  export) mkdir -p ${place}/root/usr/bin && echo elf > ${place}/root/usr/bin/threads && /bin/tar -c -f "\${2#--output=}" -C ${place}/root . ;;
esac`,
    );
    const path = `${tools}:/bin:/usr/bin`;
    const first = await inspect(path, "debug", "--image", crash);
    expect(first.exitCode, first.stderr).toBe(0);
    expect(first.stdout).toContain("set auto-load off");
    const sysroot = /set sysroot (.*)/.exec(first.stdout)?.[1] ?? "";
    expect(sysroot).toContain(join(place, "cache/cdh-inspect/images/"));
    expect(first.stderr).toContain("kubectl debug -n payments -it checkout-7d9f");
    await inspect(path, "debug", "--image", crash);
    const { readFile } = await import("node:fs/promises");
    const calls = (await readFile(join(place, "docker-calls"), "utf8"))
      .split("\n")
      .filter((line) => !line.startsWith("version"));
    expect(calls.map((line) => line.split(" ")[0])).toEqual(["create", "export", "rm", ""]);
    expect(calls[0]).toContain(`registry.example/checkout@sha256:${"ab".repeat(32)}`);
  });

  it("takes nothing for an image that a command line could take for a flag", async () => {
    const hostile = join(place, "hostile.zip");
    const { dumpInfo, core, manifest } = makeSampleEntries(undefined, {
      container: { id: "c", imageRef: "--privileged" },
    });
    await writeFile(hostile, makeRawZip([dumpInfo, core, manifest]));
    const result = await inspect(`${tools}:/bin:/usr/bin`, "debug", "--image", hostile);
    expect(result).toMatchObject({ exitCode: 16, stderr: expect.stringContaining("not an image") });
  });

  it("prints what it would start", async () => {
    const result = await inspect("/nonexistent", "debug", "--print", crash);
    expect(result.exitCode).toBe(0);
    expect(result.stdout).toContain("cdh-inspect unpack ");
    expect(result.stdout).toContain("podman run --rm -it");
  });

  it("leaves nothing behind in TMPDIR", async () => {
    const { readdir } = await import("node:fs/promises");
    expect((await readdir(place)).filter((name) => name.startsWith("cdh-inspect-"))).toEqual([]);
    expect(builtPath("cdh-inspect")).toContain("dist/bin");
  });
});
