import { Command, Option } from "clipanion";
import { EXIT_STATUS_HELP, parseOutputFormat } from "@cdh/core/cli";
import { CdhError, EXIT } from "@cdh/core/errors";
import { printable, stringifyJson } from "@cdh/core/output";
import { InspectCommand } from "../inspect-command.ts";
import { imageRootOf } from "../stack/image-root.ts";
import { findDebugger, printStacks, whyNoDebugger, type DebuggerName } from "../stack/debugger.ts";
import type { FileWishes } from "../stack/find-files.ts";
import { prepareDebugging } from "../stack/prepare.ts";
import { readRawStacks, type RawStacks, type StackFrame } from "../stack/raw-stacks.ts";
import type { Subject } from "../subject.ts";
import { BUNDLE_HELP } from "./show.ts";

/** Print the stacks of all threads. */
export class BtCommand extends InspectCommand {
  static override paths = [["bt"], ["stack"]];

  static override usage = Command.Usage({
    category: "Look",
    description: "the stack of every thread, with or without a debugger",
    details: `
      ${BUNDLE_HELP}

      With gdb or lldb on this machine, that prints the stacks; of another machine's core, gdb-multiarch or whichever knows that
      machine. Without one, or with \`--raw\`, the stacks are walked straight from the core (x86-64, arm64): by the unwind
      tables of the modules' files, and by frame pointers where there is no file. "By the link register" says that a frame on arm64 is known from that register alone, which may be left from an
      earlier call. Names come from the files' symbol tables; those of C++ and Rust are made readable (JSON has both forms).

      The program and its libraries come from \`--exe\` and \`--sysroot\`, or from this machine where the build-ids are the
      same. DEBUGINFOD_URLS is passed on to the debugger.

      EXIT STATUS: ${EXIT_STATUS_HELP}. 3 when files are missing, so that names are too.
    `,
    examples: [
      ["With the program from a build", "$0 bt crash.zip --exe ./build/server"],
      ["Without a debugger", "$0 bt --raw crash.zip --sysroot ./rootfs"],
    ],
  });

  bundle = Option.String({ name: "BUNDLE" });
  exe = Option.String("--exe", { description: "the crashed program's file" });
  sysroot = Option.String("--sysroot", { description: "directory with the root file system that it ran in" });
  image = Option.Boolean("--image", false, { description: "take the root file system from the crashed image" });
  raw = Option.Boolean("--raw", false, { description: "no debugger" });
  with = Option.String("--with", { description: "gdb or lldb; the first one found when left out" });
  output = Option.String("-o,--output", "table", { description: "table, json or jsonl" });

  override async run(): Promise<number> {
    const format = parseOutputFormat(this.output);
    if (this.with !== undefined && this.with !== "gdb" && this.with !== "lldb")
      throw new CdhError("CDH_CONFIG_INVALID", `--with ${this.with}: gdb or lldb`);
    return this.withSubject(this.bundle, async (subject) => {
      const machine = (await subject.facts()).machine?.name;
      const name = this.raw ? undefined : await findDebugger(this.with, machine);
      const sysroot = this.image ? await imageRootOf(subject, this.context, (text) => this.warn(text)) : this.sysroot;
      const wishes = { exe: this.exe, sysroot };
      if (format !== "table") return this.#printJson(subject, wishes, name, format === "json" ? 2 : undefined);
      if (name !== undefined) return this.#printByDebugger(subject, wishes, name);
      if (!this.raw) this.warn(`${whyNoDebugger(this.with, machine)}: walking the stacks without one`);
      const stacks = await readRawStacks(subject, wishes, this.context.stopSignal);
      this.write(formatStacks(stacks));
      for (const note of stacks.notes) this.warn(note);
      return stacks.notes.length === 0 ? EXIT.ok : EXIT.incomplete;
    });
  }

  async #printByDebugger(subject: Subject, wishes: FileWishes, name: DebuggerName): Promise<number> {
    const { text, notes } = await this.#askDebugger(subject, wishes, name);
    this.write(
      `${text
        .trimEnd()
        .split("\n")
        .map((line) => printable(line))
        .join("\n")}\n`,
    );
    for (const note of notes) this.warn(note);
    return notes.length === 0 ? EXIT.ok : EXIT.incomplete;
  }

  async #printJson(
    subject: Subject,
    wishes: FileWishes,
    name: DebuggerName | undefined,
    indent: number | undefined,
  ): Promise<number> {
    const stacks = await readRawStacks(subject, wishes, this.context.stopSignal);
    const asked = name === undefined ? undefined : await this.#askDebugger(subject, wishes, name);
    const said = asked === undefined ? {} : { debugger: name, debuggerText: asked.text };
    const notes = [...new Set([...stacks.notes, ...(asked?.notes ?? [])])];
    this.write(`${stringifyJson({ bundle: subject.label, threads: stacks.threads, notes, ...said }, indent)}\n`);
    return notes.length === 0 ? EXIT.ok : EXIT.incomplete;
  }

  async #askDebugger(
    subject: Subject,
    wishes: FileWishes,
    name: DebuggerName,
  ): Promise<{ text: string; notes: string[] }> {
    const prepared = await prepareDebugging(subject, wishes, this.context);
    try {
      const debuginfod = (this.context.env["DEBUGINFOD_URLS"] ?? "") !== "";
      const { text } = await printStacks(name, prepared, { debuginfod, signal: this.context.stopSignal });
      return { text, notes: prepared.notes };
    } finally {
      await prepared.dispose();
    }
  }
}

function formatStacks(stacks: RawStacks): string {
  const blocks = stacks.threads.map(({ tid, crashed, frames }) => {
    const lines = frames.map((frame, index) =>
      `  #${String(index).padEnd(3)} ${frame.pc.padEnd(18)} ${describeFrame(frame)}`.trimEnd(),
    );
    return [`Thread ${tid}${crashed ? " (crashed)" : ""}`, ...lines].join("\n");
  });
  return `${blocks.join("\n\n")}\n`;
}

function describeFrame(frame: StackFrame): string {
  const name = frame.module?.slice(frame.module.lastIndexOf("/") + 1);
  const inModule = name === undefined ? "in no module" : `${name}+${frame.moduleOffset ?? ""}`;
  const place = frame.byLinkRegister === true ? `${inModule}, by the link register` : inModule;
  if (frame.signal === true) return printable(`<signal handler called>  (${place})`);
  return printable(
    frame.function === undefined
      ? place
      : `${frame.demangled ?? frame.function}+${frame.functionOffset ?? ""}  (${place})`,
  );
}
