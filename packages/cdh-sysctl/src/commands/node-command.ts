import { Option } from "clipanion";
import { CdhCommand, parseOutputFormat } from "@cdh/core/cli";
import { describeSettings } from "@cdh/core/config";
import { EXIT } from "@cdh/core/errors";
import { formatTable, type OutputFormat } from "@cdh/core/output";
import { UsageError } from "clipanion";
import type { Inputs, NodeContext } from "../context.ts";
import { problemsError, type Problem } from "../preflight.ts";
import { sysctlSettings } from "../settings.ts";
import { problemLines } from "./step-lines.ts";

/** Base of every command of cdh-sysctl: the flags that say which node, and how to print. */
export abstract class NodeCommand extends CdhCommand {
  output = Option.String("-o,--output", "table", { description: "table, json or jsonl" });
  hostDir = Option.String("--host-dir", { description: sysctlSettings.hostDir.doc });
  coreDir = Option.String("--core-dir", { description: sysctlSettings.coreDir.doc });
  eventDir = Option.String("--event-dir", { description: sysctlSettings.eventDir.doc });
  profile = Option.String("--profile", { description: sysctlSettings.profile.doc });
  mode = Option.String("--mode", { description: sysctlSettings.mode.doc });
  suidDumpable = Option.String("--suid-dumpable", { description: sysctlSettings.suidDumpable.doc });
  corePipeLimit = Option.String("--core-pipe-limit", { description: sysctlSettings.corePipeLimit.doc });
  composer = Option.String("--composer", { description: sysctlSettings.composer.doc });
  hostRoot = Option.String("--host-root", { description: sysctlSettings.hostRoot.doc });
  procRoot = Option.String("--proc-root", { description: sysctlSettings.procRoot.doc });
  deployCrictlConfig = Option.Boolean("--deploy-crictl-config", { description: sysctlSettings.deployCrictlConfig.doc });
  deployCrictl = Option.Boolean("--deploy-crictl", { description: sysctlSettings.deployCrictl.doc });
  crictl = Option.String("--crictl", { description: sysctlSettings.crictl.doc });
  crictlEndpoint = Option.String("--crictl-endpoint", { description: sysctlSettings.crictlEndpoint.doc });
  lockTimeout = Option.String("--lock-timeout", { description: sysctlSettings.lockTimeoutMs.doc });
  set = Option.Array("--set", { description: "NAME=VALUE: a setting of the composer; stronger than COMP_NAME" });
  printConfig = Option.Boolean("--print-config", false, {
    description: "Show each setting, its value and where it comes from",
  });

  /** Give the flags and the environment to the settings. */
  protected inputs(): Inputs {
    return {
      flags: {
        hostDir: this.hostDir,
        coreDir: this.coreDir,
        eventDir: this.eventDir,
        profile: this.profile,
        mode: this.mode,
        suidDumpable: this.suidDumpable,
        corePipeLimit: this.corePipeLimit,
        composer: this.composer,
        hostRoot: this.hostRoot,
        procRoot: this.procRoot,
        deployCrictlConfig: this.deployCrictlConfig === undefined ? undefined : String(this.deployCrictlConfig),
        deployCrictl: this.deployCrictl === undefined ? undefined : String(this.deployCrictl),
        crictl: this.crictl,
        crictlEndpoint: this.crictlEndpoint,
        lockTimeoutMs: this.lockTimeout,
        ...this.moreFlags(),
      },
      assignments: Object.fromEntries((this.set ?? []).map(splitAssignment)),
      env: this.context.env,
      clock: this.context.clock,
      version: this.context.version,
    };
  }

  /** Flags that only one command has, by the name of their setting. */
  protected moreFlags(): Record<string, string | undefined> {
    return {};
  }

  /** Read `-o`. */
  protected format(): OutputFormat {
    return parseOutputFormat(this.output);
  }

  /** Print the settings; for `--print-config`. */
  protected showConfig(context: NodeContext): number {
    const rows = describeSettings(sysctlSettings, context.resolved);
    if (this.format() === "table") {
      this.context.stdout.write(
        formatTable(
          [
            { header: "SETTING", value: (row) => row.name },
            { header: "VALUE", value: (row) => row.value },
            { header: "SOURCE", value: (row) => row.source },
          ],
          rows,
        ),
      );
    } else this.printJson({ settings: rows });
    return EXIT.ok;
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
