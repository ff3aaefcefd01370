import { execFileSync, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { notBuilt } from "../helpers/built.ts";
import { REPOSITORY } from "../helpers/repository.ts";
import { describeUnless, skipAloud } from "../helpers/skip.ts";

describeUnless(notBuilt("cdh-inspect"), "the npm package of cdh-inspect", () => {
  let place: string;
  const env = { ...process.env, PATH: `${dirname(process.execPath)}:${process.env["PATH"] ?? ""}` };
  const run = (command: string, ...args: string[]): string =>
    execFileSync(command, args, { cwd: place, env, encoding: "utf8" });

  beforeAll(async () => {
    place = await mkdtemp(join(tmpdir(), "cdh-npm-"));
  });

  afterAll(async () => {
    await rm(place, { recursive: true, force: true });
  });

  it("installs from its tarball without a registry and runs", async () => {
    const tarball = run(process.execPath, join(REPOSITORY, "scripts/pack-inspect.ts"), join(place, "packed")).trim();
    await writeFile(join(place, "package.json"), '{"private":true}');
    run("npm", "install", "--offline", "--no-audit", "--no-fund", "--loglevel=error", tarball);
    const manifest = JSON.parse(await readFile(join(place, "node_modules/cdh-inspect/package.json"), "utf8")) as Record<
      string,
      unknown
    >;
    expect(manifest).toMatchObject({
      name: "cdh-inspect",
      bin: { "cdh-inspect": "cdh-inspect.mjs", "kubectl-coredump": "kubectl-coredump.mjs" },
      license: "Apache-2.0",
    });
    expect(manifest).not.toHaveProperty("private");
    expect(manifest).not.toHaveProperty("dependencies");
    const packed = run("tar", "-tzf", tarball).trim().split("\n").toSorted();
    expect(packed.map((name) => name.replace("package/", ""))).toEqual([
      "LICENSE",
      "README.md",
      "THIRD-PARTY-LICENSES.txt",
      "cdh-inspect.mjs",
      "kubectl-coredump.mjs",
      "main.mjs",
      "package.json",
    ]);
    expect(run("npx", "--offline", "cdh-inspect", "--version").trim()).toBe(manifest["version"]);
    expect(run("npx", "--offline", "kubectl-coredump", "--help")).toContain("Usage: kubectl coredump COMMAND");
    const shown = run(
      "npx",
      "--offline",
      "cdh-inspect",
      "show",
      join(REPOSITORY, "test/fixtures/bundles/older/ibm-v7.zip"),
    );
    expect(shown).toContain("threads died of SIGSEGV in payments/checkout-7d9f");
  }, 120_000);

  it("tells an older Node what it needs", (context) => {
    const old = ["/usr/bin/node", "/usr/local/bin/node"].filter(existsSync).find((path) => {
      const [major = 0, minor = 0] = run(path, "-p", "process.versions.node").split(".").map(Number);
      return major < 22 || (major === 22 && minor < 15);
    });
    if (old === undefined) skipAloud(context, "no Node before 22.15 on this machine");
    const bin = join(place, "node_modules/cdh-inspect/cdh-inspect.mjs");
    const { status, stderr } = spawnSync(old, [bin, "--version"], { encoding: "utf8" });
    expect([status, stderr]).toEqual([
      11,
      expect.stringMatching(/^cdh-inspect: Node 22\.15 or later is needed, this is v/),
    ]);
  });
});
