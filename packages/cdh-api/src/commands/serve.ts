import { Command } from "clipanion";
import { EXIT_STATUS_HELP } from "@cdh/core/cli";
import { settingFlag } from "@cdh/core/cli/flags";
import { SettingsCommand } from "@cdh/core/cli/settings-command";
import { refuseTwoStores } from "@cdh/core/store/one-store";
import { openStore } from "@cdh/core/store/open";
import { pageRoutes } from "../page/routes.ts";
import { runService } from "../serve/service.ts";
import { apiSettings } from "../settings.ts";
import { VERSION } from "../version.ts";

/** Connections to the store beside those of downloads: listings and manifests. */
const OTHER_CONNECTIONS = 32;

/** `cdh-api serve`: serve until told to stop. */
export class ServeCommand extends SettingsCommand {
  static override paths = [["serve"]];
  static override usage = Command.Usage({
    description: "serve the store as a Kubernetes API, as REST and as a page, until SIGTERM",
    details: `Who may see and download what is for the cluster's own RBAC to say. Exit status: ${EXIT_STATUS_HELP}.`,
    examples: [["Serve a bucket", "cdh-api serve --store s3://cores/prod"]],
  });

  storeUrl = settingFlag(apiSettings.storeUrl);
  listenAddress = settingFlag(apiSettings.listenAddress);
  tlsCertFile = settingFlag(apiSettings.tlsCertFile);
  tlsKeyFile = settingFlag(apiSettings.tlsKeyFile);
  metricsAddress = settingFlag(apiSettings.metricsAddress);

  async run(): Promise<number | void> {
    const { clock, env, stopSignal, forgottenFiles } = this.context;
    const resolved = this.resolveStrictly(apiSettings);
    if (this.printConfig) return this.showConfig(apiSettings, resolved);
    refuseTwoStores(resolved);
    const settings = resolved.values;
    const log = this.logger();
    const connections = settings.downloadsMax + OTHER_CONNECTIONS;
    const store = await openStore(settings, { clock, log, env, connections });
    try {
      log.info("started", { version: VERSION });
      await runService({ settings, store, clock, log, env, files: pageRoutes(), stopSignal, forgottenFiles });
    } finally {
      await store.close();
    }
  }
}
