import { Command, Option } from "clipanion";
import { EXIT_STATUS_HELP, parseOutputFormat } from "@cdh/core/cli";
import { defaultedFlag, formatFlag } from "@cdh/core/cli/flags";
import { CdhError } from "@cdh/core/errors";
import { stringifyJson } from "@cdh/core/output";
import type { Report } from "@cdh/core/report/report";
import { renderText } from "@cdh/core/report/text";
import { makeReport } from "../read/report.ts";
import { groupText } from "../text/group-text.ts";
import { InspectCommand } from "./inspect-command.ts";

/** How `BUNDLE` may be written, for every help page. */
export const BUNDLE_HELP = [
  "BUNDLE is a path, `file:///…` or `s3://bucket/key`; any part of a name that only one bundle has will do: `s3://bucket/3f2a`.",
  "A directory or a prefix means its newest crash, `s3://bucket/~2` the one before. `-1` is the newest crash of STORE_URL, or",
  "of the current directory, `-2` the one before; with STORE_URL, `3f2a` is looked for there. A group of `groups` (bug-3f9a12bc07)",
  "means its newest whole crash. A plain core (also .gz, .zst, .lz4) works too.",
  // As deep as the text around it on every page.
].join("\n      ");

/** Lines of each log that the report of a cluster's API holds. */
const SERVER_LOG_LINES = 100;

/** Show one screen about a crash. */
export class ShowCommand extends InspectCommand {
  static override paths = [["show"]];

  static override usage = Command.Usage({
    category: "Look",
    description: "what crashed, where and why, on one screen",
    details: `
      ${BUNDLE_HELP}

      Nothing of the core is read: from a store this takes a few small requests, however large the core is. Where a store has files
      of programs, two more a module tell with what a debugger opens the crash: lines, functions only, or nothing.

      EXIT STATUS: ${EXIT_STATUS_HELP}.
    `,
    examples: [
      ["A bundle on this machine", "$0 show crash.zip"],
      ["The newest crash in a bucket", "$0 show s3://cores"],
      ["Everything, for a script", "$0 show -o json s3://cores/payments/3f2a"],
    ],
  });

  bundle = Option.String({ name: "BUNDLE" });
  output = formatFlag();
  lines = defaultedFlag("--lines", "NUMBER", "8", "how many of the log's last lines to show");

  override async run(): Promise<void> {
    const format = parseOutputFormat(this.output);
    const lines = Number(this.lines);
    if (!/^\d+$/.test(this.lines) || lines > 100_000)
      throw new CdhError("CDH_CONFIG_INVALID", `--lines ${this.lines}: a number of lines`);
    const group = await this.tryFindGroup(this.bundle);
    const shown = group === undefined ? this.bundle : (group.newestWhole ?? group.newest);
    // Of a bug whose dumps are all gone there is what its crashes had in common.
    const report = group !== undefined && shown === "" ? undefined : await this.#report(shown, lines);
    const told = group === undefined ? report : { group, ...report };
    if (format === "json") this.write(`${stringifyJson(told, 2)}\n`);
    else if (format === "jsonl") this.write(`${stringifyJson(told)}\n`);
    else if (group !== undefined) this.write(`${groupText(group)}\n`);
    if (format === "table" && report !== undefined)
      this.write(renderText(report, this.paint(), this.context.clock.now()));
  }

  async #report(bundle: string, lines: number): Promise<Report> {
    const read = (text: string): Promise<Report> =>
      this.withOpened(text, async (opened) => this.withOpening(await makeReport(opened, lines)));
    const dump = await this.clusterDump(bundle);
    if (dump === undefined) return await read(bundle);
    const byRanges = `kube://${dump.namespace}/${dump.name}`;
    if (lines > SERVER_LOG_LINES) return await read(byRanges);
    try {
      const report = await this.clusterReport(dump);
      const logs = report.logs.map((log) => ({ ...log, lines: lines === 0 ? [] : log.lines.slice(-lines) }));
      return { ...report, logs };
    } catch (error) {
      this.context.stopSignal.throwIfAborted();
      if (!(error instanceof CdhError)) throw error;
      // Reading the report and downloading the bundle are different rights.
      return await read(byRanges).catch(() => Promise.reject(error));
    }
  }
}
