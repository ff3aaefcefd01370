import { Command } from "clipanion";
import { EXIT_STATUS_HELP } from "@cdh/core/cli";
import { settingFlag } from "@cdh/core/cli/flags";
import { chooseTimetable } from "../daemon.ts";
import { runService } from "../service.ts";
import { uploadSettings } from "../settings.ts";
import { VERSION } from "../version.ts";
import { UploadCommand } from "./upload-command.ts";

/** For what follows the last upload: state, metrics, the store's connections. */
const AFTER_GRACE_MS = 5000;

/** `cdh-upload run`: upload until told to stop. */
export class RunCommand extends UploadCommand {
  static override paths = [["run"]];
  static override usage = Command.Usage({
    description: "watch the spool and upload what appears, until SIGTERM",
    details: `Each bundle is sent, verified in the store, and then deleted here. A second signal ends at once. Exit status: ${EXIT_STATUS_HELP}.`,
    examples: [["Upload to a bucket", "cdh-upload run --store s3://cores/prod"]],
  });

  metricsAddress = settingFlag(uploadSettings.metricsAddress);

  async run(): Promise<number | void> {
    const resolved = this.resolve();
    const settings = resolved.values;
    if (this.printConfig) return this.showSettings(resolved);
    chooseTimetable(settings);
    const log = this.logger();
    const { clock, stopSignal } = this.context;
    // Uploads are finished within SHUTDOWN_GRACE; what comes after them is given up soon.
    this.context.allowGrace?.(settings.shutdownGraceMs + AFTER_GRACE_MS);
    const stores = await this.openStores(resolved, log);
    const { store, routes } = stores;
    try {
      const rules = routes.map(({ rule }) => rule.name);
      log.info("started", {
        version: VERSION,
        coreDir: settings.coreDir,
        store: store.url,
        ...(rules.length === 0 ? {} : { rules }),
      });
      const { env, forgottenFiles } = this.context;
      await runService({ settings, store, routes, clock, log, env, version: VERSION, stopSignal, forgottenFiles });
    } finally {
      await stores.close();
    }
  }
}
