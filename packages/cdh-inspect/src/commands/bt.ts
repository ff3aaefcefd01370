import { Command, Option } from "clipanion";
import { EXIT_STATUS_HELP, parseOutputFormat } from "@cdh/core/cli";
import { formatFlag, textFlag } from "@cdh/core/cli/flags";
import { CdhError, EXIT } from "@cdh/core/errors";
import { printable, stringifyJson } from "@cdh/core/output";
import { findDebugger, FRAMES_MAX, printStacks, whyNoDebugger, type DebuggerName } from "../debug/debugger.ts";
import type { FileWishes } from "../debug/find-files.ts";
import { formatStacks } from "../debug/format-stacks.ts";
import { mergeStacks } from "../debug/merge-stacks.ts";
import { prepareDebugging } from "../debug/prepare.ts";
import { readRawStacks, type RawStacks } from "../debug/raw-stacks.ts";
import type { OpenedFile } from "../read/opened-file.ts";
import { CrashFilesCommand } from "./crash-files-command.ts";
import { BUNDLE_HELP } from "./show.ts";

/** Print the stacks of all threads. */
export class BtCommand extends CrashFilesCommand {
  static override paths = [["bt"], ["stack"]];

  static override usage = Command.Usage({
    category: "Look",
    description: "the stack of every thread, with or without a debugger",
    details: `
      ${BUNDLE_HELP}

      The stacks are walked straight from the core (x86-64, i386, arm64): by unwind tables, by what Go writes of its own, and by frame
      pointers where there is neither. Names, files, lines and inlined calls come from the files' symbols; those of C++ and Rust are made
      readable (JSON has both forms). With gdb or lldb on this machine, that adds arguments to the frames that it knows; of another
      machine's core, gdb-multiarch or whichever knows that machine. \`--raw\` asks none. "By the link register" says that a frame on arm64
      is known from that register alone, which may be left from an earlier call. Functions of Python (3.11 to 3.13) stand where the
      interpreter ran them. Goroutines that no thread ran are listed by \`goroutines\`.

      The program and its libraries come from \`--exe\` and \`--sysroot\`, from this machine where the build-ids are the
      same, or by build-id from the store that the bundle lies in, and from STORE_URL: see \`symbols push\`. What was fetched is
      kept for a week, and used as long as the store has the same. DEBUGINFOD_URLS is passed on to the debugger.

      EXIT STATUS: ${EXIT_STATUS_HELP}. 3 when files are missing, so that names are too, functions of
      Python are not read, or a stack ends before its outermost frame.
    `,
    examples: [
      ["With the program from a build", "$0 bt crash.zip --exe ./build/server"],
      ["Without a debugger", "$0 bt --raw crash.zip --sysroot ./rootfs"],
    ],
  });

  bundle = Option.String({ name: "BUNDLE" });
  raw = Option.Boolean("--raw", false, { description: "no debugger" });
  with = textFlag("--with", "DEBUGGER", "gdb or lldb; the first one found when left out");
  output = formatFlag();

  override async run(): Promise<number> {
    const format = parseOutputFormat(this.output);
    if (this.with !== undefined && this.with !== "gdb" && this.with !== "lldb")
      throw new CdhError("CDH_CONFIG_INVALID", `--with ${this.with}: gdb or lldb`);
    return this.withOpened(this.bundle, async (opened) => {
      const { machine } = await opened.facts();
      const name = this.raw ? undefined : await findDebugger(this.with, machine);
      const wishes = await this.wishesFor(opened);
      if (format !== "table") return this.#printJson(opened, wishes, name, format === "json" ? 2 : undefined);
      if (name !== undefined) return this.#printByDebugger(opened, wishes, name);
      if (!this.raw) this.warn(`${whyNoDebugger(this.with, machine)}: walking the stacks without one`);
      const stacks = await readRawStacks(opened, wishes, this.context.stopSignal);
      this.write(formatStacks(stacks.threads));
      for (const note of stacks.notes) this.warn(note);
      return isWhole(stacks) ? EXIT.ok : EXIT.incomplete;
    });
  }

  /** Our frames, with the debugger's lines for those that it knows. */
  async #printByDebugger(opened: OpenedFile, wishes: FileWishes, name: DebuggerName): Promise<number> {
    const stacks = await readRawStacks(opened, wishes, this.context.stopSignal);
    const isLong = stacks.threads.some(({ frames, leftOut }) => leftOut !== undefined || frames.length > FRAMES_MAX);
    const { text, notes } = await this.#askDebugger(opened, wishes, name, isLong);
    const merged = mergeStacks(stacks.threads, name, text);
    this.write(merged ?? `${text.trimEnd().split("\n").map(printable).join("\n")}\n`);
    for (const note of notes) this.warn(note);
    const isKnown = merged !== undefined && stacks.threads.every(({ endsHere }) => endsHere === undefined);
    return notes.length === 0 && (merged === undefined || isKnown) ? EXIT.ok : EXIT.incomplete;
  }

  async #printJson(
    opened: OpenedFile,
    wishes: FileWishes,
    name: DebuggerName | undefined,
    indent: number | undefined,
  ): Promise<number> {
    const stacks = await readRawStacks(opened, wishes, this.context.stopSignal);
    const isLong = stacks.threads.some(({ frames, leftOut }) => leftOut !== undefined || frames.length > FRAMES_MAX);
    const asked = name === undefined ? undefined : await this.#askDebugger(opened, wishes, name, isLong);
    const said = asked === undefined ? {} : { debugger: name, debuggerText: asked.text };
    const notes = [...new Set([...stacks.notes, ...(asked?.notes ?? [])])];
    this.write(`${stringifyJson({ bundle: opened.label, threads: stacks.threads, notes, ...said }, indent)}\n`);
    return isWhole({ ...stacks, notes }) ? EXIT.ok : EXIT.incomplete;
  }

  async #askDebugger(
    opened: OpenedFile,
    wishes: FileWishes,
    name: DebuggerName,
    isLong: boolean,
  ): Promise<{ text: string; notes: string[] }> {
    const prepared = await prepareDebugging(opened, wishes, this.context);
    try {
      const debuginfod = (this.context.env["DEBUGINFOD_URLS"] ?? "") !== "";
      const { text } = await printStacks(name, prepared, { debuginfod, isLong, signal: this.context.stopSignal });
      return { text, notes: prepared.notes };
    } finally {
      await prepared.dispose();
    }
  }
}

/** Tell whether all files were there, and every stack could be walked to its outermost frame. */
function isWhole({ notes, threads }: RawStacks): boolean {
  return notes.length === 0 && threads.every(({ endsHere }) => endsHere === undefined);
}
