import { execFileSync } from "node:child_process";
import { existsSync, realpathSync } from "node:fs";
import { basename, join } from "node:path";
import { REPOSITORY } from "./repository.ts";
import { findOnPath, missingTools } from "./tools.ts";

/** One way to build and to run a program that crashes in a known place. */
export interface StackProgram {
  name: string;
  /** Row of the table in docs/stacks.md. */
  group: string;
  tools: readonly string[];
  /** Builds below a folder, and gives the program and, where its own symbols are stripped, a twin that has them. */
  build(folder: string): { program: string; twin?: string };
  /** `{folder}` stands for the folder that it was built in. */
  args?: readonly string[];
  env?: Record<string, string>;
  /** Functions of the crashed thread, innermost first, among others; inlined ones too. */
  functions: readonly string[];
}

const SOURCES = join(REPOSITORY, "test/inspect/programs/stacks");
const PLAIN = ["-g", "-O1", "-fno-optimize-sibling-calls"];

function run(command: string, args: readonly string[], cwd = SOURCES): void {
  execFileSync(command, args, { cwd, stdio: "pipe", env: { ...process.env, GO111MODULE: "off" } });
}

function compiled(
  name: string,
  group: string,
  source: string,
  compiler: string,
  flags: readonly string[],
  functions: readonly string[],
  more: Partial<StackProgram> = {},
): StackProgram {
  const build = (folder: string): { program: string } => {
    const program = join(folder, name);
    run(compiler, [...flags, "-o", program, source]);
    return { program };
  };
  return { name, group, tools: [compiler], build, functions, ...more };
}

const RECURSION = ["total", "walk", "walk", "walk", "walk", "walk", "main"];
const recursion = (name: string, group: string, compiler: string, flags: readonly string[]): StackProgram =>
  compiled(name, group, "recursion.c", compiler, flags, RECURSION);

function goProgram(
  name: string,
  source: string,
  flags: readonly string[],
  functions: readonly string[],
  twinFlags?: readonly string[],
): StackProgram {
  const build = (folder: string): { program: string; twin?: string } => {
    const [program, twin] = [join(folder, name), join(folder, `${name}.symbols`)];
    run("go", ["build", ...flags, "-o", program, source]);
    if (twinFlags === undefined) return { program };
    run("go", ["build", ...twinFlags, "-o", twin, source]);
    return { program, twin };
  };
  const group = twinFlags === undefined ? "Go" : "Go, stripped (-s -w)";
  return { name, group, tools: ["go", "gcc"], build, functions, env: { GOTRACEBACK: "crash" } };
}

/** Symbols in a file of their own, named by `.gnu_debuglink`. */
function withDebugLink(folder: string): { program: string } {
  const program = join(folder, "debuglink");
  run("gcc", [...PLAIN, "-o", program, "recursion.c"]);
  run("objcopy", ["--only-keep-debug", program, `${program}.debug`]);
  run("strip", [program]);
  run("objcopy", [`--add-gnu-debuglink=${basename(program)}.debug`, basename(program)], folder);
  return { program };
}

/** A small symbol table, packed by xz, as Fedora's packages have it. */
function withMiniDebugInfo(folder: string): { program: string } {
  const [program, mini] = [join(folder, "minidebug"), join(folder, "minidebug.mini")];
  run("gcc", ["-O1", "-fno-optimize-sibling-calls", "-o", program, "recursion.c"]);
  run("objcopy", ["--only-keep-debug", program, mini]);
  run("xz", ["-f", "--keep", mini]);
  run("strip", ["--strip-all", program]);
  run("objcopy", ["--add-section", `.gnu_debugdata=${mini}.xz`, program]);
  return { program };
}

/** The arguments of a program that was built in a folder, or that sees it there. */
export function argumentsIn({ args = [] }: StackProgram, folder: string): string[] {
  return args.map((text) => text.replace("{folder}", folder));
}

const python = (): string =>
  execFileSync("python3", ["-c", "import sys; print(sys.executable)"], { encoding: "utf8" }).trim();

const NIL = ["main.(*node).nextValue", "main.(*node).sum", "main.process", "main.main.func2", "runtime.goexit"];

