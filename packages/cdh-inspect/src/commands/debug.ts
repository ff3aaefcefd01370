import { Command, Option } from "clipanion";
import { textFlag } from "@cdh/core/cli/flags";
import { CdhError } from "@cdh/core/errors";
import { start } from "@cdh/core/exec";
import { EXIT, EXIT_STATUS_HELP, statusOfSignal } from "@cdh/core/exit-status";
import { printable } from "@cdh/core/output";
import { debuggerArguments, findDebugger, whyNoDebugger, type DebuggerName } from "../debug/debugger.ts";
import { delveArguments, findDelve } from "../debug/delve.ts";
import type { FileWishes } from "../debug/find-files.ts";
import { commandsElsewhere, imageOf } from "../debug/image.ts";
import { prepareDebugging } from "../debug/prepare.ts";
import type { OpenedFile } from "../read/opened-file.ts";
import { asOperand, shellQuote } from "../text/shell-quote.ts";
import { CrashFilesCommand } from "./crash-files-command.ts";
import { BUNDLE_HELP } from "./show.ts";

/** Open a debugger. */
export class DebugCommand extends CrashFilesCommand {
  static override paths = [["debug"]];

  static override usage = Command.Usage({
    category: "Look",
    description: "a debugger on the core, with program and libraries set up",
    details: `
      ${BUNDLE_HELP}

      Opens gdb or lldb on the core, with the program and the root file system that belong to it: from this machine, or by build-id from the store
      that the bundle lies in and from STORE_URL (see \`symbols push\`). \`--image\` takes both from
      the crashed image, through podman or docker, and prints the commands to do it elsewhere. Nothing of the image is run,
      and gdb loads no script from it. \`--with dlv\` opens delve on a Go program. DEBUGINFOD_URLS is passed on.

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
  with = textFlag("--with", "DEBUGGER", "gdb, lldb, or dlv for Go; gdb or lldb when left out");
  print = Option.Boolean("--print", false, { description: "print the commands and start nothing" });

  override async run(): Promise<number> {
    if (this.with !== undefined && !["gdb", "lldb", "dlv"].includes(this.with))
      throw new CdhError("CDH_CONFIG_INVALID", `--with ${this.with}: gdb, lldb or dlv`);
    return this.withOpened(this.bundle, async (opened) => {
      if (this.print) return this.#printCommands(opened);
      const { machine } = await opened.facts();
      const name = this.with === "dlv" ? await findDelve() : await findDebugger(this.with, machine);
      if (name === undefined) {
        throw new CdhError("CDH_RUNTIME", whyNoDebugger(this.with, machine), {
          hint: "install one, or read the stacks with `cdh-inspect bt --raw`",
        });
      }
      return this.#open(opened, name, await this.wishesFor(opened));
    });
  }

  async #open(opened: OpenedFile, name: DebuggerName | "dlv", wishes: FileWishes): Promise<number> {
    const prepared = await prepareDebugging(opened, wishes, this.context);
    try {
      for (const note of prepared.notes) this.warn(note);
      const debuginfod = (this.context.env["DEBUGINFOD_URLS"] ?? "") !== "";
      const args =
        name === "dlv"
          ? delveArguments(prepared)
          : debuggerArguments(name, prepared, { commands: [], batch: false, debuginfod });
      const back = this.context.leaveInterrupts?.();
      try {
        return await runOnTerminal(name, args, this.context.stopSignal);
      } finally {
        back?.();
      }
    } finally {
      await prepared.dispose();
    }
  }

  #printCommands(opened: OpenedFile): number {
    const { manifest } = opened;
    const exe = this.exe ?? manifest.process.exe ?? "PROGRAM";
    this.say(`cdh-inspect unpack ${shellQuote(asOperand(opened.label))} . --entry core`);
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

function runOnTerminal(name: string, args: readonly string[], stopSignal: AbortSignal): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = start(name, args, { stdio: "inherit" });
    // A debugger asks whether it should really end; whoever ends this program means both.
    const onStop = (): void => void child.kill("SIGKILL");
    stopSignal.addEventListener("abort", onStop, { once: true });
    child.on("error", (error) => reject(new CdhError("CDH_RUNTIME", `cannot start ${name}: ${error.message}`)));
    child.on("close", (status, signal) => {
      stopSignal.removeEventListener("abort", onStop);
      if (stopSignal.aborted) reject(stopSignal.reason);
      else resolve(status ?? (signal === null ? EXIT.bug : statusOfSignal(signal)));
    });
  });
}
