import { execFileSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, it } from "vitest";
import { notBuilt, outcomeOf, runBuilt } from "../helpers/built.ts";
import { REPOSITORY } from "../helpers/repository.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";

const ID = "7a".repeat(20);
const place = scratchDirectory("symbol-cache");
const home = join(place, "home");
const build = join(place, "build");

describeUnless(notBuilt("cdh-inspect") ?? missingTools("gcc", "gdb", "objcopy"), "what was fetched by build-id", () => {
  const inspect = async (...args: string[]): Promise<string> => {
    const result = await runBuilt("cdh-inspect", args, {
      env: { PATH: process.env["PATH"] ?? "", HOME: home },
      timeoutMs: 120_000,
    });
    if (result.exitCode !== 0 && result.exitCode !== 3) throw new Error(`${outcomeOf(result)}\n${result.stderr}`);
    return result.stdout;
  };
  const stacks = (store: string): Promise<string> => inspect("bt", "--raw", join(place, store, "shop/core"));
  const push = (store: string, ...args: string[]): Promise<string> =>
    inspect("symbols", "push", "--store", join(place, store), ...args);
  /** Paths of cached files, below the home of whoever looks. */
  const cached = (): string[] =>
    existsSync(join(home, ".cache"))
      ? (readdirSync(join(home, ".cache"), { recursive: true }) as string[]).filter((path) =>
          path.endsWith("/debuginfo"),
        )
      : [];

  beforeAll(() => {
    for (const folder of [build, home, join(place, "one/shop"), join(place, "two/shop")])
      mkdirSync(folder, { recursive: true });
    const source = readFileSync(join(REPOSITORY, "test/inspect/programs/frames.c"), "utf8");
    for (const [name, text] of [
      ["server", source],
      ["forged", source.replaceAll("frame_three", "made_up")],
    ] as const) {
      writeFileSync(join(build, `${name}.c`), text);
      const program = join(build, name);
      const flags = ["-g", "-O1", "-fno-optimize-sibling-calls", `-Wl,--build-id=0x${ID}`];
      execFileSync("gcc", [...flags, "-o", program, `${program}.c`]);
      execFileSync("objcopy", ["--only-keep-debug", program, `${program}.debug`]);
      execFileSync("objcopy", ["--strip-all", program]);
    }
    const core = join(place, "core");
    const debug = ["-nx", "-batch", "-ex", "run", "-ex", `generate-core-file ${core}`];
    execFileSync("gdb", [...debug, join(build, "server")], { stdio: "pipe", env: { ...process.env, HOME: home } });
    for (const store of ["one", "two"]) copyFileSync(core, join(place, store, "shop/core"));
    // The image is gone, as after an update.
    copyFileSync(join(build, "server"), join(build, "kept"));
    rmSync(join(build, "server"));
  }, 120_000);

  it("is replaced once the store has something else, and gone once the store has nothing", async () => {
    await push("one", join(build, "kept"), join(build, "forged.debug"));
    expect(await stacks("one")).toContain("made_up");
    const [path = ""] = cached();
    const { ino } = statSync(join(home, ".cache", path));
    expect(await stacks("one")).toContain("made_up");
    expect(statSync(join(home, ".cache", path)).ino).toBe(ino);

    await push("one", "--replace", join(build, "server.debug"));
    const repaired = await stacks("one");
    expect(repaired).toContain("frame_three");
    expect(repaired).not.toContain("made_up");

    rmSync(join(place, "one/debug", ID), { recursive: true });
    expect(await stacks("one")).not.toMatch(/frame_three|made_up/);
    expect(cached()).toEqual([]);
  }, 240_000);

  it("is one store's, and not what other tools have fetched", async () => {
    await push("one", "--replace", join(build, "kept"), join(build, "forged.debug"));
    expect(await stacks("one")).toContain("made_up");
    await push("two", join(build, "kept"), join(build, "server.debug"));
    const others = join(home, ".cache/debuginfod_client", ID);
    mkdirSync(others, { recursive: true });
    copyFileSync(join(build, "forged.debug"), join(others, "debuginfo"));
    expect(await stacks("two")).toContain("frame_three");
    expect(await stacks("one")).toContain("made_up");
    expect(readdirSync(others)).toEqual(["debuginfo"]);
    expect(cached().filter((path) => path.startsWith("cdh-inspect/symbols/"))).toHaveLength(2);
  }, 240_000);
});
