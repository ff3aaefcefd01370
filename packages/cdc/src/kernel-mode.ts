import { dirname, join } from "node:path";
import { soon } from "@cdh/core/async/soon";
import { ForgottenFiles } from "@cdh/core/base/forgotten-files";
import type { Manifest, Problem } from "@cdh/core/bundle/manifest";
import { systemClock, timerMs } from "@cdh/core/clock";
import { composerSettings, type ComposerSettings } from "@cdh/core/composer/settings";
import { resolveSettings } from "@cdh/core/config";
import { parseEnvFile } from "@cdh/core/env-file";
import { CdhError, EXIT, errnoOf } from "@cdh/core/errors";
import { parseKernelArguments } from "@cdh/core/kernel/arguments";
import type { Crash } from "@cdh/core/kernel/crash";
import { createLogger, type Logger } from "@cdh/core/log";
import { makeRoots } from "@cdh/core/roots";
import { signalName } from "@cdh/core/signals";
import { probeDirectory } from "@cdh/core/spool/probe";
import { formatBytes } from "@cdh/core/units";
import { compose } from "./compose.ts";
import { readEnvText } from "./kernel/env-text.ts";
import { isProbe, settingsForProbe } from "./kernel/probe.ts";
import { endWhenAbandoned } from "./kernel/watch-lease.ts";
import type { Outcome } from "./request.ts";
import { openComposerLog, openKernelLog } from "./self/composer-log.ts";
import { descriptorInput, withFirstRead } from "./self/input.ts";
import { loadNative } from "./self/load-native.ts";
import { stepBack } from "./self/priority.ts";
import { CrashStacks } from "./stack/crash-stacks.ts";
import { VERSION } from "./version.ts";

/** How long a composer goes on for the program's files, in milliseconds: longer than what packs them may take. */
const BINARIES_MAX_MS = 300_000;

/** Environment variables; the kernel gives none. */
type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Keep the crash that the kernel just handed over. Nothing refuses here: bad settings, unknown words and a missing
 * `.env` are noted and passed by.
 * @returns the exit status; the kernel ignores it, tests and people do not
 */
export async function runForKernel(
  argv: readonly string[],
  env: Environment,
  firstRead: Promise<Buffer>,
): Promise<number> {
  const crash = parseKernelArguments(argv);
  const exeDir = dirname(process.execPath);
  const { settings: given, problems } = readSettings(exeDir, crash, env);
  const probe = isProbe(crash, exeDir, given.procRoot);
  const usualDir = crash.dir || given.coreDir || join(exeDir, "cores");
  const settings = probe ? settingsForProbe(given) : given;
  const coreDir = probe ? probeDirectory(usualDir) : usualDir;
  const native = await loadNative();
  const kernelLog = openKernelLog();
  const log = createLogger({
    program: "cdc",
    level: settings.logLevel,
    format: "json",
    clock: systemClock,
    write: openComposerLog(exeDir, native),
  });
  process.on("unhandledRejection", (error) => log.error("unhandled rejection", { error }));
  new ForgottenFiles((path) => log.error("a file was not closed", { path })).watch((error) => {
    log.error("uncaught exception", { error });
    throw error;
  });
  for (const problem of problems) log.warn("setting not understood", { ...problem });
  const keepsFiles = settings.binaries !== "off";
  const isHeld = settings.stack || settings.message || settings.artefacts || keepsFiles;
  const stacks = probe || !isHeld ? undefined : new CrashStacks({ ...settings, keepsFiles });
  let manifest: Manifest | undefined;
  try {
    const outcome = await compose({
      input: withFirstRead(descriptorInput(0, native), firstRead),
      crash,
      settings,
      coreDir,
      exeDir,
      roots: makeRoots({ procRoot: settings.procRoot }),
      clock: systemClock,
      log,
      native,
      version: VERSION,
      problems,
      stacks,
      onRelease: stepBack,
    });
    if (!probe) await report(outcome, crash, log, kernelLog);
    if (outcome.kind === "published") ({ manifest } = outcome);
    return outcome.exitCode;
  } catch (error) {
    log.error("core lost", {
      error,
      code: error instanceof CdhError ? error.code : errnoOf(error),
      pid: crash.pid,
      comm: crash.comm,
    });
    kernelLog(`core of ${who(crash)} not kept: ${error instanceof Error ? error.message : String(error)}`);
    return error instanceof CdhError ? error.exitCode : EXIT.bug;
  } finally {
    const { watchLeaseMs: leaseMs, procRoot: proc } = given;
    if (!probe) await endWhenAbandoned(exeDir, { leaseMs, proc, nowMs: systemClock.now(), log, kernelLog });
    // Last, because it may take long: nothing of the node waits for it.
    if (manifest !== undefined && stacks !== undefined && stacks.kept.length > 0) {
      const { keepBinaries } = await import("./keep/keep-binaries.ts");
      const around = { settings, coreDir, clock: systemClock, native, log };
      await soon(keepBinaries(around, manifest, stacks.kept), BINARIES_MAX_MS, systemClock);
    }
  }
}

