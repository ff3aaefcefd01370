import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Command, Option } from "clipanion";
import { CdhCommand, EXIT_STATUS_HELP } from "@cdh/core/cli";
import { CdhError, reasonOf } from "@cdh/core/errors";
import { parseKernelArguments } from "@cdh/core/kernel/arguments";
import { makeRoots } from "@cdh/core/roots";
import { formatBytes, formatDuration } from "@cdh/core/units";
import { compose } from "../compose.ts";
import { readSettings } from "../kernel-mode.ts";
import { descriptorInput } from "../self/input.ts";
import { loadNative } from "../self/load-native.ts";
import { VERSION } from "../version.ts";

/** `cdc replay CORE [-x=value …]`: make a bundle of a saved core, as if the kernel had just written it. */
export class ReplayCommand extends CdhCommand {
  static override paths = [["replay"]];
  static override usage = Command.Usage({
    description: "Make a bundle of a saved core, as if the kernel had just written it.",
    details: `After CORE come the kernel's own words: -P=PID -s=SIGNAL -e=COMM -h=HOSTNAME -t=SECONDS -d=CORE_DIR and so on. Settings come from the environment and from .env beside cdc, as for the kernel; the rate limit does not apply.\n\nEXIT STATUS: ${EXIT_STATUS_HELP}`,
    examples: [
      ["Bundle a saved core into /tmp/cores", "cdc replay core.1234 -d=/tmp/cores -s=11 -e=server"],
      ["Read the core from a pipe", "zstd -dc core.zst | cdc replay /dev/stdin -d=/tmp/cores"],
    ],
  });

  core = Option.String({ name: "CORE" });
  words = Option.Proxy({ name: "-x=value …" });

  async run(): Promise<number> {
    const crash = parseKernelArguments(this.words);
    const exeDir = dirname(process.execPath);
    const { settings, problems } = readSettings(exeDir, crash, this.context.env);
    const native = await loadNative();
    const file = await open(this.core, constants.O_RDONLY).catch((error: unknown) => {
      throw new CdhError("CDH_NOT_FOUND", `cannot read ${this.core}: ${reasonOf(error)}`);
    });
    const outcome = await compose({
      input: { ...descriptorInput(file.fd), close: async () => file.close().catch(() => {}) },
      crash,
      // Without the host's pid there is no pod to ask the runtime about.
      settings: { ...settings, rateLimit: undefined, ignoreCrio: settings.ignoreCrio || crash.pid === undefined },
      coreDir: crash.dir || settings.coreDir || join(exeDir, "cores"),
      exeDir,
      roots: makeRoots({ procRoot: settings.procRoot }),
      clock: this.context.clock,
      log: this.logger(),
      native,
      version: VERSION,
      problems,
      // What follows may wait for whoever reads it.
    }).finally(() => native.alarm(0));
    if (outcome.kind === "skipped") this.say(`not kept: ${outcome.reason}`);
    else {
      const { core, composer } = outcome.manifest;
      const whole = core.complete ? "complete" : `cut short (${core.truncatedBy ?? "unknown"})`;
      this.say(outcome.path);
      this.say(
        `${formatBytes(core.sizeBytes)} of core, ${whole}, ${formatBytes(core.storedBytes)} stored, ${formatDuration(composer.durationMs ?? 0)}`,
      );
    }
    return outcome.exitCode;
  }
}
