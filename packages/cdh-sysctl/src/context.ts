import { delimiter } from "node:path";
import type { Clock } from "@cdh/core/clock";
import { resolveSettings, type ResolvedSettings, type SettingsOf } from "@cdh/core/config";
import { CdhError } from "@cdh/core/errors";
import { makeRoots } from "@cdh/core/roots";
import { collectComposerEnv } from "./composer-env.ts";
import { bundledComposer, hashFile, inspectComposer, type ComposerSource } from "./composer-source.ts";
import { findCrictl, renderCrictlConfig } from "./crictl.ts";
import { desiredValues, type Desired } from "./install.ts";
import type { Node } from "./node.ts";
import { attempt, checkDirectory, checkPrivileges, checkSpace, type Problem } from "./preflight.ts";
import { DEFAULT_HOST_DIR, sysctlSettings } from "./settings.ts";

/** The texts that a command line and an environment give. */
export interface Inputs {
  flags: Readonly<Record<string, string | undefined>>;
  /** `--set NAME=VALUE`: settings of the composer. */
  assignments: Readonly<Record<string, string>>;
  env: Readonly<Record<string, string | undefined>>;
  clock: Clock;
  version: string;
}

/** Settings of this program. */
export type SysctlSettings = SettingsOf<typeof sysctlSettings>;

/** A node, the settings for it, and what is wrong with them. */
export interface NodeContext {
  settings: SysctlSettings;
  resolved: ResolvedSettings<typeof sysctlSettings>;
  node: Node;
  problems: Problem[];
}

/** Resolve the settings and the node's directories. Total: what is wrong is listed, so that everything can be said at once. */
export function resolveNode(inputs: Inputs): NodeContext {
  const resolved = resolveSettings(sysctlSettings, { flags: inputs.flags, env: inputs.env });
  const problems: Problem[] = resolved.problems.map((message) => ({ code: "CDH_CONFIG_INVALID", message }));
  const settings = resolved.values;
  const roots = makeRoots({ hostRoot: settings.hostRoot, procRoot: settings.procRoot });
  const check = (name: string, path: string): string => {
    const checked = checkDirectory({ roots }, name, path);
    problems.push(...checked.problems);
    return checked.path;
  };
  const hostDir = check("HOST_DIR", settings.hostDir ?? DEFAULT_HOST_DIR);
  const coreDir = check("CORE_DIR", settings.coreDir ?? `${hostDir}/cores`);
  const eventDir = settings.eventDir ?? textOf(inputs.env["COMP_CORE_EVENT_DIR"]) ?? `${hostDir}/events`;
  return { settings, resolved, node: { roots, clock: inputs.clock, hostDir, coreDir, eventDir }, problems };
}

/** What to install, and everything that stands against it. */
export interface InstallContext extends NodeContext {
  /** Undefined when there are problems that keep it from being known. */
  desired: Desired | undefined;
  /** Worth saying, and no reason to stop. */
  notes: string[];
}

/** Work out what to install, and check all that can be checked before anything is changed. */
export function prepareInstall(inputs: Inputs): InstallContext {
  const context = resolveNode(inputs);
  const { node, settings } = context;
  const problems = [...checkPrivileges(node), ...context.problems];
  const notes: string[] = [];
  const composerEnv = collectComposerEnv(inputs.env, inputs.assignments, node);
  if (composerEnv.unknown.length > 0)
    notes.push(`the composer may not know ${composerEnv.unknown.join(", ")}; passed on as it is`);
  const values = attempt(problems, () => desiredValues(node.hostDir, settings.corePipeLimit, settings.suidDumpable));
  const composer = attempt(problems, () => inspectComposer(composerPath(settings), node.hostDir));
  if (composer !== undefined) problems.push(...checkSpace(node, composer));
  const crictl = settings.deployCrictl
    ? attempt(problems, () => crictlToCopy(settings, inputs.env, composer))
    : undefined;
  const desired: Desired | undefined =
    values === undefined || composer === undefined
      ? undefined
      : {
          version: inputs.version,
          composer,
          values,
          composerEnv: composerEnv.values,
          ...(settings.deployCrictlConfig ? { crictlConfig: renderCrictlConfig(settings.crictlEndpoint) } : {}),
          ...(crictl === undefined ? {} : { crictl }),
        };
  return { ...context, problems, desired, notes };
}

/** Find the composer that the settings mean. */
export function composerPath(settings: SysctlSettings): string {
  return settings.composer ?? bundledComposer();
}

function crictlToCopy(
  settings: SysctlSettings,
  env: Readonly<Record<string, string | undefined>>,
  composer: ComposerSource | undefined,
): { path: string; sha256: string } {
  const directories = [...settings.localBin.split(delimiter), ...(env["PATH"] ?? "").split(delimiter)].filter(
    (part) => part !== "",
  );
  const path = settings.crictl ?? findCrictl(composer?.path ?? composerPath(settings), directories);
  const sha256 = hashFile(path);
  if (sha256 === undefined) throw new CdhError("CDH_NOT_FOUND", `cannot copy crictl: there is no ${path}`);
  return { path, sha256 };
}

function textOf(text: string | undefined): string | undefined {
  return text === "" ? undefined : text;
}
