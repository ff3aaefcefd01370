import { execFileSync, spawnSync } from "node:child_process";
import { lstatSync, mkdirSync, readdirSync, readlinkSync, realpathSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { beforeAll, expect, it } from "vitest";
import { notBuilt, runBuilt, type BuiltResult } from "../helpers/built.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";

const place = scratchDirectory("offline-hostile");
const home = join(place, "home");
const build = join(place, "build");
const store = join(place, "store");
const core = join(store, "shop/core");
/** Deeper than the directory lies itself. */
const DEEP = `${build}/${Array.from({ length: 24 }, () => "p").join("/")}/link`;

/**
 * Maps a file below a directory, puts another file in the directory's place, maps that too, and tells the debugger that the
 * loader knows both by names that lead through each other.
 */
const PROGRAM = `
#define _GNU_SOURCE
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
static char names[2][8192] = { "${DEEP}", "${DEEP}/evil" };
static struct link_map hostile[2];
static void *map(const char *path, unsigned long at) {
  int fd = open(path, O_RDONLY);
  char *start = mmap((void *)at, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fd, 0);
  start[0] = start[0];
  return start;
}
int main(void) {
  void *below = map("${build}/a/b", 0x100000000);
  unlink("${build}/a/b");
  rmdir("${build}/a");
  rename("${build}/other", "${build}/a");
  void *other = map("${build}/a", 0x200000000);
  void *starts[] = { other, below };
  struct link_map *last = _r_debug.r_map;
  while (last->l_next != NULL) last = last->l_next;
  for (int at = 0; at < 2; at += 1) {
    hostile[at].l_addr = (unsigned long)starts[at];
    hostile[at].l_name = names[at];
    hostile[at].l_ld = last->l_ld;
    last->l_next = &hostile[at];
    last = &hostile[at];
  }
  *(volatile int *)0 = 1;
}
`;

/** Links of a directory that lead out of it, or to nothing in it. */
function linksOutOf(directory: string): string[] {
  const top = realpathSync(directory);
  return readdirSync(directory, { recursive: true, encoding: "utf8" })
    .map((name) => join(directory, name))
    .filter((path) => lstatSync(path).isSymbolicLink())
    .filter((path) => !resolve(realpathSync(dirname(path)), readlinkSync(path)).startsWith(`${top}/`));
}

describeUnless(notBuilt("cdh-inspect") ?? missingTools("gcc", "gdb"), "a directory of a hostile crash", () => {
  const inspect = (...args: string[]): Promise<BuiltResult> =>
    runBuilt("cdh-inspect", args, { env: { PATH: process.env["PATH"] ?? "", HOME: home }, timeoutMs: 120_000 });

  beforeAll(async () => {
    for (const folder of [home, join(build, "a"), dirname(core)]) mkdirSync(folder, { recursive: true });
    const compile = (name: string, source: string, ...flags: string[]): void => {
      writeFileSync(join(place, `${name}.c`), source);
      execFileSync("gcc", ["-O0", ...flags, "-o", join(build, name), join(place, `${name}.c`)]);
    };
    mkdirSync(join(place, "a"));
    compile("a/b", "int below = 1;\n", "-shared", "-fPIC");
    compile("other", "int other = 1;\n", "-shared", "-fPIC");
    compile("server", PROGRAM, "-no-pie");
    const push = await inspect("symbols", "push", "--store", store, build);
    if (push.exitCode !== 0) throw new Error(push.stderr);
    spawnSync("gdb", ["-nx", "-batch", "-ex", "run", "-ex", `generate-core-file ${core}`, join(build, "server")], {
      env: { ...process.env, HOME: home },
    });
  }, 120_000);

  it("no name leads out of it, and what has no place in it is told", async () => {
    const folder = join(place, "crash");
    const result = await inspect("unpack", "--with-binaries", core, folder);
    expect(linksOutOf(folder)).toEqual([]);
    expect(result.stderr).toContain(`not found: ${build}/a (`);
    expect(result.exitCode).toBe(3);
  }, 120_000);
});
