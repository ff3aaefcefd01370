import { EXIT_STATUS_HELP, parseOutputFormat } from "@cdh/core/cli";
import { ERROR_CODES, EXIT } from "@cdh/core/errors";
import { renderRows } from "@cdh/core/output";
import { Command, Option } from "clipanion";
import { checkStore, type CheckStep } from "../check-store.ts";
import { UploadCommand } from "./upload-command.ts";

/** `cdh-upload check`: prove that the store can be used. */
export class CheckCommand extends UploadCommand {
  static override paths = [["check"]];
  static override usage = Command.Usage({
    description: "write, look up, read back, list and delete a probe in the store",
    details: `Shows each step, and says why one failed and what to do. Exit status: ${EXIT_STATUS_HELP}.`,
    examples: [["Check the store of the environment", "cdh-upload check"]],
  });

  output = Option.String("-o,--output", "table", { description: "table, json or jsonl" });

  async run(): Promise<number> {
    const resolved = this.resolve();
    if (this.printConfig) {
      this.showConfig(resolved);
      return EXIT.ok;
    }
    const format = parseOutputFormat(this.output);
    const store = await this.openStore(resolved, this.logger());
    try {
      const steps = await checkStore(store, this.context.clock, this.context.stopSignal);
      this.context.stdout.write(renderRows(format, "steps", steps, COLUMNS));
      const failed = steps.find((step) => !step.ok);
      if (format === "table") {
        this.say(failed === undefined ? `${store.url} can be used` : `${store.url} cannot be used`);
        if (failed?.hint !== undefined) this.say(`hint: ${failed.hint}`);
      }
      return failed === undefined ? EXIT.ok : EXIT[ERROR_CODES[failed.code ?? "CDH_STORE"]];
    } finally {
      await store.close();
    }
  }
}

const COLUMNS = [
  { header: "STEP", value: (row: CheckStep) => row.step },
  { header: "RESULT", value: (row: CheckStep) => (row.ok ? "ok" : "failed") },
  { header: "MS", value: (row: CheckStep) => String(row.durationMs), align: "right" as const },
  { header: "DETAIL", value: (row: CheckStep) => `${row.detail}${row.code === undefined ? "" : ` (${row.code})`}` },
];
