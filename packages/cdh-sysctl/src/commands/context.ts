import { delimiter } from "node:path";
import type { Clock } from "@cdh/core/clock";
import { resolveSettings, type ResolvedSettings, type SettingsOf } from "@cdh/core/config";
import { CdhError } from "@cdh/core/errors";
import { parseCorePattern } from "@cdh/core/kernel/pattern";
import { append } from "@cdh/core/lists";
import { makeRoots, onHost } from "@cdh/core/roots";
import { collectComposerEnv } from "../change/composer-env.ts";
import { bundledComposer, inspectComposer, type ComposerSource } from "../change/composer-source.ts";
import { findCrictl, renderCrictlConfig } from "../change/crictl.ts";
import type { Desired } from "../change/desired.ts";
import { desiredValues } from "../change/install.ts";
import { attempt, checkDirectory, checkPrivileges, checkSpace, type Problem } from "../change/preflight.ts";
import { hashFile } from "../node/hash-file.ts";
import { readKernelValue, readKernelValues, type KernelValues } from "../node/kernel-values.ts";
import { defaultPipeLimit } from "../node/pipe-limit.ts";
import { detectProfile, PROFILES, type Profile, type ProfileName } from "../node/profiles.ts";
import { findOwnValues } from "../node/saved-values.ts";
import { readState } from "../node/state.ts";
import type { Mode, Node } from "../node/target-node.ts";
import { sysctlSettings } from "../settings.ts";

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
  profileName: ProfileName;
  profile: Profile;
  mode: Mode;
  node: Node;
  problems: Problem[];
}

/**
 * Resolve the settings and the node's directories. Total: what is wrong is listed, so that everything can be said at once.
 * @param fromRecord take what is not given from the last install rather than from the defaults: for commands that look
 *   at an install or take it away
 */
export function resolveNode(inputs: Inputs, fromRecord: boolean): NodeContext {
  // Charts and shells pass an empty text for what is not set.
  const given = Object.fromEntries(Object.entries(inputs.env).filter(([, value]) => value !== ""));
  const resolved = resolveSettings(sysctlSettings, { flags: inputs.flags, env: given });
  const problems: Problem[] = resolved.problems.map((message) => ({ code: "CDH_CONFIG_INVALID", message }));
  const settings = resolved.values;
  const roots = makeRoots({ hostRoot: settings.hostRoot, procRoot: settings.procRoot });
  const profileName = settings.profile ?? detectProfile(roots);
  const profile: Profile = PROFILES[profileName];
  const { clock, env } = inputs;

  const executes = (settings.mode ?? profile.mode) === "pipe";
  const hostDirCheck = checkDirectory({ roots }, "HOST_DIR", settings.hostDir ?? profile.hostDir, "private", executes);
  const hostDir = hostDirCheck.path;
  const record = fromRecord ? readState({ roots, clock, hostDir, coreDir: "", eventDir: "" }) : undefined;
  if (resolved.sources.corePipeLimit === "default") settings.corePipeLimit = defaultPipeLimit(roots);
  if (record !== undefined)
    settings.corePipeLimit = lastNumber(
      record.values.core_pipe_limit,
      resolved.sources.corePipeLimit,
      settings.corePipeLimit,
    );
  if (record !== undefined)
    settings.suidDumpable = lastNumber(
      record.values.suid_dumpable,
      resolved.sources.suidDumpable,
      settings.suidDumpable,
    );
  const mode = settings.mode ?? record?.mode ?? profile.mode;
  const coreDirCheck = checkDirectory(
    { roots },
    "CORE_DIR",
    settings.coreDir ?? record?.coreDir ?? profile.coreDir ?? `${hostDir}/cores`,
    mode === "pipe" ? "private" : "sticky",
  );
  append(problems, [...hostDirCheck.problems, ...coreDirCheck.problems]);
  const eventDir = settings.eventDir ?? textOf(env["COMP_CORE_EVENT_DIR"]) ?? record?.eventDir ?? `${hostDir}/events`;
  const node: Node = { roots, clock, hostDir, coreDir: coreDirCheck.path, eventDir };
  return { settings, resolved, profileName, profile, mode, node, problems };
}

/**
 * Name the directories on the node that will be used, as paths on this machine, without looking at them: whoever looks
 * waits for a file system that hangs.
 */
