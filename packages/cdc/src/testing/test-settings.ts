import { resolveSettings } from "@cdh/core/config";
import { composerSettings, type ComposerSettings } from "../settings.ts";

/** The composer's settings from texts by their names in `.env`, defaults for the rest. */
export function makeSettings(env: Record<string, string> = {}): ComposerSettings {
  return resolveSettings(composerSettings, { env }).values;
}
