import { EXIT_STATUS_HELP } from "@cdh/core/cli";
import { Command, Option } from "clipanion";
import { chooseTimetable } from "../daemon.ts";
import { runService } from "../service.ts";
import { VERSION } from "../version.ts";
import { UploadCommand } from "./upload-command.ts";

/** `cdh-upload run`: upload until told to stop. */
export class RunCommand extends UploadCommand {
  static override paths = [["run"]];
  static override usage = Command.Usage({
    description: "watch the spool and upload what appears, until SIGTERM",
    details: `Each bundle is sent, verified in the store, and then deleted here. A second signal ends at once. Exit status: ${EXIT_STATUS_HELP}.`,
    examples: [["Upload to a bucket", "cdh-upload run --store s3://cores/prod"]],
  });

  metricsAddr = Option.String("--metrics-addr", {
    description: "serve /metrics, /healthz and /readyz there (METRICS_ADDR)",
  });

  protected override moreFlags(): Record<string, string | undefined> {
    return { metricsAddress: this.metricsAddr };
  }

  async run(): Promise<void> {
    const resolved = this.resolve();
    const settings = resolved.values;
    chooseTimetable(settings);
    if (this.printConfig) {
      this.showConfig(resolved);
      return;
    }
    const log = this.logger();
    const { clock, stopSignal } = this.context;
    const store = await this.openStore(resolved, log);
    try {
      log.info("started", { version: VERSION, coreDir: settings.coreDir, store: store.url });
      await runService({ settings, store, clock, log, env: this.context.env, version: VERSION, stopSignal });
    } finally {
      await store.close();
    }
  }
}
