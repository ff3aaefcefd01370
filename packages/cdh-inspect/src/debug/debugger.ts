import type { CoreMachine } from "@cdh/core/elf/facts";
import { machineName } from "@cdh/core/elf/machine-name";
import { CdhError } from "@cdh/core/errors";
import { run } from "@cdh/core/exec";
import type { Prepared } from "./prepare.ts";

/** Which debugger there is. Debian's gdb knows its own machine only, and gdb-multiarch all. */
export type DebuggerName = "gdb" | "gdb-multiarch" | "lldb";

const PROBE_TIMEOUT_MS = 10_000;
const BATCH_TIMEOUT_MS = 300_000;
const OUTPUT_MAX_BYTES = 64 * 1024 * 1024;
/** gdb's names of machines, by `e_machine`. */
const GDB_ARCHITECTURES: Partial<Record<number, string>> = {
  2: "sparc",
  3: "i386",
  4: "m68k",
  8: "mips",
  20: "powerpc",
  21: "powerpc:common64",
  22: "s390:64-bit",
  40: "arm",
  43: "sparc:v9",
  62: "i386:x86-64",
  183: "aarch64",
  243: "riscv:rv64",
  258: "Loongarch64",
};
/** What this machine's own gdb reads besides its own programs. */
const NATIVE: Partial<Record<string, readonly string[]>> = { x64: ["x64", "x86"], arm64: ["arm64", "arm"] };
/** Frames asked for of each thread, and so many of the outermost ones of a longer stack. */
export const FRAMES_MAX = 200;
const OUTERMOST_FRAMES = 30;

/**
 * Find a debugger that can read a core of this machine: of the kind named, else gdb, else lldb; undefined when there is none.
 * @param machine the core's; left out when it is not known
 */
export async function findDebugger(wanted?: string, machine?: CoreMachine): Promise<DebuggerName | undefined> {
  const foreign = isForeign(machine);
  const architecture = machine === undefined ? undefined : GDB_ARCHITECTURES[machine.elfMachine];
  for (const name of ["gdb", "gdb-multiarch", "lldb"] as const) {
    const isLldb = name === "lldb";
    if (wanted !== undefined && (wanted === "lldb") !== isLldb) continue;
    // A gdb that does not know the machine shows nothing, and calls that a success.
    if (foreign && name === "gdb" && architecture === undefined) continue;
    const ask =
      isLldb || !foreign || architecture === undefined
        ? ["--version"]
        : ["-nx", "-batch", "-ex", `set architecture ${architecture}`];
    const probe = await run(name, ask, { timeoutMs: PROBE_TIMEOUT_MS });
    if (!probe.failed && !/undefined item/i.test(probe.stderr)) return name;
  }
  return undefined;
}

/** Say that there is no debugger. */
export function whyNoDebugger(wanted?: string, machine?: CoreMachine): string {
  const which = wanted === undefined ? "neither gdb nor lldb" : `no ${wanted}`;
  if (machine !== undefined && isForeign(machine))
    return `${which} that knows ${machineName(machine)} is on PATH (Debian: gdb-multiarch)`;
  return wanted === undefined ? `${which} is on PATH` : `${wanted} is not on PATH`;
}

function isForeign(machine: CoreMachine | undefined): boolean {
  return machine !== undefined && !(NATIVE[process.arch] ?? []).includes(machine.name);
}

/**
 * Arguments that open a core with everything set up. Nothing that lies in the sysroot is run: it comes from the crashed
 * image.
 * @param commands to run before the prompt, or, in batch mode, all there is
 */
