import { execFile } from "node:child_process";
import fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { setLoaderInPlace } from "../../scripts/build/elf-patch.ts";
import { notBuilt } from "../helpers/built.ts";
import { describeUnless, skipAloud } from "../helpers/skip.ts";

const run = promisify(execFile);
const root = path.resolve(import.meta.dirname, "..", "..");
const bin = path.join(root, "dist", "bin");
const NODE_PROGRAMS = ["cdh-sysctl", "cdh-upload", "cdh-inspect", "cdh-api"] as const;
const PROGRAMS = ["cdc", ...NODE_PROGRAMS] as const;

let folder: string;

beforeAll(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), "cdh-build-"));
});

afterAll(async () => {
  await fs.rm(folder, { recursive: true, force: true });
});

async function versionOf(command: string, options: { cwd?: string; args?: string[] } = {}): Promise<string> {
  const { stdout } = await run(command, [...(options.args ?? []), "--version"], { env: {}, cwd: options.cwd ?? "/" });
  return stdout.trim();
}

describeUnless(notBuilt(...PROGRAMS), "a built program", () => {
  it.each(PROGRAMS)("%s runs in an empty environment, from any folder", async (program) => {
    expect(await versionOf(path.join(bin, program))).toMatch(/\d+\.\d+\.\d+/);
    const relative = path.relative(folder, path.join(bin, program));
    expect(await versionOf(relative, { cwd: folder })).toMatch(/\d+\.\d+\.\d+/);
  });

  it.each(PROGRAMS)("%s runs through absolute and relative symbolic links", async (program) => {
    await fs.mkdir(path.join(folder, program, "deep"), { recursive: true });
    const absolute = path.join(folder, program, "deep", "absolute");
    await fs.symlink(path.join(bin, program), absolute);
    const relative = path.join(folder, program, "relative");
    await fs.symlink("deep/absolute", relative);
    expect(await versionOf(absolute)).toMatch(/\d+\.\d+\.\d+/);
    expect(await versionOf(relative)).toMatch(/\d+\.\d+\.\d+/);
    expect(await versionOf("./relative", { cwd: path.join(folder, program) })).toMatch(/\d+\.\d+\.\d+/);
  });

  it.each(NODE_PROGRAMS)("%s runs from the folder that it is in, by its bare name", async (program) => {
    expect(await versionOf("/bin/sh", { cwd: bin, args: [program] })).toMatch(/\d+\.\d+\.\d+/);
  });

  it.each(PROGRAMS)("%s lists what it carries, with licences", async (program) => {
    const text = await fs.readFile(path.join(root, "dist", "licenses", `${program}.txt`), "utf8");
    expect(text).toMatch(/ \d+\.\d+\.\d+ \(MIT\)/);
  });

  it("cdc does not carry the AWS SDK", async () => {
    const text = await fs.readFile(path.join(root, "dist", "licenses", "cdc.txt"), "utf8");
    expect(text).not.toContain("@aws-sdk/");
  });
});

describeUnless(notBuilt("cdc"), "cdc's own loader", () => {
  async function interpreterOf(file: string): Promise<string> {
    const { stdout } = await run("readelf", ["-lW", file]);
    return /interpreter: (.*)\]/.exec(stdout)?.[1] ?? "";
  }

  it("is named by 192 bytes, whatever the folder", async () => {
    const interpreter = await interpreterOf(path.join(bin, "cdc"));
    expect(Buffer.byteLength(interpreter)).toBe(192);
    expect(path.posix.normalize(interpreter)).toBe(path.join(bin, "lib", path.basename(interpreter)));
  });

  it("makes it run on a root that holds nothing else", async (context) => {
    if (process.getuid?.() !== 0) skipAloud(context, "needs root, for chroot");
    const host = path.join(folder, "root");
    await fs.mkdir(path.join(host, "opt/x"), { recursive: true });
    await fs.mkdir(path.join(host, "proc"));
    await fs.cp(path.join(bin, "lib"), path.join(host, "opt/x/lib"), { recursive: true });
    const cdc = path.join(host, "opt/x/cdc");
    await fs.copyFile(path.join(bin, "cdc"), cdc);

    // What `cdh-sysctl install` does: the same length, for another folder.
    const old = await interpreterOf(cdc);
    const file = await fs.readFile(cdc);
    const at = file.indexOf(old);
    const wanted = `/opt/x/lib/${path.basename(old)}`;
    file.write("/".repeat(192 - wanted.length) + wanted, at, "latin1");
    await fs.writeFile(cdc, file);

    const { stdout } = await run("unshare", [
      "-m",
      "sh",
      "-c",
      'mount -t proc proc "$0/proc" && exec chroot "$0" /opt/x/cdc --version',
      host,
    ]);
    expect(stdout).toMatch(/\d+\.\d+\.\d+/);
  });
});

describe("setLoaderInPlace", () => {
  it("refuses what is no ELF file, and leaves it as it is", async () => {
    const file = path.join(folder, "text");
    await fs.writeFile(file, "#!/bin/sh\n".repeat(20));
    expect(() => setLoaderInPlace(file, "/x", "/y")).toThrow(/not a 64-bit/);
    expect(await fs.readFile(file, "utf8")).toBe("#!/bin/sh\n".repeat(20));
  });

  it("refuses an executable without an old-style hash table", async () => {
    // Debian's executables have DT_GNU_HASH only.
    const file = path.join(folder, "true");
    await fs.copyFile("/bin/true", file);
    expect(() => setLoaderInPlace(file, "/x", "/y")).toThrow(/no DT_HASH/);
    await run(file);
  });
});
