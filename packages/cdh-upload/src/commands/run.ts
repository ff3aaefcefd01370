import { EXIT_STATUS_HELP } from "@cdh/core/cli";
import { Command } from "clipanion";
import { chooseTimetable, runDaemon } from "../daemon.ts";
import { Uploader } from "../uploader.ts";
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
      const uploader = await Uploader.open({ settings, store, clock, log });
      log.info("started", { version: VERSION, coreDir: settings.coreDir, store: store.url });
      await runDaemon({ settings, uploader, clock, log, stopSignal });
      log.info("stopped", { left: uploader.queue.size });
    } finally {
      await store.close();
    }
  }
}
