import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { hashInputs, isFresh, writeStamp } from "./inputs.ts";
import { inputsOf, writeLicenses } from "./licenses.ts";
import { dist, root, toolBin } from "./paths.ts";
import {
  copyLibraries,
  loaderName,
  tryPadInterpreter,
  tryPatchelfVersion,
  usePrivateLoader,
} from "./private-loader.ts";

/** What became of a program: built now, still fresh, and what the reader should know. */
export interface BuildResult {
  output: string;
  built: boolean;
  note?: string;
}

/**
 * A compiled executable would read `.env` and `bunfig.toml` of its working directory, which for a
 * handler that the kernel starts is `/`: both are switched off.
 */
const COMPILE = [
  "build",
  "--compile",
  "--minify",
  "--bytecode",
  "--no-compile-autoload-dotenv",
  "--no-compile-autoload-bunfig",
];

function compile(outfile: string, extra: readonly string[] = []): void {
  execFileSync(path.join(toolBin, "bun"), [...COMPILE, ...extra, "packages/cdc/src/main.ts", "--outfile", outfile], {
    cwd: root,
    stdio: ["ignore", "ignore", "inherit"],
  });
}

/** Start the executable once: an executable that was damaged on the way must not stay. */
function prove(executable: string): void {
  try {
    execFileSync(executable, ["--version"], { env: {}, stdio: ["ignore", "ignore", "pipe"] });
  } catch (error) {
    throw new Error(`${path.relative(root, executable)} --version fails after the build`, { cause: error });
  }
}

/**
 * Build `dist/bin/cdc` for this machine. With patchelf on PATH it gets its own loader and C library in
 * `dist/bin/lib`, so that it runs on a root that has none.
 */
export async function buildComposer(): Promise<BuildResult> {
  const output = path.join(dist, "bin", "cdc");
  const libraries = path.join(dist, "bin", "lib");
  const loader = loaderName();
  const interpreter = loader === undefined ? undefined : tryPadInterpreter(path.join(libraries, loader));
  const patchelf = tryPatchelfVersion();
  const alone = interpreter !== undefined && patchelf !== undefined;
  const note = alone
    ? undefined
    : patchelf === undefined
      ? "uses this machine's C library (patchelf is not installed)"
      : "uses this machine's C library (the path of dist is too long)";

  const hash = hashInputs("cdc", patchelf ?? "no patchelf", interpreter ?? "");
  const result = { output, ...(note === undefined ? {} : { note }) };
  if (isFresh("cdc", hash, alone ? [output, libraries] : [output])) return { ...result, built: false };

  fs.mkdirSync(path.dirname(output), { recursive: true });
  const draft = path.join(dist, "bin", ".cdc.partial");
  compile(draft);
  if (alone) {
    copyLibraries(draft, libraries);
    usePrivateLoader(draft, interpreter);
  }
  prove(draft);
  fs.renameSync(draft, output);
  writeLicenses("cdc", await inputsOf("cdc"));
  writeStamp("cdc", hash);
  return { ...result, built: true };
}

/** Build `dist/<arch>/bin/cdc` for the other architecture, with that architecture's Bun from the toolchain's lock file. */
export function buildForeignComposer(arch: "x64" | "arm64", bun: string): BuildResult {
  const output = path.join(dist, arch, "bin", "cdc");
  const hash = hashInputs("cdc", arch);
  const note = "not started here; uses the C library of the machine it runs on";
  if (isFresh(`cdc-${arch}`, hash, [output])) return { output, built: false, note };
  fs.mkdirSync(path.dirname(output), { recursive: true });
  const draft = path.join(path.dirname(output), ".cdc.partial");
  compile(draft, [`--target=bun-linux-${arch}`, `--compile-executable-path=${bun}`]);
  fs.renameSync(draft, output);
  writeStamp(`cdc-${arch}`, hash);
  return { output, built: true, note };
}
