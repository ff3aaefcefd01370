import { lstat } from "node:fs/promises";
import { join } from "node:path";
import { UsageError } from "clipanion";
import { flagTexts, listFlag, settingFlag, settingSwitch } from "@cdh/core/cli/flags";
import { SettingsCommand } from "@cdh/core/cli/settings-command";
import { EXIT } from "@cdh/core/errors";
import { problemsError, type Problem } from "../change/preflight.ts";
import { sysctlSettings } from "../settings.ts";
import type { Inputs, NodeContext } from "./context.ts";
import { problemLines } from "./step-lines.ts";

/** A directory that does not answer for so long is told. */
const SILENT_MS = 5000;

/** What is begun on the node is finished or taken back. */
const GRACE_MS = 30_000;

/** Base of every command of cdh-sysctl: the flags that say which node. */
export abstract class NodeCommand extends SettingsCommand {
  hostDir = settingFlag(sysctlSettings.hostDir);
  coreDir = settingFlag(sysctlSettings.coreDir);
  eventDir = settingFlag(sysctlSettings.eventDir);
  profile = settingFlag(sysctlSettings.profile);
  mode = settingFlag(sysctlSettings.mode);
  suidDumpable = settingFlag(sysctlSettings.suidDumpable);
  corePipeLimit = settingFlag(sysctlSettings.corePipeLimit);
  composer = settingFlag(sysctlSettings.composer);
  hostRoot = settingFlag(sysctlSettings.hostRoot);
  procRoot = settingFlag(sysctlSettings.procRoot);
  deployCrictlConfig = settingSwitch(sysctlSettings.deployCrictlConfig);
  deployCrictl = settingSwitch(sysctlSettings.deployCrictl);
  crictl = settingFlag(sysctlSettings.crictl);
  crictlEndpoint = settingFlag(sysctlSettings.crictlEndpoint);
  lockTimeoutMs = settingFlag(sysctlSettings.lockTimeoutMs);
  proveCapture = settingFlag(sysctlSettings.proveCapture);
  set = listFlag("--set", "NAME=VALUE", "a setting of the composer; stronger than COMP_NAME; may be given again");

  override async execute(): Promise<number> {
    await this.untilAnswers();
    const { stopSignal, stoppedStatus, allowGrace } = this.context;
    if (stopSignal.aborted) return stoppedStatus?.() ?? EXIT.incomplete;
    allowGrace?.(GRACE_MS);
    return await super.execute();
  }

  /**
   * Look at the node's directories before the work does, which waits for each of its calls: while this one waits, a signal
   * still ends the program. Their file system may be a network's whose server is away.
   */
  protected async untilAnswers(): Promise<void> {
    const { env, clock, stderr, program } = this.context;
    const root = this.hostRoot ?? env["HOST_ROOT"] ?? "/";
    for (const [name, flag] of [
      ["HOST_DIR", this.hostDir],
      ["CORE_DIR", this.coreDir],
      ["EVENT_DIR", this.eventDir],
    ] as const) {
      const path = flag ?? env[name] ?? "";
      if (path === "") continue;
      const answered = new AbortController();
      clock.sleep(SILENT_MS, answered.signal).then(
        () => stderr.write(`${program}: ${name} ${path} does not answer: waiting for it\n`),
        () => {},
      );
      // Whatever is wrong with it is said by who works with it.
      await lstat(join(root, path)).catch(() => {});
      answered.abort();
    }
  }

  /** Give the flags and the environment to the settings. */
  protected inputs(): Inputs {
    return {
      flags: flagTexts(this, sysctlSettings),
      assignments: Object.fromEntries((this.set ?? []).map(splitAssignment)),
      env: this.context.env,
      clock: this.context.clock,
      version: this.context.version,
    };
  }

  /** Print the settings of the node; for `--print-config`. @returns the exit status */
  protected showSettings({ resolved }: NodeContext): number {
    return this.showConfig(sysctlSettings, resolved);
  }

  /**
   * Say everything that stands against it, and give up.
   * @throws {CdhError} with the first problem's code
   */
  protected refuse(what: string, problems: readonly Problem[]): never {
    if (this.format() !== "table") this.printJson({ problems });
    else if (problems.length > 1) {
      for (const line of problems.flatMap(problemLines)) this.context.stderr.write(`${line}\n`);
    }
    throw problemsError(what, problems);
  }

  /** Print one object as JSON. */
  protected printJson(value: unknown): void {
    this.context.stdout.write(`${JSON.stringify(value, undefined, this.format() === "jsonl" ? undefined : 2)}\n`);
  }
}

function splitAssignment(text: string): [name: string, value: string] {
  const at = text.indexOf("=");
  if (at < 1 || !/^[A-Z][A-Z0-9_]*$/.test(text.slice(0, at))) throw new UsageError(`--set ${text}: write NAME=VALUE`);
  return [text.slice(0, at), text.slice(at + 1)];
}