export function debuggerArguments(
  name: DebuggerName,
  prepared: Prepared,
  options: { commands: readonly string[]; batch: boolean; debuginfod: boolean },
): string[] {
  const { corePath, exePath, sysroot, debugFolder } = prepared;
  if (name === "lldb") {
    const create = [
      "target create",
      "--core",
      quote(corePath),
      "--sysroot",
      quote(sysroot),
      ...(exePath === undefined ? [] : [quote(exePath)]),
    ];
    const search = debugFolder && `settings append target.debug-file-search-paths ${quote(debugFolder)}`;
    const commands = [...(search === undefined ? [] : [search]), create.join(" "), ...options.commands];
    return ["--no-lldbinit", ...(options.batch ? ["--batch"] : []), ...commands.flatMap((command) => ["-o", command])];
  }
  const settings = [
    "set auto-load off",
    ...(options.batch ? ["set pagination off"] : []),
    `set debuginfod enabled ${options.debuginfod ? "on" : "off"}`,
    `set sysroot ${sysroot}`,
    // What the core names without a slash at its beginning is looked for where the debugger stands.
    `cd ${sysroot}`,
    ...(debugFolder === undefined ? [] : [`set debug-file-directory ${debugFolder}:/usr/lib/debug`]),
  ];
  return [
    "-nx",
    "-q",
    ...(options.batch ? ["-batch"] : []),
    ...settings.flatMap((setting) => ["-iex", setting]),
    ...[`cd ${process.cwd()}`, ...options.commands].flatMap((command) => ["-ex", command]),
    ...(exePath === undefined ? [] : ["-se", exePath]),
    "-core",
    corePath,
  ];
}

/**
 * The commands that print all stacks, the crashed thread's first.
 * @param isLong some stack has more frames than are asked for: both of its ends are printed
 */
export function backtraceCommands(name: DebuggerName, isLong: boolean): string[] {
  if (name === "lldb") return [`thread backtrace all${isLong ? ` --count ${FRAMES_MAX}` : ""}`];
  const all = "thread apply all -ascending backtrace";
  return [
    "set width 0",
    "set print frame-info location-and-address",
    "set backtrace past-main on",
    ...(isLong ? [`${all} ${FRAMES_MAX}`, `${all} -${OUTERMOST_FRAMES}`] : [all]),
  ];
}

/**
 * Print the stacks of all threads by a debugger in batch mode.
 * @throws {CdhError} CDH_RUNTIME when it fails, CDH_DEADLINE when it does not come back
 */
export async function printStacks(
  name: DebuggerName,
  prepared: Prepared,
  options: { debuginfod: boolean; isLong: boolean; signal: AbortSignal },
): Promise<{ text: string; remarks: string[] }> {
  const args = debuggerArguments(name, prepared, {
    commands: backtraceCommands(name, options.isLong),
    batch: true,
    debuginfod: options.debuginfod,
  });
  const result = await run(name, args, {
    timeoutMs: BATCH_TIMEOUT_MS,
    maxOutputBytes: OUTPUT_MAX_BYTES,
    signal: options.signal,
  });
  if (result.timedOut) throw new CdhError("CDH_DEADLINE", `${name} did not finish within ${BATCH_TIMEOUT_MS / 1000} s`);
  if (result.notStarted !== undefined) throw new CdhError("CDH_RUNTIME", `cannot start ${name}: ${result.notStarted}`);
  const text = stacksOnly(name, result.stdout);
  if (text.trim() === "")
    throw new CdhError("CDH_RUNTIME", `${name} printed no stack: ${lastLine(result.stderr) ?? "no reason given"}`, {
      hint: "--raw walks the stack without it",
    });
  return { text, remarks: result.stderr.split("\n").filter((line) => /warning|mismatch|No such file/i.test(line)) };
}

/** What the debugger says before the first thread is known from `show`. */
function stacksOnly(name: DebuggerName, text: string): string {
  const start = text.search(name === "lldb" ? /(?<![^\n])[ \t]*\*? ?thread #\d+/ : /(?<![^\n])Thread \d+/);
  return start === -1 ? "" : text.slice(start);
}

function lastLine(text: string): string | undefined {
  return text
    .trim()
    .split("\n")
    .findLast((line) => line.trim() !== "");
}

/** lldb splits its commands at blanks. */
function quote(path: string): string {
  return `"${path.replaceAll(/["\\]/g, "\\$&")}"`;
}
