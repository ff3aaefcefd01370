import { NAME_VARIABLES, renderName, type NameVariables } from "@cdh/core/bundle/naming";
import { parsers } from "@cdh/core/config";
import { formatEnvFile } from "@cdh/core/env-file";
import { CdhError, reasonOf } from "@cdh/core/errors";
import { tryParseLogLevel } from "@cdh/core/log";
import { tryParseSignal } from "@cdh/core/signals";
import type { Layout } from "./node.ts";

type Check = (text: string) => unknown;

const anything: Check = parsers.text;
const bool: Check = parsers.boolean;
const bytes: Check = parsers.optionalBytes;
const seconds: Check = parsers.durationFromSeconds;

/**
 * Settings of the composer that `COMP_*` may carry, by the composer's own names, with a check of each. The composer
 * takes its default for what it cannot read, because a process waits to die; here a person can still correct it.
 */
const CHECKS: Readonly<Record<string, Check>> = {
  LOG_LEVEL: (text) => tryParseLogLevel(text) ?? fail("none of trace, debug, info, warn, error, off"),
  IGNORE_CRIO: bool,
  INCLUDE_PROC_INFO: oneOfOrBoolean("none", "facts", "environ"),
  LOG_LENGTH: parsers.integer(0, 1_000_000),
  CRIO_IMAGE_CMD: anything,
  USE_CRIO_CONF: bool,
  COMPRESSION: oneOfOrBoolean("zstd", "deflate", "none"),
  TIMEOUT: seconds,
  CORE_EVENTS: bool,
  EVENT_DIRECTORY: anything,
  FILENAME_TEMPLATE: checkTemplate,
  POD_SELECTOR_LABEL: anything,
  CORE_DIR: anything,
  CORE_SIZE_MAX: bytes,
  MAX_USE: bytes,
  KEEP_FREE: (text) => /^\s*\d+(\.\d+)?\s*%\s*$/.test(text) || parsers.bytes(text),
  RATE_LIMIT: (text) => /^\s*(0|\d+\s*\/\s*[\w.]+)\s*$/.test(text) || fail("write 5/1h, or 0 for none"),
  NAMESPACE_INCLUDE: anything,
  NAMESPACE_EXCLUDE: anything,
  COMM_EXCLUDE: anything,
  SIGNAL_EXCLUDE: (text) =>
    parsers.list(text).every((name) => tryParseSignal(name) !== undefined) || fail("not a list of signals"),
  HOST_CRASHES: parsers.oneOf("keep", "ignore", "chain"),
  RLIMIT_CORE: parsers.oneOf("honour", "ignore"),
  METADATA_TIMEOUT: seconds,
  COMPRESSION_LEVEL: parsers.integer(1, 19),
  COMPRESSION_THREADS: parsers.integer(0, 64),
  CONCURRENCY: parsers.integer(1, 64),
  NODE_NAME: anything,
  CLUSTER_NAME: anything,
  PROC_ROOT: anything,
};

/** Names of the composer's settings that are known here. */
export const COMPOSER_SETTINGS: readonly string[] = Object.keys(CHECKS);

/** IBM's names whose composer name is not the rest after `COMP_`. */
const RENAMED: Readonly<Record<string, string>> = { CORE_EVENT_DIR: "EVENT_DIRECTORY" };

/** The composer's settings, and the names among them that it does not know. */
export interface ComposerEnv {
  values: Record<string, string>;
  unknown: string[];
  /** One message for each value that the composer could not read. */
  problems: string[];
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
  const problems: string[] = [];
  const take = (name: string, value: string, shown: string): void => {
    const known = RENAMED[name] ?? name;
    const check = CHECKS[known];
    if (check === undefined) unknown.push(shown);
    values[known] = value;
    try {
      check?.(value);
    } catch (error) {
      problems.push(`${shown} ${JSON.stringify(value)}: ${reasonOf(error)}`);
    }
  };
  for (const [name, value] of Object.entries(env).sort()) {
    // Kubernetes passes an empty text for a value that is not set; the composer has its own defaults.
    if (name.startsWith("COMP_") && value !== undefined && value !== "") take(name.slice("COMP_".length), value, name);
  }
  for (const [name, value] of Object.entries(assignments)) take(name, value, name);
  return { values, unknown, problems };
}

/** Write HOST_DIR/.env: the composer reads it at each crash. */
export function renderComposerEnv(values: Readonly<Record<string, string>>): string {
  return formatEnvFile(values);
}

function oneOfOrBoolean(...names: readonly string[]): Check {
  return (text) => {
    const lower = text.trim().toLowerCase();
    if (!names.includes(lower) && !["true", "false", "1", "0", "yes", "no", "on", "off"].includes(lower)) {
      fail(`none of ${names.join(", ")}, true, false`);
    }
  };
}

function checkTemplate(text: string): void {
  const sample = Object.fromEntries(NAME_VARIABLES.map((name) => [name, name])) as NameVariables;
  const { problem } = renderName(text, sample);
  if (problem !== undefined) fail(problem.replace(/^FILENAME_TEMPLATE: /, ""));
}

function fail(reason: string): never {
  throw new CdhError("CDH_CONFIG_INVALID", reason);
}
