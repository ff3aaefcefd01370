import type { Setting } from "../service/config.ts";
import { composerSettings } from "./settings.ts";

/** Names of older setups that are accepted and have no effect: IBM's `crictl` subcommand for images. */
const IGNORED: readonly string[] = ["CRIO_IMAGE_CMD"];

/** What is known of a name in `.env`. */
export type KnownName = { kind: "setting"; setting: Setting<unknown> } | { kind: "ignored" } | { kind: "unknown" };

/** Find a setting of the composer by its name, or by another name that it goes by. */
export function findComposerSetting(name: string): KnownName {
  const found = Object.values(composerSettings).find(
    (one: Setting<unknown>) => one.env === name || one.aliases?.includes(name) === true,
  );
  if (found !== undefined) return { kind: "setting", setting: found as Setting<unknown> };
  return { kind: IGNORED.includes(name) ? "ignored" : "unknown" };
}
