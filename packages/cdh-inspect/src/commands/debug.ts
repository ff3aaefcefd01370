import { Command, Option } from "clipanion";
import { EXIT_STATUS_HELP } from "@cdh/core/cli";
import { CdhError, EXIT } from "@cdh/core/errors";
import { start } from "@cdh/core/exec";
import { printable } from "@cdh/core/output";
import { InspectCommand } from "../inspect-command.ts";
import { debuggerArguments, findDebugger, whyNoDebugger, type DebuggerName } from "../stack/debugger.ts";
import type { FileWishes } from "../stack/find-files.ts";
import { commandsElsewhere, imageOf, shellQuote } from "../stack/image.ts";
import { imageRootOf } from "../stack/image-root.ts";
import { prepareDebugging } from "../stack/prepare.ts";
import type { Subject } from "../subject.ts";
import { BUNDLE_HELP } from "./show.ts";

/** Open a debugger. */
export class DebugCommand extends InspectCommand {
  static override paths = [["debug"]];

  static override usage = Command.Usage({
    category: "Look",
    description: "a debugger on the core, with program and libraries set up",
    details: `
      ${BUNDLE_HELP}

      Opens gdb or lldb on the core, with the program and the root file system that belong to it. \`--image\` takes both from
      the crashed image, through podman or docker, and prints the commands to do it elsewhere. Nothing of the image is run,
      and gdb loads no script from it. DEBUGINFOD_URLS is passed on.

      The core is unpacked to TMPDIR for as long as the debugger runs.

      EXIT STATUS: ${EXIT_STATUS_HELP}. Else what the debugger exits with.
    `,
    examples: [
      ["With the crashed image as root file system", "$0 debug --image s3://cores/payments/3f2a"],
      ["With a program from a build", "$0 debug crash.zip --exe ./build/server"],
      ["Only what would be started", "$0 debug --print crash.zip"],
    ],
  });

  bundle = Option.String({ name: "BUNDLE" });
  exe = Option.String("--exe", { description: "the crashed program's file" });
  sysroot = Option.String("--sysroot", { description: "directory with the root file system that it ran in" });
  image = Option.Boolean("--image", false, { description: "take the root file system from the crashed image" });
  with = Option.String("--with", { description: "gdb or lldb; the first one found when left out" });
  print = Option.Boolean("--print", false, { description: "print the commands and start nothing" });

  override async run(): Promise<number> {
    if (this.with !== undefined && this.with !== "gdb" && this.with !== "lldb")
      throw new CdhError("CDH_CONFIG_INVALID", `--with ${this.with}: gdb or lldb`);
    return this.withSubject(this.bundle, async (subject) => {
      if (this.print) return this.#printCommands(subject);
      const machine = (await subject.facts()).machine?.name;
      const name = await findDebugger(this.with, machine);
      if (name === undefined) {
        throw new CdhError("CDH_RUNTIME", whyNoDebugger(this.with, machine), {
          hint: "install one, or read the stacks with `cdh-inspect bt --raw`",
        });
      }
      const sysroot = this.image ? await imageRootOf(subject, this.context, (text) => this.warn(text)) : this.sysroot;
      return this.#open(subject, name, { exe: this.exe, sysroot });
    });
  }

  async #open(subject: Subject, name: DebuggerName, wishes: FileWishes): Promise<number> {
    const prepared = await prepareDebugging(subject, wishes, this.context);
    try {
      for (const note of prepared.notes) this.warn(note);
      const debuginfod = (this.context.env["DEBUGINFOD_URLS"] ?? "") !== "";
      const args = debuggerArguments(name, prepared, { commands: [], batch: false, debuginfod });
      const back = this.context.leaveInterrupts?.();
      try {
        return await runOnTerminal(name, args);
      } finally {
        back?.();
      }
    } finally {
      await prepared.dispose();
    }
  }

  #printCommands(subject: Subject): number {
    const { manifest } = subject;
    const exe = this.exe ?? manifest.process.exe ?? "PROGRAM";
    this.say(`cdh-inspect unpack ${shellQuote(subject.label)} . --entry core`);
    const core = manifest.core.entry.replace(/\.zst$/, "");
    this.say(
      printable(
        `gdb -nx -iex 'set auto-load off' -iex ${shellQuote(`set sysroot ${this.sysroot ?? "ROOT"}`)} ${shellQuote(exe)} ${shellQuote(core)}`,
      ),
    );
    if (manifest.container?.imageRef !== undefined)
      for (const command of commandsElsewhere(manifest, imageOf(manifest))) this.say(printable(command));
    return EXIT.ok;
  }
}

function runOnTerminal(name: string, args: readonly string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = start(name, args, { stdio: "inherit" });
    child.on("error", (error) => reject(new CdhError("CDH_RUNTIME", `cannot start ${name}: ${error.message}`)));
    child.on("close", (status) => resolve(status ?? EXIT.bug));
  });
}
