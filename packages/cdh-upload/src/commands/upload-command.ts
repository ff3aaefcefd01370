import { settingFlag } from "@cdh/core/cli/flags";
import { SettingsCommand } from "@cdh/core/cli/settings-command";
import type { ResolvedSettings } from "@cdh/core/config";
import type { Logger } from "@cdh/core/log";
import { refuseTwoStores } from "@cdh/core/store/one-store";
import { directoryPermits, openStore } from "@cdh/core/store/open";
import type { ObjectStore } from "@cdh/core/store/store";
import { createThrottle } from "@cdh/core/store/throttle";
import { openRules, RULE_PERMITS } from "../rules/open-rules.ts";
import type { Route } from "../rules/routes.ts";
import { checkKeysFor } from "../send/object-key.ts";
import { uploadSettings } from "../settings.ts";

/** Base of the commands: settings and store. */
export abstract class UploadCommand extends SettingsCommand {
  coreDir = settingFlag(uploadSettings.coreDir);
  storeUrl = settingFlag(uploadSettings.storeUrl);

  /** Resolve all settings: flag > environment > default. @throws {CdhError} CDH_CONFIG_INVALID */
  resolve(): ResolvedSettings<typeof uploadSettings> {
    return this.resolveStrictly(uploadSettings);
  }

  /** Print the settings; for `--print-config`. @returns the exit status */
  showSettings(resolved: ResolvedSettings<typeof uploadSettings>): number {
    return this.showConfig(uploadSettings, resolved);
  }

  /**
   * Open the store that the settings name, and those of the rules. Together they keep to one BANDWIDTH_LIMIT, and leave
   * threads for all else.
   * @throws {CdhError} CDH_CONFIG_INVALID
   */
  async openStores(resolved: ResolvedSettings<typeof uploadSettings>, log: Logger): Promise<OpenStores> {
    refuseTwoStores(resolved);
    const { values } = resolved;
    checkKeysFor(values.storeUrl, values.keyTemplate);
    const { clock, env } = this.context;
    const options = { clock, log, env, throttle: createThrottle(values.bandwidthLimit, clock) };
    const routes = await openRules(values.storeRules, values, options);
    for (const { rule } of routes) checkKeysFor(rule.settings.storeUrl, values.keyTemplate);
    const close = async (): Promise<void> => void (await Promise.all(routes.map((route) => route.store.close())));
    try {
      const taken = RULE_PERMITS * routes.filter(({ rule }) => rule.settings.storeUrl?.startsWith("file:")).length;
      const store = await openStore(values, { ...options, permits: directoryPermits(env, taken) });
      return {
        store,
        routes,
        close: async () => {
          await Promise.all([store.close(), close()]);
        },
      };
    } catch (error) {
      await close();
      throw error;
    }
  }
}

/** The stores of a program. */
export interface OpenStores {
  /** Where everything goes that no rule sends elsewhere. */
  store: ObjectStore;
  routes: readonly Route[];
  close(): Promise<void>;
}
