import { execFileSync, spawnSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
} from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, it } from "vitest";
import { notBuilt, runBuilt, type BuiltResult } from "../helpers/built.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";

const place = scratchDirectory("offline");
const home = join(place, "home");
const build = join(place, "build");
const store = join(place, "store");

/** A shared library under a name that only a link has, as most have one. */
const LIBRARY = "int deep(int *p);\nint deep(int *p) {\n  return *p;\n}\n";
const PROGRAM =
  "int deep(int *p);\nint middle(int n);\nint middle(int n) {\n  return deep((int *)(long)n) + 1;\n}\nint main(void) {\n  return middle(0);\n}\n";

describeUnless(
  notBuilt("cdh-inspect") ?? missingTools("gcc", "gdb", "objcopy", "tar"),
  "a directory for offline use",
  () => {
    const inspect = (...args: string[]): Promise<BuiltResult> =>
      runBuilt("cdh-inspect", args, { env: { PATH: process.env["PATH"] ?? "", HOME: home }, timeoutMs: 120_000 });
    /** What gdb prints of a directory, where nothing else of the crash is left. */
    const stackIn = (directory: string): string =>
      spawnSync("gdb", ["-nx", "-batch", "-x", "gdbinit", "-ex", "bt", "-ex", "info sharedlibrary"], {
        cwd: directory,
        encoding: "utf8",
        env: { PATH: process.env["PATH"] ?? "", HOME: home },
      }).stdout;

    beforeAll(async () => {
      for (const folder of [home, build, join(store, "shop")]) mkdirSync(folder, { recursive: true });
      const at = (name: string): string => join(build, name);
      const { writeFileSync, symlinkSync } = await import("node:fs");
      writeFileSync(at("deep.c"), LIBRARY);
      writeFileSync(at("server.c"), PROGRAM);
      const flags = ["-g", "-O0"];
      execFileSync("gcc", [
        ...flags,
        "-shared",
        "-fPIC",
        "-Wl,-soname,libdeep.so.1",
        "-o",
        at("libdeep.so.1.2.3"),
        at("deep.c"),
      ]);
      symlinkSync("libdeep.so.1.2.3", at("libdeep.so.1"));
      execFileSync("gcc", [...flags, "-o", at("server"), at("server.c"), at("libdeep.so.1"), `-Wl,-rpath,${build}`]);
      for (const name of ["server", "libdeep.so.1.2.3"]) {
        execFileSync("objcopy", ["--only-keep-debug", at(name), at(`${name}.debug`)]);
        execFileSync("objcopy", ["--strip-debug", at(name)]);
      }
      const core = join(store, "shop/core");
      execFileSync("gdb", ["-nx", "-batch", "-ex", "run", "-ex", `generate-core-file ${core}`, at("server")], {
        stdio: "pipe",
        env: { ...process.env, HOME: home },
      });
      const push = await inspect("symbols", "push", "--store", store, build);
      if (push.exitCode !== 0) throw new Error(push.stderr);
      // The image is gone.
      rmSync(build, { recursive: true });
    }, 120_000);

    it("opens in gdb with functions, files and lines, wherever it is moved to", async () => {
      const folder = join(place, "crash");
      const result = await inspect("unpack", "--with-binaries", join(store, "shop/core"), folder);
      expect(result.exitCode, result.stderr).toBe(0);
      const moved = join(place, "moved");
      renameSync(folder, moved);
      const text = stackIn(moved);
      expect(text).toMatch(/#0 +(?:0x[0-9a-f]+ in )?deep \(p=0x0\) at .*deep\.c:3/);
      expect(text).toMatch(/#1 .* middle \(n=0\) at .*server\.c:4/);
      expect(text).toMatch(/#2 .* main \(\) at .*server\.c:7/);
      expect(text).toMatch(/Yes +.*libdeep\.so\.1/);
      expect(readdirSync(moved).toSorted()).toEqual(
        [".cdh-inspect", ".vscode", "core", "debug", "gdbinit", "program", "report.txt", "sysroot"].toSorted(),
      );
      const { configurations } = JSON.parse(readFileSync(join(moved, ".vscode/launch.json"), "utf8")) as {
        configurations: { type: string }[];
      };
      expect(configurations.map(({ type }) => type)).toEqual(["cppdbg", "lldb"]);
      expect(readFileSync(join(moved, "report.txt"), "utf8")).toContain("SIGSEGV");
      rmSync(moved, { recursive: true });
    }, 240_000);

    it("is announced by show and the report: which files have lines, and what to paste", async () => {
      const core = join(store, "shop/core");
      const shown = await inspect("show", core);
      expect(shown.stdout).toMatch(/^Opens +lines: server, libdeep\.so\.1\.2\.3; .*nothing stored: .*libc\.so\.6/m);
      expect(shown.stdout).toContain(`cdh-inspect debug ${core}`);
      const json = JSON.parse((await inspect("show", "-o", "json", core)).stdout) as {
        opensWith: { modules: { path: string; executable?: boolean; debuginfo?: boolean }[] };
        open: { debug: string; unpack: string };
      };
      expect(json.opensWith.modules[0]).toMatchObject({
        path: join(build, "server"),
        executable: true,
        debuginfo: true,
      });
      expect(json.opensWith.modules.find(({ path }) => path.endsWith("/libc.so.6"))).toMatchObject({
        executable: false,
        debuginfo: false,
      });
      const html = await inspect("report", core);
      expect(html.stdout).toContain("<td>lines</td>");
      // Where no store has files of programs, nothing is said.
      const bare = join(place, "bare");
      mkdirSync(bare);
      copyFileSync(core, join(bare, "core"));
      expect((await inspect("show", join(bare, "core"))).stdout).not.toMatch(/^(Opens|Debug) /m);
    }, 240_000);

    it("goes into one file for a colleague", async () => {
      const tar = join(place, "for-you.tar.gz");
      const result = await inspect("unpack", "--with-binaries", join(store, "shop/core"), "--tar", tar);
      expect(result.exitCode, result.stderr).toBe(0);
      expect(readdirSync(place).filter((name) => name.startsWith(".crash-"))).toEqual([]);
      const far = join(place, "far");
      mkdirSync(far);
      execFileSync("tar", ["-xf", tar, "-C", far]);
      expect(stackIn(join(far, "for-you"))).toMatch(/deep \(p=0x0\) at .*deep\.c:3/);
      const again = await inspect("unpack", "--with-binaries", join(store, "shop/core"), "--tar", tar);
      expect(again).toMatchObject({ exitCode: 13, stderr: expect.stringContaining("already exists") });
      rmSync(far, { recursive: true });
      const before = readdirSync(place);
      const dots = await inspect("unpack", "--with-binaries", join(store, "shop/core"), "--tar", join(place, "...gz"));
      expect(dots.exitCode, dots.stderr).toBe(0);
      expect(readdirSync(place).toSorted()).toEqual([...before, "...gz"].toSorted());
    }, 240_000);

    it("leaves a directory alone that has something in it, and goes on with its own", async () => {
      const folder = join(place, "full");
      mkdirSync(folder);
      copyFileSync(join(store, "shop/core"), join(folder, "mine"));
      const refused = await inspect("unpack", "--with-binaries", join(store, "shop/core"), folder);
      expect(refused).toMatchObject({ exitCode: 13, stderr: expect.stringContaining("has something in it") });
      expect(readdirSync(folder)).toEqual(["mine"]);
      const forced = await inspect("unpack", "--force", "--with-binaries", join(store, "shop/core"), folder);
      expect(forced.exitCode, forced.stderr).toBe(0);
      expect(existsSync(join(folder, "mine"))).toBe(true);
      // Its own it replaces, when told to.
      const again = await inspect("unpack", "--force", "--with-binaries", join(store, "shop/core"), folder);
      expect(again.exitCode, again.stderr).toBe(0);
      // A project's own `debug` is nobody's to remove.
      const project = join(place, "project");
      mkdirSync(join(project, "debug"), { recursive: true });
      copyFileSync(join(store, "shop/core"), join(project, "debug/mine"));
      const kept = await inspect("unpack", "--force", "--with-binaries", join(store, "shop/core"), project);
      expect(kept).toMatchObject({
        exitCode: 13,
        stderr: expect.stringContaining("debug/mine in it is not this command's"),
      });
      expect(readdirSync(project)).toEqual(["debug"]);
      expect(readdirSync(join(project, "debug"))).toEqual(["mine"]);
    }, 240_000);

    it("tells which files are not there", async () => {
      const poor = join(place, "poor");
      mkdirSync(join(poor, "shop"), { recursive: true });
      copyFileSync(join(store, "shop/core"), join(poor, "shop/core"));
      const result = await inspect("unpack", "--with-binaries", join(poor, "shop/core"), join(place, "partly"));
      expect(result.exitCode).toBe(3);
      expect(result.stderr).toMatch(/not found: .*\/build\/server \(build-id [0-9a-f]+\)/);
      expect(stackIn(join(place, "partly"))).toContain("#0");
    }, 240_000);

    it("keeps the holes of a program of 2 GB", async () => {
      const big = join(place, "big");
      mkdirSync(join(big, "shop"), { recursive: true });
      mkdirSync(build);
      const program = join(build, "large");
      const { writeFileSync } = await import("node:fs");
      writeFileSync(
        `${program}.c`,
        PROGRAM.replace("deep((int *)(long)n)", "*(int *)(long)n").replace("int deep(int *p);\n", ""),
      );
      execFileSync("gcc", ["-g", "-O0", "-o", program, `${program}.c`]);
      truncateSync(program, 2 * 1024 ** 3);
      const core = join(big, "shop/core");
      execFileSync("gdb", ["-nx", "-batch", "-ex", "run", "-ex", `generate-core-file ${core}`, program], {
        stdio: "pipe",
        env: { ...process.env, HOME: home },
      });
      const push = await inspect("symbols", "push", "--store", big, program);
      expect(push.exitCode, push.stderr).toBe(0);
      rmSync(build, { recursive: true });
      const folder = join(place, "large");
      const result = await inspect("unpack", "--with-binaries", core, folder);
      expect([0, 3]).toContain(result.exitCode);
      const { size, blocks } = statSync(join(folder, "program"));
      expect(size).toBe(2 * 1024 ** 3);
      expect(blocks * 512).toBeLessThan(4 * 1024 * 1024);
      expect(stackIn(folder)).toMatch(/middle \(n=0\) at .*large\.c:3/);
    }, 400_000);
  },
);
