import { Command, Option } from "clipanion";
import type { Bundle, BundleEntry } from "@cdh/core/bundle/reader";
import { containerIndexOf } from "@cdh/core/bundle/reader-roles";
import { EXIT_STATUS_HELP } from "@cdh/core/cli";
import { textFlag } from "@cdh/core/cli/flags";
import { CdhError } from "@cdh/core/errors";
import { containerNames, logEntries, parseContainerNames } from "@cdh/core/report/bundle-logs";
import { lastLines } from "@cdh/core/report/report";
import { writeSafely } from "../text/safe-output.ts";
import { InspectCommand } from "./inspect-command.ts";
import { BUNDLE_HELP } from "./show.ts";

const LOG_MAX_BYTES = 64 * 1024 * 1024;

/** Print what the containers logged before the crash. */
export class LogsCommand extends InspectCommand {
  static override paths = [["logs"]];

  static override usage = Command.Usage({
    category: "Look",
    description: "what the pod's containers logged before the crash",
    details: `
      ${BUNDLE_HELP}

      On a terminal, escape sequences in the log are made visible; into a pipe it goes byte by byte.

      EXIT STATUS: ${EXIT_STATUS_HELP}.
    `,
    examples: [
      ["All of it", "$0 logs crash.zip"],
      ["The last lines of one container", "$0 logs -c app --tail 50 s3://cores/payments/3f2a"],
    ],
  });

  bundle = Option.String({ name: "BUNDLE" });
  container = textFlag("-c,--container", "CONTAINER", "name of the container, or its number in the bundle");
  tail = textFlag("--tail", "NUMBER", "only so many of the last lines");

  override async run(): Promise<void> {
    if (this.tail !== undefined && !/^\d{1,9}$/.test(this.tail))
      throw new CdhError("CDH_CONFIG_INVALID", `--tail ${this.tail}: a number of lines`);
    await this.withOpened(this.bundle, async (opened) => {
      const { bundle } = opened;
      const entries = bundle === undefined ? [] : logEntries(bundle);
      if (bundle === undefined || entries.length === 0)
        throw new CdhError("CDH_NOT_FOUND", `${opened.label} holds no logs`);
      const names = await containerNames(bundle, parseContainerNames);
      const chosen = entries.filter(
        (entry) => this.container === undefined || matches(this.container, indexOf(bundle, entry), names),
      );
      if (chosen.length === 0) {
        const known = entries.map((entry) => names[indexOf(bundle, entry)] ?? String(indexOf(bundle, entry)));
        throw new CdhError("CDH_NOT_FOUND", `no log of a container ${this.container}`, {
          hint: `one of ${known.join(", ")}`,
        });
      }
      for (const entry of chosen) {
        if (chosen.length > 1) this.say(`==> ${names[indexOf(bundle, entry)] ?? entry.name} <==`);
        let text = await bundle.read(entry, { maxBytes: LOG_MAX_BYTES, signal: this.context.stopSignal });
        if (this.tail !== undefined)
          text = Buffer.from(
            lastLines(text.toString("latin1"), Number(this.tail))
              .map((line) => `${line}\n`)
              .join(""),
            "latin1",
          );
        await writeSafely(this.context.stdout, [text], this.context.stopSignal);
      }
    });
  }
}

function indexOf(bundle: Bundle, entry: BundleEntry): number {
  return containerIndexOf(entry.name, bundle.name ?? "") ?? 0;
}

function matches(wanted: string, index: number, names: readonly (string | undefined)[]): boolean {
  return names[index] === wanted || String(index) === wanted;
}
