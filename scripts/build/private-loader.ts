import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";

/**
 * Length of the interpreter path in a built `cdc`. The kernel wants it absolute and ignores repeated
 * slashes, so a path of fixed length can be rewritten in place for any folder. See `docs/architecture.md`.
 */
export const INTERPRETER_BYTES = 192;

const LOADERS: Partial<Record<NodeJS.Architecture, string>> = {
  x64: "ld-linux-x86-64.so.2",
  arm64: "ld-linux-aarch64.so.1",
};

/** Name the loader's file for this machine, or undefined where none is known. */
export function loaderName(): string | undefined {
  return process.platform === "linux" ? LOADERS[process.arch] : undefined;
}

/** Find patchelf on PATH and tell its version; undefined when it is not installed. */
export function tryPatchelfVersion(): string | undefined {
  try {
    return execFileSync("patchelf", ["--version"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  } catch {
    return undefined;
  }
}

/** Pad an absolute path with leading slashes to the fixed length; undefined when it is longer. */
export function tryPadInterpreter(file: string): string | undefined {
  const bytes = Buffer.byteLength(file);
  return bytes <= INTERPRETER_BYTES ? "/".repeat(INTERPRETER_BYTES - bytes) + file : undefined;
}

/** List the shared libraries, loader included, that this machine gives an executable. */
function librariesOf(executable: string): string[] {
  const text = execFileSync("ldd", [executable], { encoding: "utf8" });
  const found = [...text.matchAll(/(?:=> )?(\/\S+) \(0x/g)].map((match) => match[1] ?? "");
  if (/not found/.test(text) || found.length === 0) throw new Error(`ldd ${executable}: ${text}`);
  return found;
}

/** Copy the loader and the libraries that an unpatched executable needs into one folder. */
export function copyLibraries(executable: string, folder: string): void {
  fs.mkdirSync(folder, { recursive: true });
  for (const library of librariesOf(executable)) {
    const target = path.join(folder, path.basename(library));
    // Renamed into place: a `cdc` that a test runs meanwhile keeps the old file.
    fs.copyFileSync(fs.realpathSync(library), `${target}.partial`);
    fs.chmodSync(`${target}.partial`, 0o755);
    fs.renameSync(`${target}.partial`, target);
  }
}

/** Make an executable use the loader and the libraries in `lib/` beside the place where it will lie. */
export function usePrivateLoader(executable: string, interpreter: string): void {
  execFileSync(
    "patchelf",
    ["--set-interpreter", interpreter, "--force-rpath", "--set-rpath", "$ORIGIN/lib", executable],
    { stdio: ["ignore", "inherit", "inherit"] },
  );
}
