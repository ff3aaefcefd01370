import { resolveSettings } from "@cdh/core/config";
import { CdhError, reasonOf } from "@cdh/core/errors";
import type { Logger } from "@cdh/core/log";
import { checkTarget, openStore, type OpenStoreOptions } from "@cdh/core/store/open";
import { storeSettings, type StoreSettings } from "@cdh/core/store/settings";
import type { ObjectStore } from "@cdh/core/store/store";
import { RenewedStore } from "./renewed-store.ts";
import type { Route } from "./routes.ts";
import { readRules, type StoreRule } from "./rules-file.ts";
import { readSecretFiles, type SecretFiles } from "./secret-files.ts";

/** Calls that may be in a rule's directory at the same time. */
export const RULE_PERMITS = 2;

/** What opens the stores of the rules. */
export interface OpenRulesOptions extends OpenStoreOptions {
  log: Logger;
}

/**
 * Read the rules and open their stores. Nothing is contacted yet. What only a secret says is judged when it is used: a
 * tenant's secret that is missing or wrong is the trouble of that store.
 * @throws {CdhError} CDH_CONFIG_INVALID
 */
export async function openRules(
  path: string | undefined,
  shared: StoreSettings,
  options: OpenRulesOptions,
): Promise<Route[]> {
  if (path === undefined) return [];
  const rules = await readRules(path, shared);
  const routes: Route[] = [];
  const problems: string[] = [];
  for (const rule of rules) {
    try {
      routes.push({ rule, store: await openRule(rule, options) });
    } catch (error) {
      if (!(error instanceof CdhError) || error.code !== "CDH_CONFIG_INVALID") throw error;
      problems.push(
        `rule ${JSON.stringify(rule.name)}: ${error.message}${error.hint === undefined ? "" : ` (${error.hint})`}`,
      );
    }
  }
  if (problems.length === 0) return routes;
  await Promise.all(routes.map(({ store }) => store.close()));
  throw new CdhError("CDH_CONFIG_INVALID", `STORE_RULES ${path}: ${problems.join("; ")}`, {
    hint: "each rule's store is checked as STORE_URL is; `settings` holds what the environment holds for that",
  });
}

async function openRule(rule: StoreRule, given: OpenRulesOptions): Promise<ObjectStore> {
  const { settings, secretDir } = rule;
  const options = { ...given, permits: RULE_PERMITS, log: given.log };
  if (secretDir === undefined) return await openStore(settings, options);
  const url = settings.storeUrl ?? "";
  const { clock, log, env } = options;
  await checkTarget(withStandIn(settings), env);
  const store = new RenewedStore({
    url,
    clock,
    log,
    look: async () => {
      const secret = await readSecretFiles(secretDir, url.slice(0, Math.max(0, url.indexOf(":"))));
      return { fingerprint: secret.fingerprint, open: () => openWith(rule, secret, options) };
    },
  });
  await store.prepare();
  return store;
}

/** A connection string names the account too, and is not looked at yet. */
function withStandIn(settings: StoreSettings): StoreSettings {
  const isNamed = settings.azureAccount !== undefined || settings.azureEndpoint !== undefined;
  return isNamed || settings.storeUrl?.startsWith("azblob:") !== true
    ? settings
    : { ...settings, azureAccount: "account" };
}

/** @throws {CdhError} CDH_STORE_DENIED: what is in the secret is the store's trouble */
async function openWith(rule: StoreRule, secret: SecretFiles, options: OpenRulesOptions): Promise<ObjectStore> {
  const { values, sources } = resolveSettings(storeSettings, { env: secret.env });
  const merged: Record<string, unknown> = { ...rule.settings };
  for (const name of Object.keys(storeSettings) as (keyof StoreSettings)[])
    if (sources[name] !== "default") merged[name] = values[name];
  const { googleKeyFile } = secret;
  try {
    return await openStore(merged as StoreSettings, {
      ...options,
      ...(googleKeyFile === undefined ? {} : { googleKeyFile }),
    });
  } catch (error) {
    if (!(error instanceof CdhError) || error.code !== "CDH_CONFIG_INVALID") throw error;
    throw new CdhError("CDH_STORE_DENIED", `the secret in ${rule.secretDir ?? ""}: ${reasonOf(error)}`, {
      cause: error,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
    });
  }
}
