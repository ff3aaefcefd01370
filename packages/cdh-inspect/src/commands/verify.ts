import { Command, Option } from "clipanion";
import { EXIT_STATUS_HELP, parseOutputFormat } from "@cdh/core/cli";
import { formatFlag } from "@cdh/core/cli/flags";
import { EXIT } from "@cdh/core/errors";
import { printable, stringifyJson } from "@cdh/core/output";
import { startProgress } from "@cdh/core/progress";
import type { Paint } from "@cdh/core/report/paint";
import { verify, type Finding } from "../read/verify.ts";
import { InspectCommand } from "./inspect-command.ts";
import { BUNDLE_HELP } from "./show.ts";

/** Check everything that a bundle promises. */
export class VerifyCommand extends InspectCommand {
  static override paths = [["verify"]];

  static override usage = Command.Usage({
    category: "Take out",
    description: "check structure, checksums, hashes, the seek table and whether the core is whole",
    details: `
      ${BUNDLE_HELP}

      Prints one line per finding. Reads everything once; nothing is written.

      EXIT STATUS: ${EXIT_STATUS_HELP}. 0 when all is right, 3 when it is undamaged but not whole (a cut core, no manifest to
      compare with), 16 when something is damaged. What could not be collected at the crash is a note.
    `,
    examples: [
      ["A bundle", "$0 verify crash.zip"],
      ["In a store, for a script", "$0 verify -o jsonl s3://cores/payments/3f2a"],
    ],
  });

  bundle = Option.String({ name: "BUNDLE" });
  output = formatFlag();

  override async run(): Promise<number> {
    const format = parseOutputFormat(this.output);
    return this.withOpened(this.bundle, async (opened) => {
      const { stderr, clock, stopSignal } = this.context;
      const progress = startProgress(stderr, clock, "verify", opened.manifest.core.sizeBytes || undefined);
      const findings: Finding[] = [];
      try {
        for await (const finding of verify(opened, { signal: stopSignal, onProgress: progress.update })) {
          findings.push(finding);
          if (format === "jsonl") this.write(`${stringifyJson(finding)}\n`);
          if (format !== "table") continue;
          progress.end();
          this.write(formatFinding(finding, opened.manifest.bundle, this.paint()));
        }
      } finally {
        progress.end();
      }
      const status = statusOf(findings);
      if (format === "json")
        this.write(`${stringifyJson({ bundle: opened.label, ok: status === EXIT.ok, findings }, 2)}\n`);
      if (format === "table") this.say(`${printable(opened.label)}: ${VERDICTS[status] ?? ""}`);
      return status;
    });
  }
}

const VERDICTS: Record<number, string> = {
  [EXIT.ok]: "all right",
  [EXIT.incomplete]: "undamaged, but see the warnings",
  [EXIT.damaged]: "damaged",
};

function statusOf(findings: readonly Finding[]): number {
  if (findings.some((finding) => finding.level === "damaged")) return EXIT.damaged;
  return findings.some((finding) => finding.level === "warning") ? EXIT.incomplete : EXIT.ok;
}

function formatFinding({ level, subject, message, code }: Finding, bundle: string, paint: Paint): string {
  const mark = {
    ok: paint.green("ok      "),
    note: paint.dim("note    "),
    warning: paint.yellow("warning "),
    damaged: paint.red("DAMAGED "),
  }[level];
  return `${mark} ${printable(shortEntry(subject, bundle))}: ${printable(message)}${code === undefined ? "" : ` (${printable(code)})`}\n`;
}

/** An entry's name without the bundle's own, which every entry begins with; `cat` takes it so too. */
function shortEntry(subject: string, bundle: string): string {
  const stem = bundle.replace(/\.zip$/, "");
  return subject.startsWith(`${stem}-`) || subject.startsWith(`${stem}.`) ? subject.slice(stem.length + 1) : subject;
}
