import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";

/**
 * Length of the interpreter path in a built `cdc`. The kernel wants it absolute and ignores repeated
 * slashes, so a path of fixed length can be rewritten in place for any folder. See `docs/architecture.md`.
 */
export const INTERPRETER_BYTES = 192;

/**
 * Where a built `cdc` looks for its libraries: `lib` beside it. The slashes, which the loader ignores, are room for
 * `lib/<16 digits>`: an install gives each set of libraries a folder of its own.
 */
export const RUN_PATH: string = `$ORIGIN/lib${"/".repeat(17)}`;

/** What the programs are built for. */
export type Architecture = "x64" | "arm64";

/** The loader's file name. */
export const LOADERS: Readonly<Record<Architecture, string>> = {
  x64: "ld-linux-x86-64.so.2",
  arm64: "ld-linux-aarch64.so.1",
};

/** Where Debian's `libc6-<arch>-cross` puts another architecture's C library. */
const CROSS_FOLDERS: Readonly<Record<Architecture, string>> = {
  x64: "/usr/x86_64-linux-gnu/lib",
  arm64: "/usr/aarch64-linux-gnu/lib",
};

/** What Bun's runtime is linked with, beside the loader. */
const LIBRARIES = ["libc.so.6", "libpthread.so.0", "libdl.so.2", "libm.so.6"];

/** Pad an absolute path with leading slashes to the fixed length; undefined when it is longer. */
export function tryPadInterpreter(file: string): string | undefined {
  const bytes = Buffer.byteLength(file);
  return bytes <= INTERPRETER_BYTES ? "/".repeat(INTERPRETER_BYTES - bytes) + file : undefined;
}

/** Find the loader and the libraries for an architecture on this machine; none when one is missing. */
export function findLibraries(arch: Architecture): string[] {
  if (arch !== process.arch) {
    const files = [LOADERS[arch], ...LIBRARIES].map((name) => path.join(CROSS_FOLDERS[arch], name));
    return files.every((file) => fs.existsSync(file)) ? files : [];
  }
  // The pinned Node needs all of them, and more.
  const text = execFileSync("ldd", [process.execPath], { encoding: "utf8" });
  const found = [...text.matchAll(/(?:=> )?(\/\S+) \(0x/g)].map((match) => match[1] ?? "");
  const wanted = [LOADERS[arch], ...LIBRARIES].map((name) => found.find((file) => path.basename(file) === name));
  return wanted.every((file) => file !== undefined) ? wanted : [];
}

/** Copy the loader and the libraries into one folder. */
export function copyLibraries(libraries: readonly string[], folder: string): void {
  fs.mkdirSync(folder, { recursive: true });
  for (const library of libraries) {
    const target = path.join(folder, path.basename(library));
    // Renamed into place: a `cdc` that runs meanwhile keeps the old file.
    fs.copyFileSync(fs.realpathSync(library), `${target}.partial`);
    fs.chmodSync(`${target}.partial`, 0o755);
    fs.renameSync(`${target}.partial`, target);
  }
}
