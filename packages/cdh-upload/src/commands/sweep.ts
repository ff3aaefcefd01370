import { Command, Option } from "clipanion";
import { EXIT_STATUS_HELP } from "@cdh/core/cli";
import { renderRows } from "@cdh/core/output";
import type { Progress } from "@cdh/core/progress";
import { formatBytes, formatDuration } from "@cdh/core/units";
import { sweep, exitStatusOf, type SweepRow } from "../sweep.ts";
import { VERSION } from "../version.ts";
import { UploadCommand, type OpenStores } from "./upload-command.ts";

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

  files = Option.Rest({ name: "FILE" });

  async run(): Promise<number> {
    const resolved = this.resolve();
    if (this.printConfig) return this.showSettings(resolved);
    const format = this.format();
    let progress: Progress | undefined;
    let waiting = 0;
    const log = this.logger(() => progress?.clear());
    const { clock, stderr, stopSignal } = this.context;
    const stores = await this.openStores(resolved, log);
    const { store, routes } = stores;
    try {
      const started = clock.monotonic();
      const settings = resolved.values;
      const rows = await sweep({
        settings,
        store,
        routes,
        clock,
        log,
        stderr,
        stopSignal,
        version: VERSION,
        files: this.files,
        onProgress: (bar) => (progress = bar),
        onWaiting: (cores) => (waiting = cores),
      });
      if (format !== "table" || rows.length > 0)
        this.context.stdout.write(renderRows(format, "bundles", rows, COLUMNS));
      // Beside JSON nothing else may stand on stdout.
      if (format !== "table") {
        if (waiting > 0) log.info("cores wait until nobody writes to them any more", { waiting });
      } else {
        if (rows.length > 0 || waiting === 0)
          this.#summarise(rows, describeStores(stores), clock.monotonic() - started);
        if (waiting > 0) this.say(describeWaiting(waiting));
      }
      return this.endedBy(exitStatusOf(rows));
    } finally {
      await stores.close();
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

function describeStores({ store, routes }: OpenStores): string {
  return routes.length === 0 ? store.url : `${store.url} and the stores of the rules`;
}

function describeWaiting(cores: number): string {
  return cores === 1
    ? "1 core waits until nobody writes to it any more"
    : `${cores} cores wait until nobody writes to them any more`;
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
