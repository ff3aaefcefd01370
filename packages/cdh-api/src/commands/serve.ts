import { CdhCommand, EXIT_STATUS_HELP } from "@cdh/core/cli";
import { describeSettings, resolveSettingsStrictly } from "@cdh/core/config";
import { formatTable } from "@cdh/core/output";
import { openStore } from "@cdh/core/store/open";
import { Command, Option } from "clipanion";
import { pageRoutes } from "../page/routes.ts";
import { runService } from "../service.ts";
import { apiSettings } from "../settings.ts";
import { VERSION } from "../version.ts";

/** Connections to the store beside those of downloads: listings and manifests. */
const OTHER_CONNECTIONS = 32;

/** `cdh-api serve`: serve until told to stop. */
export class ServeCommand extends CdhCommand {
  static override paths = [["serve"]];
  static override usage = Command.Usage({
    description: "serve the store as a Kubernetes API, as REST and as a page, until SIGTERM",
    details: `Who may see and download what is for the cluster's own RBAC to say. Exit status: ${EXIT_STATUS_HELP}.`,
    examples: [["Serve a bucket", "cdh-api serve --store s3://cores/prod"]],
  });

  store = Option.String("--store", { description: "s3://bucket/prefix or file:///directory (STORE_URL)" });
  listenAddr = Option.String("--listen-addr", { description: "serve there, with TLS (LISTEN_ADDR)" });
  tlsCertFile = Option.String("--tls-cert-file", { description: "PEM file of the certificate (TLS_CERT_FILE)" });
  tlsKeyFile = Option.String("--tls-key-file", { description: "PEM file of its key (TLS_KEY_FILE)" });
  metricsAddr = Option.String("--metrics-addr", {
    description: "serve /metrics, /healthz and /readyz there (METRICS_ADDR)",
  });
  printConfig = Option.Boolean("--print-config", false, {
    description: "show each setting, its value and where it comes from",
  });

  async run(): Promise<void> {
    const { clock, env, stdout, stopSignal } = this.context;
    const resolved = resolveSettingsStrictly(apiSettings, {
      flags: {
        storeUrl: this.store,
        listenAddress: this.listenAddr,
        tlsCertFile: this.tlsCertFile,
        tlsKeyFile: this.tlsKeyFile,
        metricsAddress: this.metricsAddr,
      },
      env,
    });
    if (this.printConfig) {
      const columns = [
        { header: "NAME", value: (row: { name: string }) => row.name },
        { header: "VALUE", value: (row: { value: string }) => row.value },
        { header: "SOURCE", value: (row: { source: string }) => row.source },
      ];
      stdout.write(formatTable(columns, describeSettings(apiSettings, resolved)));
      return;
    }
    const settings = resolved.values;
    const log = this.logger();
    const connections = settings.downloadsMax + OTHER_CONNECTIONS;
    const store = await openStore(settings, { clock, log, env, connections });
    try {
      log.info("started", { version: VERSION });
      await runService({ settings, store, clock, log, env, files: pageRoutes(), stopSignal });
    } finally {
      await store.close();
    }
  }
}
