import { execFileSync } from "node:child_process";
import { chmodSync, copyFileSync, existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { REPOSITORY } from "./repository.ts";
import { findOnPath, missingTools } from "./tools.ts";

const SOURCES = join(REPOSITORY, "test/inspect/programs/arm64");
/** Where Debian's cross packages put arm64's libraries. */
const LIBRARIES = "/usr/aarch64-linux-gnu/lib";
const WANTED = ["ld-linux-aarch64.so.1", "libc.so.6", "libm.so.6", "libgcc_s.so.1", "libstdc++.so.6"];

/** How the crash program is compiled: each keeps its callers in another way. */
export const ARM64_BUILDS = {
  framed: ["-O1", "-fno-omit-frame-pointer", "-mno-omit-leaf-frame-pointer"],
  frameless: ["-O2", "-fomit-frame-pointer"],
  // Return addresses on the stack carry a signature where the processor can make one.
  signed: ["-O2", "-mbranch-protection=standard"],
} as const;

/** As lld lays libraries out by default: the data goes on in the file's page where the code ended, 64 KiB further in memory. */
const LIBRARY_LINK: Record<keyof typeof ARM64_BUILDS, string[]> = {
  framed: [],
  frameless: ["-Wl,-z,norelro"],
  signed: [],
};

/** Name a build of test/inspect/programs/arm64/stacks.c. */
export type Arm64Build = keyof typeof ARM64_BUILDS;

/** Say why arm64 programs can't be compiled, or undefined. */
export function arm64CompilerUnavailable(): string | undefined {
  return (
    missingTools("aarch64-linux-gnu-gcc", "aarch64-linux-gnu-g++") ??
    WANTED.map((name) => (existsSync(join(LIBRARIES, name)) ? undefined : `${LIBRARIES}/${name} is not there`)).find(
      (reason) => reason !== undefined,
    )
  );
}

/** Compile one of the sources for arm64. @throws {Error} with the compiler's words */
export function compileArm64(source: string, output: string, flags: readonly string[]): void {
  const compiler = source.endsWith(".cc") ? "aarch64-linux-gnu-g++" : "aarch64-linux-gnu-gcc";
  const path = source.startsWith("/") ? source : join(SOURCES, source);
  execFileSync(compiler, ["-g", "-Wall", "-Wextra", "-Werror", path, ...flags, "-o", output], {
    cwd: SOURCES,
    stdio: "pipe",
  });
}

/** Compile Go's crash program for arm64. @throws {Error} with the compiler's words */
export function compileArm64Go(output: string): void {
  const settings = { GOARCH: "arm64", CGO_ENABLED: "0", GO111MODULE: "off", GOFLAGS: "" };
  execFileSync(findOnPath("go").path ?? "go", ["build", "-o", output, "main.go"], {
    cwd: SOURCES,
    stdio: "pipe",
    env: { ...process.env, ...settings },
  });
}

/**
 * Make a root file system for arm64 in a directory: the crash programs in `/app`, each with its own library, and the
 * C and C++ libraries in `/lib`. `/app/<build>` for each of {@link ARM64_BUILDS}, and `/app/thrown`.
 */
export function makeArm64Root(root: string, builds: readonly Arm64Build[]): void {
  mkdirSync(join(root, "app"), { recursive: true });
  mkdirSync(join(root, "lib"));
  for (const name of WANTED) copyFileSync(join(LIBRARIES, name), join(root, "lib", name));
  chmodSync(join(root, "lib", WANTED[0] ?? ""), 0o755);
  const link = ["-Wl,--build-id=sha1", "-Wl,-rpath,/app:/lib", "-pthread"];
  for (const build of builds) {
    const flags = [...ARM64_BUILDS[build], "-fno-ipa-cp", "-fno-optimize-sibling-calls"];
    const library = join(root, "app", `libsteps-${build}.so`);
    compileArm64("library.c", library, [
      ...flags,
      ...LIBRARY_LINK[build],
      "-shared",
      "-fPIC",
      `-Wl,-soname,libsteps-${build}.so`,
    ]);
    compileArm64("stacks.c", join(root, "app", build), [...flags, ...link, library]);
  }
  compileArm64("thrown.cc", join(root, "app/thrown"), ["-O2", ...link]);
}
