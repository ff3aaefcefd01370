import { Command, Option } from "clipanion";
import { EXIT_STATUS_HELP, parseOutputFormat } from "@cdh/core/cli";
import { CdhError } from "@cdh/core/errors";
import { stringifyJson } from "@cdh/core/output";
import { InspectCommand } from "../inspect-command.ts";
import type { Report } from "@cdh/core/report/report";
import { renderText } from "@cdh/core/report/text";
import { makeReport } from "../report.ts";

/** How `BUNDLE` may be written, for every help page. */
export const BUNDLE_HELP = [
  "BUNDLE is a path, `file:///…` or `s3://bucket/key`; any part of a name that only one bundle has will do: `s3://bucket/3f2a`.",
  "A directory or a prefix means its newest crash, `s3://bucket/~2` the one before. `-1` is the newest crash of STORE_URL, or",
  "of the current directory, `-2` the one before; with STORE_URL, `3f2a` is looked for there. A plain core (also .gz, .zst,",
  ".lz4) works too.",
  // As deep as the text around it on every page.
].join("\n      ");

/** Show one screen about a crash. */
export class ShowCommand extends InspectCommand {
  static override paths = [["show"]];

  static override usage = Command.Usage({
    category: "Look",
    description: "what crashed, where and why, on one screen",
    details: `
      ${BUNDLE_HELP}

      Nothing of the core is read: from a store this takes a few small requests, however large the core is.

      EXIT STATUS: ${EXIT_STATUS_HELP}.
    `,
    examples: [
      ["A bundle on this machine", "$0 show crash.zip"],
      ["The newest crash in a bucket", "$0 show s3://cores"],
      ["Everything, for a script", "$0 show -o json s3://cores/payments/3f2a"],
    ],
  });

  bundle = Option.String({ name: "BUNDLE" });
  output = Option.String("-o,--output", "table", { description: "table, json or jsonl" });
  lines = Option.String("--lines", "8", { description: "how many of the log's last lines to show" });

  override async run(): Promise<void> {
    const format = parseOutputFormat(this.output);
    const lines = Number(this.lines);
    if (!/^\d+$/.test(this.lines) || lines > 100_000)
      throw new CdhError("CDH_CONFIG_INVALID", `--lines ${this.lines}: a number of lines`);
    const report = await this.#report(lines);
    if (format === "json") this.write(`${stringifyJson(report, 2)}\n`);
    else if (format === "jsonl") this.write(`${stringifyJson(report)}\n`);
    else this.write(renderText(report, this.paint(), this.context.clock.now()));
  }

  async #report(lines: number): Promise<Report> {
    try {
      return await this.withSubject(this.bundle, (subject) => makeReport(subject, lines));
    } catch (error) {
      // In a cluster, reading the report and downloading the bundle are different rights.
      if (!(error instanceof CdhError) || error.code !== "CDH_STORE_DENIED") throw error;
      const report = await this.clusterReport(this.bundle);
      if (report === undefined) throw error;
      return {
        ...report,
        logs: report.logs.map((log) => ({ ...log, lines: lines === 0 ? [] : log.lines.slice(-lines) })),
      };
    }
  }
}
