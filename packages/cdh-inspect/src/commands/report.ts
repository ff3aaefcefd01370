import { Command, Option } from "clipanion";
import { EXIT_STATUS_HELP } from "@cdh/core/cli";
import { defaultedFlag, textFlag } from "@cdh/core/cli/flags";
import { CdhError, reasonOf } from "@cdh/core/errors";
import { writeAtomically } from "@cdh/core/files/write-atomically";
import { stringifyJson } from "@cdh/core/output";
import { renderHtml } from "@cdh/core/report/html";
import { PLAIN } from "@cdh/core/report/paint";
import { renderText } from "@cdh/core/report/text";
import { FILE_MODE } from "@cdh/core/spool/layout";
import { makeReport } from "../read/report.ts";
import { threadsAndModules } from "../read/threads-modules.ts";
import { InspectCommand } from "./inspect-command.ts";
import { BUNDLE_HELP } from "./show.ts";

const FORMATS = ["html", "text", "json"] as const;

/** Write what `show` says into a file that can be sent on. */
export class ReportCommand extends InspectCommand {
  static override paths = [["report"]];

  static override usage = Command.Usage({
    category: "Look",
    description: "the report as one HTML file that can be mailed, archived or printed",
    details: `
      ${BUNDLE_HELP}

      What crashed, where and why, threads, modules, the log's end and the problems. The file needs nothing else: no
      script, no request to anywhere. It contains no memory of the process.

      EXIT STATUS: ${EXIT_STATUS_HELP}.
    `,
    examples: [
      ["For a ticket", "$0 report crash.zip -o report.html"],
      [
        "The newest crash of a namespace, with more of its log",
        "$0 report --lines 500 s3://cores/payments -o report.html",
      ],
    ],
  });

  bundle = Option.String({ name: "BUNDLE" });
  output = textFlag("-o,--output", "FILE", "file to write; stdout when left out");
  format = defaultedFlag("--format", "FORMAT", "html", "html, text or json");
  lines = defaultedFlag("--lines", "NUMBER", "100", "how many of the log's last lines");

  override async run(): Promise<void> {
    const format = FORMATS.find((known) => known === this.format);
    if (format === undefined)
      throw new CdhError("CDH_CONFIG_INVALID", `--format ${this.format}: one of ${FORMATS.join(", ")}`);
    if (!/^\d{1,6}$/.test(this.lines))
      throw new CdhError("CDH_CONFIG_INVALID", `--lines ${this.lines}: a number of lines`);
    await this.withOpened(this.bundle, async (opened) => {
      const made = await makeReport(opened, Number(this.lines));
      // Of an older bundle or a plain core, a first look leaves out what lies deep in the core.
      if (opened.kind !== "bundle")
        made.manifest = { ...made.manifest, ...(await threadsAndModules(opened).catch(() => ({}))) };
      const report = await this.withOpening(made);
      if (format === "html") await this.#put(renderHtml(report));
      else if (format === "text") await this.#put(renderText(report, PLAIN, this.context.clock.now()));
      else await this.#put(`${stringifyJson(report, 2)}\n`);
    });
  }

  async #put(text: string): Promise<void> {
    if (this.output === undefined || this.output === "-") return this.write(text);
    try {
      await writeAtomically(this.output, text, { mode: FILE_MODE });
    } catch (error) {
      throw new CdhError("CDH_DISK", `cannot write ${this.output}: ${reasonOf(error)}`, { cause: error });
    }
  }
}
