import { composerSettings, type ComposerSettings } from "@cdh/core/composer/settings";
import { resolveSettings } from "@cdh/core/config";

/** The composer's settings from texts by their names in `.env`, defaults for the rest. */
export function makeSettings(env: Record<string, string> = {}): ComposerSettings {
  return resolveSettings(composerSettings, { env }).values;
}
