import { run } from "@cdh/core/exec";
import { CdhError } from "@cdh/core/errors";
import type { Prepared } from "./prepare.ts";

/** Which debugger there is. Debian's gdb knows its own machine only, and gdb-multiarch all. */
export type DebuggerName = "gdb" | "gdb-multiarch" | "lldb";

const PROBE_TIMEOUT_MS = 10_000;
const BATCH_TIMEOUT_MS = 300_000;
const OUTPUT_MAX_BYTES = 64 * 1024 * 1024;
/** gdb's names of machines. */
const GDB_ARCHITECTURES: Partial<Record<string, string>> = { x64: "i386:x86-64", arm64: "aarch64" };

/**
 * Find a debugger that can read a core of this machine: of the kind named, else gdb, else lldb; undefined when there is none.
 * @param machine the core's, by the manifest's name; left out when it is not known
 */
export async function findDebugger(wanted?: string, machine?: string): Promise<DebuggerName | undefined> {
  const foreign = isForeign(machine) ? GDB_ARCHITECTURES[machine ?? ""] : undefined;
  for (const name of ["gdb", "gdb-multiarch", "lldb"] as const) {
    const isLldb = name === "lldb";
    if (wanted !== undefined && (wanted === "lldb") !== isLldb) continue;
    const ask =
      isLldb || foreign === undefined ? ["--version"] : ["-nx", "-batch", "-ex", `set architecture ${foreign}`];
    const probe = await run(name, ask, { timeoutMs: PROBE_TIMEOUT_MS });
    if (!probe.failed && !/undefined item/i.test(probe.stderr)) return name;
  }
  return undefined;
}

/** Say that there is no debugger. */
export function whyNoDebugger(wanted?: string, machine?: string): string {
  const which = wanted === undefined ? "neither gdb nor lldb" : `no ${wanted}`;
  if (isForeign(machine)) return `${which} that knows ${machine} is on PATH (Debian: gdb-multiarch)`;
  return wanted === undefined ? `${which} is on PATH` : `${wanted} is not on PATH`;
}

function isForeign(machine: string | undefined): boolean {
  return machine !== undefined && Object.hasOwn(GDB_ARCHITECTURES, machine) && machine !== process.arch;
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
  const { corePath, exePath, sysroot } = prepared;
  if (name === "lldb") {
    const create = [
      "target create",
      "--core",
      quote(corePath),
      ...(sysroot === undefined ? [] : ["--sysroot", quote(sysroot)]),
      ...(exePath === undefined ? [] : [quote(exePath)]),
    ];
    const commands = [create.join(" "), ...options.commands];
    return ["--no-lldbinit", ...(options.batch ? ["--batch"] : []), ...commands.flatMap((command) => ["-o", command])];
  }
  const settings = [
    "set auto-load off",
    ...(options.batch ? ["set pagination off"] : []),
    `set debuginfod enabled ${options.debuginfod ? "on" : "off"}`,
    ...(sysroot === undefined ? [] : [`set sysroot ${sysroot}`]),
  ];
  return [
    "-nx",
    "-q",
    ...(options.batch ? ["-batch"] : []),
    ...settings.flatMap((setting) => ["-iex", setting]),
    ...options.commands.flatMap((command) => ["-ex", command]),
    ...(exePath === undefined ? [] : ["-se", exePath]),
    "-core",
    corePath,
  ];
}

/** The command that prints all stacks, the crashed thread's first. */
export function backtraceCommands(name: DebuggerName): string[] {
  return name === "lldb" ? ["thread backtrace all"] : ["set width 0", "thread apply all -ascending backtrace"];
}

/**
 * Print the stacks of all threads by a debugger in batch mode.
 * @throws {CdhError} CDH_RUNTIME when it fails, CDH_DEADLINE when it does not come back
 */
export async function printStacks(
  name: DebuggerName,
  prepared: Prepared,
  options: { debuginfod: boolean; signal: AbortSignal },
): Promise<{ text: string; remarks: string[] }> {
  const args = debuggerArguments(name, prepared, {
    commands: backtraceCommands(name),
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
  const start = text.search(name === "lldb" ? /^\s*\*? ?thread #\d+/m : /^Thread \d+/m);
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
