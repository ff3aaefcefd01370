import { CdhCommand } from "@cdh/core/cli";
import { describeSettings, resolveSettingsStrictly, type ResolvedSettings } from "@cdh/core/config";
import type { Logger } from "@cdh/core/log";
import { formatTable } from "@cdh/core/output";
import { openStore } from "@cdh/core/store/open";
import type { ObjectStore } from "@cdh/core/store/store";
import { Option } from "clipanion";
import { uploadSettings } from "../settings.ts";

/** Base of the commands: settings and store. */
export abstract class UploadCommand extends CdhCommand {
  coreDir = Option.String("--core-dir", { description: "the spool (CORE_DIR)" });
  store = Option.String("--store", { description: "s3://bucket/prefix or file:///directory (STORE_URL)" });
  printConfig = Option.Boolean("--print-config", false, {
    description: "show each setting, its value and where it comes from",
  });

  /** Flags of one command, keyed by setting. */
  protected moreFlags(): Record<string, string | undefined> {
    return {};
  }

  /** Resolve all settings: flag > environment > default. @throws {CdhError} CDH_CONFIG_INVALID */
  resolve(): ResolvedSettings<typeof uploadSettings> {
    return resolveSettingsStrictly(uploadSettings, {
      flags: { coreDir: this.coreDir, storeUrl: this.store, ...this.moreFlags() },
      env: this.context.env,
    });
  }

  /** Show the settings on stdout. */
  showConfig(resolved: ResolvedSettings<typeof uploadSettings>): void {
    const columns = [
      { header: "NAME", value: (row: { name: string }) => row.name },
      { header: "VALUE", value: (row: { value: string }) => row.value },
      { header: "SOURCE", value: (row: { source: string }) => row.source },
    ];
    this.context.stdout.write(formatTable(columns, describeSettings(uploadSettings, resolved)));
  }

  /** Open the store that the settings name. */
  openStore(resolved: ResolvedSettings<typeof uploadSettings>, log: Logger): Promise<ObjectStore> {
    return openStore(resolved.values, { clock: this.context.clock, log, env: this.context.env });
  }
}
