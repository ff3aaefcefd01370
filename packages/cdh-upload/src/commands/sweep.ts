import { EXIT_STATUS_HELP, parseOutputFormat } from "@cdh/core/cli";
import { renderRows } from "@cdh/core/output";
import type { Progress } from "@cdh/core/progress";
import { formatBytes, formatDuration } from "@cdh/core/units";
import { Command, Option } from "clipanion";
import { sweep, exitStatusOf, type SweepRow } from "../sweep.ts";
import { VERSION } from "../version.ts";
import { UploadCommand } from "./upload-command.ts";

/** `cdh-upload sweep [FILE…]`: upload everything once. */
export class SweepCommand extends UploadCommand {
  static override paths = [["sweep"]];
  static override usage = Command.Usage({
    description: "upload everything in the spool once, or only some files",
    details: `Each bundle is sent, verified in the store, and then deleted here. Exit status: ${EXIT_STATUS_HELP}.`,
    examples: [
      [
        "Upload all of the spool",
        "cdh-upload sweep --core-dir /var/mnt/core-dump-handler/cores --store s3://cores/prod",
      ],
      ["Upload one bundle", "cdh-upload sweep ./N.zip --store file:///mnt/cores"],
      ["Upload some bundles", "cdh-upload sweep cores/*-dump-17640*.zip --store file:///mnt/cores"],
    ],
  });

  output = Option.String("-o,--output", "table", { description: "table, json or jsonl" });
  files = Option.Rest({ name: "FILE" });

  async run(): Promise<number> {
    const resolved = this.resolve();
    if (this.printConfig) {
      this.showConfig(resolved);
      return 0;
    }
    const format = parseOutputFormat(this.output);
    let progress: Progress | undefined;
    const log = this.logger(() => progress?.clear());
    const { clock, stderr, stopSignal } = this.context;
    const store = await this.openStore(resolved, log);
    try {
      const started = clock.monotonic();
      const settings = resolved.values;
      const rows = await sweep({
        settings,
        store,
        clock,
        log,
        stderr,
        stopSignal,
        version: VERSION,
        files: this.files,
        onProgress: (bar) => (progress = bar),
      });
      if (format !== "table" || rows.length > 0)
        this.context.stdout.write(renderRows(format, "bundles", rows, COLUMNS));
      if (format === "table") this.#summarise(rows, store.url, clock.monotonic() - started);
      return exitStatusOf(rows);
    } finally {
      await store.close();
    }
  }

  #summarise(rows: readonly SweepRow[], url: string, durationMs: number): void {
    const done = rows.filter((row) => row.status === "uploaded");
    const bytes = done.reduce((sum, row) => sum + row.sizeBytes, 0);
    const left = rows.length - done.length;
    this.say(
      rows.length === 0
        ? "nothing to upload"
        : `${done.length} uploaded to ${url}, ${formatBytes(bytes)} in ${formatDuration(durationMs)}${left === 0 ? "" : `; ${left} not`}`,
    );
  }
}

const COLUMNS = [
  { header: "BUNDLE", value: (row: SweepRow) => row.bundle },
  { header: "SIZE", value: (row: SweepRow) => formatBytes(row.sizeBytes), align: "right" as const },
  { header: "STATUS", value: (row: SweepRow) => row.status },
  {
    header: "WHERE OR WHY",
    value: (row: SweepRow) => row.location ?? `${row.reason ?? ""}${row.code === undefined ? "" : ` (${row.code})`}`,
  },
];
