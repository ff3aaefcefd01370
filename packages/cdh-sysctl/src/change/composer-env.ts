import { findComposerSetting } from "@cdh/core/composer/known-names";
import { formatEnvFile } from "@cdh/core/env-file";
import { reasonOf } from "@cdh/core/errors";
import type { Layout } from "../node/target-node.ts";

/** The composer's settings, and the names among them that it does not know. */
export interface ComposerEnv {
  /** By the composer's own names. */
  values: Record<string, string>;
  unknown: string[];
  /** One message for each value that the composer could not read. */
  problems: string[];
}

/**
 * Collect the composer's settings from `COMP_*` names and from `--set NAME=VALUE`, which is stronger, and read each as the
 * composer will. The directories come from the node's layout. Unknown names are passed on and reported: a newer composer
 * may know them.
 */
export function collectComposerEnv(
  env: Readonly<Record<string, string | undefined>>,
  assignments: Readonly<Record<string, string>>,
  layout: Layout,
): ComposerEnv {
  const values: Record<string, string> = { CORE_DIR: layout.coreDir, EVENT_DIRECTORY: layout.eventDir };
  const unknown: string[] = [];
  const problems: string[] = [];
  const take = (name: string, value: string, shown: string): void => {
    const known = findComposerSetting(name);
    if (known.kind === "unknown") unknown.push(shown);
    values[known.kind === "setting" ? known.setting.env : name] = value;
    if (known.kind !== "setting") return;
    try {
      known.setting.parse(value);
    } catch (error) {
      problems.push(`${shown} ${JSON.stringify(value)}: ${reasonOf(error)}`);
    }
  };
  // Kubernetes passes an empty text for a value that is not set; the composer has its own defaults.
  const given = Object.entries(env).flatMap(([name, value]) =>
    name.startsWith("COMP_") && value !== undefined && value !== ""
      ? [[name.slice("COMP_".length), value] as const]
      : [],
  );
  // A setting's own name is stronger than another name for it, as in the composer: it comes last.
  given.sort(([a], [b]) => Number(isAlias(b)) - Number(isAlias(a)) || (a < b ? -1 : 1));
  for (const [name, value] of given) take(name, value, `COMP_${name}`);
  for (const [name, value] of Object.entries(assignments)) take(name, value, name);
  return { values, unknown, problems };
}

/** Write HOST_DIR/.env: the composer reads it at each crash. */
export function renderComposerEnv(values: Readonly<Record<string, string>>): string {
  return formatEnvFile(values);
}

function isAlias(name: string): boolean {
  const known = findComposerSetting(name);
  return known.kind === "setting" && known.setting.env !== name;
}
