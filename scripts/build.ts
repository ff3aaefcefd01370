/**
 * Build every program into dist/: `node scripts/bootstrap.mjs build [--arch=arm64] [--quiet]`.
 *
 * A program whose inputs did not change is left alone, so calling this before every test is cheap.
 */
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { buildComposer, BuildError, type BuildResult } from "./build/composer.ts";
import { buildNodeProgram, placeNode } from "./build/node-program.ts";
import { dist, root } from "./build/paths.ts";
import type { Architecture } from "./build/private-loader.ts";
import { withLock } from "./lock.mjs";

/** Every package but core is a program, and all but `cdc` run on Node. */
function nodePrograms(): string[] {
  const packages = fs.readdirSync(path.join(root, "packages")).filter((name) => name !== "core" && name !== "cdc");
  return packages.filter((name) => fs.existsSync(path.join(root, "packages", name, "src", "main.ts")));
}

/** Get the other architecture's Bun from the toolchain's lock file; npm checks its integrity. */
function foreignBun(arch: Architecture): string {
  const folder = path.join(root, ".cache", `toolchain-${arch}`);
  const bun = path.join(
    folder,
    "node_modules",
    "@oven",
    `bun-linux-${arch === "arm64" ? "aarch64" : "x64"}`,
    "bin",
    "bun",
  );
  if (fs.existsSync(bun)) return bun;
  fs.mkdirSync(folder, { recursive: true });
  for (const name of ["package.json", "package-lock.json", ".npmrc"]) {
    fs.copyFileSync(path.join(root, "scripts", "toolchain", name), path.join(folder, name));
  }
  execFileSync("npm", ["ci", "--loglevel=error", "--os=linux", `--cpu=${arch}`, "--libc=glibc"], {
    cwd: folder,
    stdio: ["ignore", "ignore", "inherit"],
  });
  return bun;
}

/** Build one thing and say so; a failure is told and does not keep the others from being built. */
async function timed(name: string, work: () => BuildResult | Promise<BuildResult>): Promise<void> {
  const started = performance.now();
  try {
    const { output, built, note } = await work();
    if (quiet && !built) return;
    const took = built ? `${((performance.now() - started) / 1000).toFixed(1)} s` : "unchanged";
    console.log(`${path.relative(root, output)}  ${took}${note === undefined ? "" : `  – ${note}`}`);
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    console.error(`build: ${name}: ${error.message}`);
    process.exitCode = 1;
  }
}

const { values } = parseArgs({ options: { arch: { type: "string" }, quiet: { type: "boolean", default: false } } });
const { arch, quiet } = values;
if (arch !== undefined && arch !== "x64" && arch !== "arm64") throw new Error(`--arch=${arch}: x64 or arm64`);

const own = process.arch === "arm64" ? "arm64" : "x64";

await withLock(path.join(root, ".cache", "build.lock"), async () => {
  if (arch !== undefined && arch !== process.arch) {
    await timed(`cdc for ${arch}`, () => buildComposer(path.join(dist, arch, "bin"), arch, foreignBun(arch)));
    return;
  }
  await timed("cdc", () => buildComposer(path.join(dist, "bin"), own));
  await timed("node", placeNode);
  for (const program of nodePrograms()) await timed(program, () => buildNodeProgram(program));
});
