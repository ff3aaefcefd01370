import { execFileSync, spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { setLoaderInPlace } from "./elf-patch.ts";
import { hashInputs, isFresh, writeStamp } from "./inputs.ts";
import { inputsOf, writeLicenses } from "./licenses.ts";
import { dist, root, toolBin } from "./paths.ts";
import {
  copyLibraries,
  findLibraries,
  LOADERS,
  RUN_PATH,
  tryPadInterpreter,
  type Architecture,
} from "./private-loader.ts";

/** What became of a program: built now or still fresh, and what the reader should know. */
export interface BuildResult {
  output: string;
  built: boolean;
  note?: string | undefined;
}

/** A failure whose reason the tool has printed: shown without a stack. */
export class BuildError extends Error {}

/**
 * A compiled executable would read `.env` and `bunfig.toml` of its working directory, which for a
 * handler that the kernel starts is `/`: both are switched off.
 */
const COMPILE = [
  "build",
  "--compile",
  "--minify",
  "--bytecode",
  "--format=esm",
  "--no-compile-autoload-dotenv",
  "--no-compile-autoload-bunfig",
];

function compile(outfile: string, foreign: readonly string[]): void {
  const args = [...COMPILE, ...foreign, "packages/cdc/src/main.ts", "--outfile", outfile];
  const { status } = spawnSync(path.join(toolBin, "bun"), args, { cwd: root, stdio: ["ignore", "ignore", "inherit"] });
  if (status !== 0) throw new BuildError("bun build refuses it");
}

/** Start the executable once: an executable that was damaged on the way must not stay. */
function prove(executable: string): void {
  try {
    execFileSync(executable, ["--version"], { env: {}, stdio: ["ignore", "ignore", "pipe"] });
  } catch (error) {
    const { status, signal, stderr } = error as { status?: number; signal?: string; stderr?: Buffer };
    const how = signal ?? `status ${String(status)}`;
    throw new BuildError(`the built executable's --version ended with ${how}: ${String(stderr ?? "").trim()}`);
  }
}

/** Say what is missing for a private loader; undefined when nothing is. */
function obstacle(
  arch: Architecture,
  libraries: readonly string[],
  interpreter: string | undefined,
): string | undefined {
  if (interpreter === undefined) return "the path of dist is too long";
  if (libraries.length > 0) return undefined;
  return arch === process.arch ? "ldd finds none" : `libc6-${arch}-cross is not installed`;
}

/**
 * Build `cdc` into a folder. It gets its own loader and C library in `lib/` beside it, so that it runs
 * on a root that has none.
 *
 * @param bun the other architecture's Bun, when it is not for this machine
 */
export async function buildComposer(folder: string, arch: Architecture, bun?: string): Promise<BuildResult> {
  const output = path.join(folder, "cdc");
  const interpreter = tryPadInterpreter(path.join(folder, "lib", LOADERS[arch]));
  const libraries = findLibraries(arch);
  const missing = obstacle(arch, libraries, interpreter);
  const note = missing === undefined ? undefined : `uses the C library of the machine it runs on (${missing})`;

  const stamp = path.relative(dist, output).replaceAll("/", "-");
  const hash = hashInputs("cdc", arch, interpreter ?? "", note ?? "", ...libraries);
  if (isFresh(stamp, hash, missing === undefined ? [output, path.join(folder, "lib")] : [output])) {
    return { output, built: false, note };
  }

  fs.mkdirSync(folder, { recursive: true });
  const draft = path.join(folder, ".cdc.partial");
  compile(draft, bun === undefined ? [] : [`--target=bun-linux-${arch}`, `--compile-executable-path=${bun}`]);
  if (missing === undefined && interpreter !== undefined) {
    copyLibraries(libraries, path.join(folder, "lib"));
    setLoaderInPlace(draft, interpreter, RUN_PATH);
  }
  if (bun === undefined) prove(draft);
  fs.renameSync(draft, output);
  writeLicenses("cdc", await inputsOf("cdc"));
  writeStamp(stamp, hash);
  return { output, built: true, note };
}
