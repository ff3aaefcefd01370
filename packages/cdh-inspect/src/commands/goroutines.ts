import { Command, Option } from "clipanion";
import { EXIT_STATUS_HELP, parseOutputFormat } from "@cdh/core/cli";
import { formatFlag } from "@cdh/core/cli/flags";
import { CdhError, EXIT } from "@cdh/core/errors";
import { stringifyJson } from "@cdh/core/output";
import { formatGoroutines } from "../debug/format-goroutines.ts";
import { readRawGoroutines } from "../debug/raw-stacks.ts";
import { CrashFilesCommand } from "./crash-files-command.ts";
import { BUNDLE_HELP } from "./show.ts";

/** Print every goroutine of a Go program. */
export class GoroutinesCommand extends CrashFilesCommand {
  static override paths = [["goroutines"]];

  static override usage = Command.Usage({
    category: "Look",
    description: "every goroutine of a Go program: what it waits for, who started it, its stack",
    details: `
      ${BUNDLE_HELP}

      Goroutines with equal stacks are one block, the crashed one first, the runtime's own last and without stacks. \`--all\` gives each
      a block; so does JSON. Go 1.20 to 1.26 on 64-bit machines, stripped programs too. The program comes from where \`bt\` takes it.

      EXIT STATUS: ${EXIT_STATUS_HELP}. 3 when files are missing, or the core does not hold all of them.
    `,
    examples: [["What the program did", "$0 goroutines s3://cores"]],
  });

  bundle = Option.String({ name: "BUNDLE" });
  all = Option.Boolean("--all", false, { description: "a block for each goroutine" });
  output = formatFlag();

  override async run(): Promise<number> {
    const format = parseOutputFormat(this.output);
    return this.withOpened(this.bundle, async (opened) => {
      const wishes = await this.wishesFor(opened);
      const { found, notes } = await readRawGoroutines(opened, wishes, this.context.stopSignal);
      if (found === undefined) {
        for (const note of notes) this.warn(note);
        throw new CdhError("CDH_NOT_FOUND", `${opened.label}: no Go program among the files of the crash`, {
          hint: "--exe FILE gives the program, where it is not on this machine",
        });
      }
      if (format === "table") {
        this.write(formatGoroutines(found, this.all));
        for (const note of notes) this.warn(note);
      } else {
        const { version, goroutines } = found;
        const json = { bundle: opened.label, version, goroutines, notes };
        this.write(`${stringifyJson(json, format === "json" ? 2 : undefined)}\n`);
      }
      const isWhole = found.goroutines.every(({ stack }) => stack !== undefined && stack.endsHere === undefined);
      return notes.length === 0 && isWhole ? EXIT.ok : EXIT.incomplete;
    });
  }
}
