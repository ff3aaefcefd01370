import { Command } from "clipanion";
import { EXIT_STATUS_HELP } from "@cdh/core/cli";
import { settingFlag } from "@cdh/core/cli/flags";
import { EXIT } from "@cdh/core/errors";
import { printable } from "@cdh/core/output";
import { checkPrivileges } from "../change/preflight.ts";
import type { Check } from "../check/check.ts";
import { examine } from "../check/doctor.ts";
import { sysctlSettings } from "../settings.ts";
import { resolveNode, wantedValues } from "./context.ts";
import { NodeCommand } from "./node-command.ts";

const MARKS: Readonly<Record<Check["outcome"], string>> = { ok: "✓", warning: "!", failed: "✗", skipped: "·" };

/** `cdh-sysctl doctor` */
export class DoctorCommand extends NodeCommand {
  static override paths = [["doctor"]];
  static override usage = Command.Usage({
    category: "Node",
    description: "prove that this node captures crashes, with a real one",
    details: `
      Compares the kernel's values, the composer and the node's limits, and then crashes a tiny program of its own
      through the kernel, waits for its bundle, verifies it and removes it. Exit status 0 only if capture works;
      17 when the kernel's line is somebody else's, 11 otherwise.

      Exit status: ${EXIT_STATUS_HELP}
    `,
    examples: [["Examine this node", "cdh-sysctl doctor"]],
  });

  doctorTimeoutMs = settingFlag(sysctlSettings.doctorTimeoutMs);

  async run(): Promise<number> {
    const context = resolveNode(this.inputs(), true);
    if (this.printConfig) return this.showSettings(context);
    const { node, mode, settings, profile } = context;
    const invalid = context.problems.filter(({ code }) => code === "CDH_CONFIG_INVALID");
    const problems = [...checkPrivileges(node), ...invalid];
    if (problems.length > 0) this.refuse("cannot examine this node", problems);
    const table = this.format() === "table";
    const checks = await examine(node, {
      mode,
      desired: wantedValues(context),
      crictlEndpoint: settings.crictlEndpoint ?? profile.crictlEndpoint,
      timeoutMs: settings.doctorTimeoutMs,
      signal: this.context.stopSignal,
      after: (check) => {
        if (table) this.#show(check);
      },
    });
    const works = checks.every(({ id, outcome }) => id !== "capture" || outcome === "ok" || outcome === "warning");
    const warnings = checks.filter(({ outcome }) => outcome === "warning").length;
    if (!table) this.printJson({ checks, works });
    else
      this.say(
        works ? `✓ capture works${warnings === 0 ? "" : `, with ${warnings} warnings`}` : "✗ capture does not work",
      );
    if (works) return EXIT.ok;
    return checks.some(({ id, outcome }) => id === "core_pattern" && outcome === "failed")
      ? this.endedBy(EXIT.owned)
      : this.endedBy(EXIT.environment);
  }

  #show({ id, outcome, finding, advice }: Check): void {
    this.say(`${MARKS[outcome]} ${id.padEnd(16)} ${printable(finding)}`);
    if (advice !== undefined && outcome !== "ok") this.say(`${" ".repeat(19)}→ ${printable(advice)}`);
  }
}