/** Settings of `.env` beside the executable; a variable that is set wins, and so does IBM's own kernel line. */
export function readSettings(
  exeDir: string,
  crash: Crash,
  env: Environment,
): { settings: ComposerSettings; problems: Problem[] } {
  let file: Record<string, string> = {};
  const problems: Problem[] = [];
  try {
    file = parseEnvFile(readEnvText(join(exeDir, ".env")));
  } catch (error) {
    if (errnoOf(error) !== "ENOENT")
      problems.push({
        step: "settings",
        code: errnoOf(error) ?? "CDH_CONFIG_INVALID",
        detail: ".env could not be read",
      });
  }
  const resolved = resolveSettings(composerSettings, { env, file });
  for (const detail of resolved.problems) problems.push({ step: "settings", code: "CDH_CONFIG_INVALID", detail });
  const settings = { ...resolved.values };
  if (crash.timeoutSeconds !== undefined && crash.timeoutSeconds > 0)
    settings.timeoutMs = timerMs(crash.timeoutSeconds * 1000);
  if (crash.disableCompression === true) settings.compression = "none";
  return { settings, problems };
}

async function report(outcome: Outcome, crash: Crash, log: Logger, kernelLog: (text: string) => void): Promise<void> {
  if (outcome.kind === "skipped") {
    kernelLog(`core of ${who(crash)} not kept: ${outcome.reason}`);
    return;
  }
  const { manifest, path } = outcome;
  const { core, composer, pod, process: crashed } = manifest;
  const { crashLine } = await import("@cdh/core/report/crash-line");
  log.info("bundle published", {
    crashId: manifest.crashId,
    path,
    namespace: pod?.namespace,
    pod: pod?.name,
    comm: crashed.comm,
    signal: manifest.signal.name,
    summary: crashLine(manifest),
    coreBytes: core.sizeBytes,
    storedBytes: core.storedBytes,
    complete: core.complete,
    truncatedBy: core.truncatedBy,
    drainMs: composer.drainMs,
    durationMs: composer.durationMs,
    problems: manifest.problems.length,
  });
  for (const problem of manifest.problems)
    log.warn("problem while composing", { crashId: manifest.crashId, ...problem });
  const where = pod?.name === undefined ? "" : ` in ${pod.namespace ?? "?"}/${pod.name}`;
  const whole = core.complete ? "" : `, cut short: ${core.truncatedBy ?? "unknown"}`;
  kernelLog(`core of ${who(crash)}${where}: ${formatBytes(core.sizeBytes)}${whole}, ${path}`);
}

function who(crash: Crash): string {
  return `${crash.comm ?? "?"} (pid ${crash.pid ?? crash.pidInNamespace ?? "?"}, ${signalName(crash.signal ?? 0)})`;
}
