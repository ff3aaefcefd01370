import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { REPOSITORY } from "./repository.ts";
import { findOnPath } from "./tools.ts";

const SOURCES = join(REPOSITORY, "test/programs");

/** The C programs of test/programs; what each does is said in its first comment. */
export const CRASH_PROGRAMS = [
  "abrt",
  "bus",
  "dropped",
  "fill",
  "fpe",
  "hang",
  "hostile-name",
  "ill",
  "in-file",
  "io-uring",
  "launch",
  "loop",
  "mapper",
  "measure",
  "nocore",
  "own-uid",
  "pattern300",
  "quit",
  "regions",
  "rename-self",
  "segv",
  "threads",
  "trap",
] as const;

/** Name one of them. */
export type CrashProgram = (typeof CRASH_PROGRAMS)[number];

/** Say why they can't be compiled, or undefined. */
export function compilerUnavailable(): string | undefined {
  return findOnPath("gcc").reason;
}

// No optimisation and frame pointers, so that frames are where a debugger and our own walker expect them.
const FLAGS = [
  "-std=gnu11",
  "-O0",
  "-g",
  "-fno-omit-frame-pointer",
  "-Wall",
  "-Wextra",
  "-Werror",
  "-Wl,--build-id=sha1",
  "-pthread",
];
// These do real work before they crash; the bench would wait minutes for them unoptimised.
const OPTIMISED = new Set(["fill", "pattern300"]);

/**
 * Compile the crash programs once per machine and version of their sources.
 * @returns the path of each
 * @throws {Error} with the compiler's words; ask {@link compilerUnavailable} first
 */
export function compileCrashPrograms(): Record<CrashProgram, string> {
  const hash = createHash("sha256").update([...FLAGS, ...CRASH_PROGRAMS].join(" "));
  for (const file of readdirSync(SOURCES).sort()) hash.update(file).update(readFileSync(join(SOURCES, file)));
  const directory = join(tmpdir(), `cdh-programs-${process.getuid?.() ?? 0}-${hash.digest("hex").slice(0, 16)}`);
  if (!existsSync(directory)) compileInto(directory);
  return Object.fromEntries(CRASH_PROGRAMS.map((name) => [name, join(directory, name)])) as Record<
    CrashProgram,
    string
  >;
}

function compileInto(directory: string): void {
  mkdirSync(tmpdir(), { recursive: true });
  const fresh = mkdtempSync(`${directory}-`);
  for (const name of CRASH_PROGRAMS) {
    const optimise = OPTIMISED.has(name) ? ["-O2"] : [];
    const result = spawnSync("gcc", [...FLAGS, ...optimise, "-o", join(fresh, name), join(SOURCES, `${name}.c`)], {
      encoding: "utf8",
    });
    if (result.status !== 0) {
      rmSync(fresh, { recursive: true, force: true });
      throw new Error(`gcc ${basename(name)}.c: ${result.error?.message ?? result.stderr}`);
    }
  }
  try {
    renameSync(fresh, directory);
  } catch {
    // Another test file was faster; its programs are the same.
    rmSync(fresh, { recursive: true, force: true });
  }
}
