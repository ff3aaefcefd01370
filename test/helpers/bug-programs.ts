import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { REPOSITORY } from "./repository.ts";
import { findOnPath } from "./tools.ts";

const SOURCES = join(REPOSITORY, "test/inspect/programs/bugs");

/** One way in which a bug comes: how the program was built, and how it was run. */
export interface Variant {
  name: string;
  flags: readonly string[];
  /** Another compiler than the program's. */
  tool?: string;
  /** The compiler may leave an access out that the language does not define: such a bug is none there. */
  leavesOut?: true;
  /** Nobody has kept its stacks yet: it is run with `CDH_GROUPS=keep` alone. */
  isNew?: true;
  /** The program is stripped after it was built: the same build, without names. */
  isStripped?: true;
  /** Depth of a recursion, and whether the bug runs in a thread of its own. */
  args: readonly string[];
}

/** A program with many bugs, each run into by its number. */
export interface BugProgram {
  name: string;
  source: string;
  tool: string;
  bugs: number;
  variants: readonly Variant[];
}

const GCC = ["-g", "-pthread", "-fstack-protector-strong", "-w"];
const COMPILED: readonly Variant[] = [
  { name: "O0", flags: [...GCC, "-O0"], args: ["3"] },
  { name: "O2", flags: [...GCC, "-O2"], args: ["9"] },
  { name: "rebuilt", flags: [...GCC, "-O2", "-DREBUILT"], args: ["5"] },
  { name: "thread", flags: [...GCC, "-O1", "-no-pie"], args: ["3", "thread"] },
  { name: "static", flags: [...GCC, "-O2", "-static"], args: ["20"] },
];

/** What another compiler makes, and what is left of the same build without names. */
const clang = (tool: string): readonly Variant[] => [
  { name: "clang-O0", isNew: true, tool, flags: [...GCC, "-O0", "-Wl,--build-id"], args: ["4"] },
  { name: "clang-O2", isNew: true, tool, flags: [...GCC, "-O2", "-Wl,--build-id"], leavesOut: true, args: ["7"] },
];
const STRIPPED: Variant = { name: "stripped", isNew: true, flags: [...GCC, "-O2"], isStripped: true, args: ["9"] };
const MUSL: Variant = {
  name: "musl",
  isNew: true,
  tool: "musl-gcc",
  flags: [...GCC, "-O2", "-Wl,--build-id"],
  args: ["6"],
};

/** All programs with bugs. */
export const BUG_PROGRAMS: readonly BugProgram[] = [
  { name: "shop", source: "shop.c", tool: "gcc", bugs: 26, variants: [...COMPILED, ...clang("clang"), MUSL, STRIPPED] },
  { name: "store", source: "store.cpp", tool: "g++", bugs: 16, variants: [...COMPILED, ...clang("clang++"), STRIPPED] },
  {
    name: "market",
    source: "market.go",
    tool: "go",
    bugs: 10,
    variants: [
      { name: "plain", flags: [], args: ["3"] },
      { name: "stripped", flags: ["-ldflags=-s -w"], args: ["9"] },
      { name: "not-inlined", flags: ["-gcflags=-l"], args: ["5"] },
      { name: "thread", flags: ["-gcflags=-N -l"], args: ["3", "thread"] },
    ],
  },
  {
    name: "stall",
    source: "stall.rs",
    tool: "rustc",
    bugs: 8,
    variants: [
      { name: "debug", flags: ["-g", "-C", "panic=abort"], args: ["3"] },
      { name: "O2", flags: ["-g", "-C", "opt-level=2", "-C", "panic=abort"], args: ["9"] },
      {
        name: "thread",
        flags: ["-g", "-C", "opt-level=1", "-C", "panic=abort", "-C", "symbol-mangling-version=v0"],
        args: ["3", "thread"],
      },
    ],
  },
];

/** Say why a program can't be built here; undefined when it can. */
export function bugProgramUnavailable({ tool }: BugProgram): string | undefined {
  return findOnPath(tool).reason;
}

/** The variants of a program that can be built here. @param withNew those too of which no stacks are kept yet */
export function variantsHere({ variants }: BugProgram, withNew = true): readonly Variant[] {
  return variants.filter(
    ({ tool, isNew }) => (withNew || isNew !== true) && (tool === undefined || findOnPath(tool).reason === undefined),
  );
}

/** Build a variant of a program, below a folder, under the program's own name. @returns its path */
export function buildBugProgram({ name, source, tool }: BugProgram, variant: Variant, folder: string): string {
  const directory = join(folder, `${name}-${variant.name}`);
  mkdirSync(directory, { recursive: true });
  const program = join(directory, name);
  const build = tool === "go" ? ["build"] : [];
  execFileSync(variant.tool ?? tool, [...build, ...variant.flags, "-o", program, source], {
    cwd: SOURCES,
    stdio: "pipe",
    env: { ...process.env, GO111MODULE: "off" },
  });
  if (variant.isStripped === true) execFileSync("strip", [program], { stdio: "pipe" });
  return program;
}
