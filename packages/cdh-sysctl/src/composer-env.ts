import { formatEnvFile } from "@cdh/core/env-file";
import type { Layout } from "./node.ts";

/** Settings of the composer that `COMP_*` may carry, by the composer's own names. */
export const COMPOSER_SETTINGS = [
  "LOG_LEVEL",
  "IGNORE_CRIO",
  "INCLUDE_PROC_INFO",
  "LOG_LENGTH",
  "CRIO_IMAGE_CMD",
  "USE_CRIO_CONF",
  "COMPRESSION",
  "TIMEOUT",
  "CORE_EVENTS",
  "EVENT_DIRECTORY",
  "FILENAME_TEMPLATE",
  "POD_SELECTOR_LABEL",
  "CORE_DIR",
  "CORE_SIZE_MAX",
  "MAX_USE",
  "KEEP_FREE",
  "RATE_LIMIT",
  "NAMESPACE_INCLUDE",
  "NAMESPACE_EXCLUDE",
  "COMM_EXCLUDE",
  "SIGNAL_EXCLUDE",
  "HOST_CRASHES",
  "RLIMIT_CORE",
  "METADATA_TIMEOUT",
  "COMPRESSION_LEVEL",
  "COMPRESSION_THREADS",
  "NODE_NAME",
  "CLUSTER_NAME",
  "PROC_ROOT",
] as const;

/** IBM's names whose composer name is not the rest after `COMP_`. */
const RENAMED: Readonly<Record<string, string>> = { CORE_EVENT_DIR: "EVENT_DIRECTORY" };

/** The composer's settings, and the names among them that it does not know. */
export interface ComposerEnv {
  values: Record<string, string>;
  unknown: string[];
}

/**
 * Collect the composer's settings from `COMP_*` names and from `--set NAME=VALUE`, which is stronger. The directories
 * come from the node's layout. Unknown names are passed on and reported: a newer composer may know them.
 */
export function collectComposerEnv(
  env: Readonly<Record<string, string | undefined>>,
  assignments: Readonly<Record<string, string>>,
  layout: Layout,
): ComposerEnv {
  const values: Record<string, string> = { CORE_DIR: layout.coreDir, EVENT_DIRECTORY: layout.eventDir };
  const unknown: string[] = [];
  const take = (name: string, value: string, shown: string): void => {
    const known = RENAMED[name] ?? name;
    if (!COMPOSER_SETTINGS.some((setting) => setting === known)) unknown.push(shown);
    values[known] = value;
  };
  for (const [name, value] of Object.entries(env).sort()) {
    // Kubernetes passes an empty text for a value that is not set; the composer has its own defaults.
    if (name.startsWith("COMP_") && value !== undefined && value !== "") take(name.slice("COMP_".length), value, name);
  }
  for (const [name, value] of Object.entries(assignments)) take(name, value, name);
  return { values, unknown };
}

/** Write HOST_DIR/.env: the composer reads it at each crash. */
export function renderComposerEnv(values: Readonly<Record<string, string>>): string {
  return formatEnvFile(values);
}