/** All programs. The table of docs/stacks.md and the tests are made of them. */
export const STACK_PROGRAMS: readonly StackProgram[] = [
  recursion("plain", "C and C++, dynamic", "gcc", PLAIN),
  compiled("inlined", "C and C++, dynamic", "recursion.c", "gcc", ["-g", "-O2"], ["total", "walk", "main"]),
  recursion("compressed", "C and C++, dynamic", "gcc", [...PLAIN, "-gz=zlib"]),
  recursion("dwarf4", "C and C++, dynamic", "gcc", [...PLAIN, "-gdwarf-4"]),
  recursion("no-pie", "C and C++, dynamic", "gcc", [...PLAIN, "-no-pie"]),
  compiled("thrown", "C and C++, dynamic", "thrown.cpp", "g++", ["-g", "-O1"], ["_ZN4shop3payERKNS_4CartIiEE", "main"]),
  compiled("threads", "C and C++, dynamic", "threads.c", "gcc", [...PLAIN, "-pthread"], ["fail"]),
  {
    name: "debuglink",
    group: "C, separate symbols",
    tools: ["gcc", "objcopy", "strip"],
    build: withDebugLink,
    functions: RECURSION,
  },
  {
    name: "minidebug",
    group: "C, separate symbols",
    tools: ["gcc", "objcopy", "strip", "xz"],
    build: withMiniDebugInfo,
    functions: RECURSION,
  },
  recursion("static", "C, static", "gcc", [...PLAIN, "-static"]),
  recursion("static-pie", "C, static", "gcc", [...PLAIN, "-static-pie"]),
  compiled(
    "static-handler",
    "C, static",
    "handler.c",
    "gcc",
    [...PLAIN, "-static"],
    ["clean_up", "follow", "work", "main"],
  ),
  recursion("musl", "C, static", "musl-gcc", [...PLAIN, "-static"]),
  recursion("debug-frame", "C, only .debug_frame", "gcc", [
    ...PLAIN,
    "-fomit-frame-pointer",
    "-fno-asynchronous-unwind-tables",
    "-fno-unwind-tables",
  ]),
  recursion("m32", "C, 32-bit x86", "gcc", [...PLAIN, "-m32"]),
  compiled(
    "m32-handler",
    "C, 32-bit x86",
    "handler.c",
    "gcc",
    [...PLAIN, "-m32"],
    ["clean_up", "follow", "work", "main"],
  ),
  compiled("handler", "C, in a signal's handler", "handler.c", "gcc", PLAIN, ["clean_up", "follow", "work", "main"]),
  compiled("call-null", "C, call to nowhere", "nowhere.c", "gcc", PLAIN, ["dispatch", "main"]),
  compiled("call-data", "C, call to nowhere", "nowhere.c", "gcc", PLAIN, ["dispatch", "main"], { args: ["data"] }),
  compiled("overflow", "C, endless recursion", "overflow.c", "gcc", PLAIN, ["descend", "start_here", "main"]),
  compiled("smashed", "C, smashed stack", "smashed.c", "gcc", [...PLAIN, "-fno-stack-protector"], ["victim"]),
  compiled("rust", "Rust", "panic.rs", "rustc", ["-g", "-O", "-C", "panic=abort"], []),
  compiled("rust-v0", "Rust", "panic.rs", "rustc", ["-g", "-C", "panic=abort", "-C", "symbol-mangling-version=v0"], []),
  goProgram("go-nil", "nil.go", [], NIL),
  goProgram(
    "go-deep",
    "deep.go",
    [],
    ["runtime.newstack", "main.descend", "main.descend", "main.main", "runtime.goexit"],
  ),
  goProgram("go-cgo", "cgo.go", [], ["main._Cfunc_boom", "main.callC", "main.main", "runtime.goexit"]),
  goProgram("go-stripped", "nil.go", ["-ldflags=-s -w"], NIL, []),
  goProgram("go-pie", "nil.go", ["-buildmode=pie"], NIL),
  {
    name: "python",
    group: "Python",
    tools: ["python3"],
    build: () => ({ program: python() }),
    args: ["-c", "import os; (lambda: os.abort())()"],
    functions: ["abort"],
  },
  {
    name: "java",
    group: "Java",
    tools: ["java", "javac"],
    build: (folder) => {
      run("javac", ["-nowarn", "-d", folder, "Wild.java"]);
      return { program: realpathSync(findOnPath("java").path ?? "java") };
    },
    args: ["-Xmx64m", "-XX:+UseSerialGC", "-cp", "{folder}", "Wild"],
    functions: ["abort"],
  },
  {
    name: "node",
    group: "Node",
    tools: [],
    build: () => ({ program: process.execPath }),
    args: ["-e", "process.abort()"],
    functions: [],
  },
];

/** Say why a program can't be built here; undefined when it can. */
export function stackProgramUnavailable({ name, tools }: StackProgram): string | undefined {
  if (
    name.startsWith("m32") &&
    !existsSync("/usr/include/x86_64-linux-gnu/gnu/stubs-32.h") &&
    !existsSync("/usr/lib32")
  )
    return "gcc makes no 32-bit programs here (Debian: libc6-dev-i386 and lib32gcc-12-dev)";
  return missingTools(...tools);
}