export function directoriesOf(inputs: Inputs): { settings: SysctlSettings; directories: string[] } {
  const given = Object.fromEntries(Object.entries(inputs.env).filter(([, value]) => value !== ""));
  const settings = resolveSettings(sysctlSettings, { flags: inputs.flags, env: given }).values;
  const roots = makeRoots({ hostRoot: settings.hostRoot, procRoot: settings.procRoot });
  const profile: Profile = PROFILES[settings.profile ?? detectProfile(roots)];
  const hostDir = settings.hostDir ?? profile.hostDir;
  const coreDir = settings.coreDir ?? profile.coreDir ?? `${hostDir}/cores`;
  return { settings, directories: [hostDir, coreDir].map((path) => onHost(roots, path)) };
}

/** Work out the values that the kernel should have. @throws {CdhError} CDH_PATTERN_TOO_LONG, CDH_CONFIG_INVALID */
export function wantedValues({ node, mode, settings }: Pick<NodeContext, "node" | "mode" | "settings">): KernelValues {
  const values = desiredValues(node, mode, settings.corePipeLimit, settings.suidDumpable);
  // A plain file needs no limit of handlers: the node's own stays.
  return mode === "pipe" ? values : { ...values, core_pipe_limit: readKernelValue(node.roots, "core_pipe_limit") };
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
  const context = resolveNode(inputs, false);
  const { node, settings, mode } = context;
  const problems = [...checkPrivileges(node), ...context.problems];
  const notes: string[] = [];
  const composerEnv = collectComposerEnv(inputs.env, inputs.assignments, node);
  append(
    problems,
    composerEnv.problems.map((message): Problem => ({ code: "CDH_CONFIG_INVALID", message })),
  );
  if (composerEnv.unknown.length > 0) {
    notes.push(`the composer may not know ${composerEnv.unknown.join(", ")}; passed on as it is`);
  }
  if (mode === "file") notes.push("MODE=file: the kernel writes plain cores, without any facts about the container");
  const chained = chainNote(context, composerEnv.values["HOST_CRASHES"]);
  if (chained !== undefined) notes.push(chained);
  const values = attempt(problems, () => wantedValues(context));
  const composer =
    mode === "file" ? undefined : attempt(problems, () => inspectComposer(composerPath(settings), node.hostDir));
  if (composer !== undefined) append(problems, checkSpace(node, composer));
  const crictl = settings.deployCrictl
    ? attempt(problems, () => crictlToCopy(settings, inputs.env, composer))
    : undefined;
  if (values === undefined || (composer === undefined && mode === "pipe"))
    return { ...context, problems, desired: undefined, notes };
  const desired: Desired = {
    version: inputs.version,
    mode,
    values,
    composerEnv: composerEnv.values,
    ...(composer === undefined ? {} : { composer }),
    ...(settings.deployCrictlConfig
      ? { crictlConfig: renderCrictlConfig(settings.crictlEndpoint ?? context.profile.crictlEndpoint) }
      : {}),
    ...(crictl === undefined ? {} : { crictl }),
  };
  return { ...context, problems, desired, notes };
}

/** Say that host crashes cannot be handed on, when the handler before us is none that a composer can start. */
function chainNote({ node, mode }: InstallContext | NodeContext, hostCrashes: string | undefined): string | undefined {
  if (mode === "file" || hostCrashes?.trim().toLowerCase() !== "chain") return undefined;
  const current = attempt([], () => readKernelValues(node.roots));
  if (current === undefined) return undefined;
  const before = parseCorePattern(findOwnValues(node, current).core_pattern.value);
  if (before.kind === "pipe") return undefined;
  const what = before.kind === "socket" ? `a socket (${before.path})` : `a file (${before.path})`;
  const source = /systemd|coredump/.test(before.path)
    ? "; what systemd-coredump keeps itself, SYSTEMD_COREDUMP_DIR of cdh-upload takes (upload.systemdCoredump)"
    : "";
  return `HOST_CRASHES=chain cannot hand on to ${what}: crashes of the host are kept here${source}`;
}

function composerPath(settings: SysctlSettings): string {
  return settings.composer ?? bundledComposer();
}

function crictlToCopy(
  settings: SysctlSettings,
  env: Readonly<Record<string, string | undefined>>,
  composer: ComposerSource | undefined,
): { path: string; sha256: string } {
  const directories = [...settings.localBin.split(delimiter), ...(env["PATH"] ?? "").split(delimiter)].filter(Boolean);
  const path = settings.crictl ?? findCrictl(composer?.path ?? composerPath(settings), directories);
  const sha256 = hashFile(path);
  if (sha256 === undefined) throw new CdhError("CDH_NOT_FOUND", `cannot copy crictl: there is no ${path}`);
  return { path, sha256 };
}

function lastNumber(recorded: readonly string[], source: string, given: number): number {
  const last = recorded.at(-1);
  return source === "default" && last !== undefined ? Number(last) : given;
}

function textOf(text: string | undefined): string | undefined {
  return text === "" ? undefined : text;
}
