import { Command } from "clipanion";
import { EXIT_STATUS_HELP } from "@cdh/core/cli";
import { EXIT } from "@cdh/core/errors";
import { formatTable, printable } from "@cdh/core/output";
import { formatBytes, formatDuration } from "@cdh/core/units";
import { checkPrivileges, checkRoot } from "../change/preflight.ts";
import type { NodeStatus, ValueStatus } from "../check/node-status.ts";
import { describeComplaints, readStatus } from "../check/status.ts";
import { resolveNode, wantedValues } from "./context.ts";
import { NodeCommand } from "./node-command.ts";

/** `cdh-sysctl status` */
export class StatusCommand extends NodeCommand {
  static override paths = [["status"]];
  static override usage = Command.Usage({
    category: "Node",
    description: "compare what this node has with what it should have",
    details: `
      Shows each kernel setting as it should be, is, and was before us; the composer; the bundles that wait; who else on
      this node sets the same values; and whether a crash arrives, by a small one of its own (\`--prove-capture=false\`
      leaves it out). Exit status 0 when everything is as it should be, 17 when it is not.

      Exit status: ${EXIT_STATUS_HELP}
    `,
    examples: [["For scripts", "cdh-sysctl status -o json"]],
  });

  async run(): Promise<number> {
    const context = resolveNode(this.inputs(), true);
    if (this.printConfig) return this.showSettings(context);
    const { node, mode } = context;
    const invalid = context.problems.filter(({ code }) => code === "CDH_CONFIG_INVALID");
    const problems = [...checkRoot(), ...invalid];
    if (problems.length > 0) this.refuse("cannot tell the status", problems);
    const { proveCapture, doctorTimeoutMs: timeoutMs } = context.settings;
    const prove = proveCapture && checkPrivileges(node).length === 0;
    const status = await readStatus(
      node,
      mode,
      wantedValues(context),
      prove ? { timeoutMs, signal: this.context.stopSignal } : undefined,
    );
    if (this.format() === "table") this.#show(status);
    else this.printJson(status);
    return this.endedBy(status.healthy ? EXIT.ok : EXIT.owned);
  }

  #show(status: NodeStatus): void {
    const { composer, spool } = status;
    this.context.stdout.write(
      formatTable<ValueStatus>(
        [
          { header: "", value: ({ drift }) => (drift ? "✗" : "✓") },
          { header: "SETTING", value: ({ name }) => name },
          { header: "ACTUAL", value: ({ actual }) => actual },
          { header: "DESIRED", value: ({ desired, drift }) => (drift ? desired : "same") },
          { header: "SAVED", value: ({ backup, backupProblem }) => backup ?? backupProblem ?? "-" },
        ],
        status.values,
      ),
    );
    this.say();
    this.say(`composer   ${composer.path}${composer.installed ? "" : " (not installed)"}`);
    if (composer.installed) {
      this.say(
        `           ${printable(composer.version ?? "does not run")}, ${formatBytes(composer.sizeBytes ?? 0)}, sha256 ${composer.sha256?.slice(0, 12) ?? "-"}${composer.installedAt === undefined ? "" : `, installed ${composer.installedAt}`}`,
      );
    }
    this.say(
      `spool      ${spool.coreDir}: ${spool.bundleCount} bundles, ${formatBytes(spool.bundleBytes)}${spool.oldestAgeMs === undefined ? "" : `, oldest ${formatDuration(spool.oldestAgeMs)} old`}${spool.freeBytes === undefined ? "" : `, ${formatBytes(spool.freeBytes)} free`}`,
    );
    if (spool.partialCount > 0) this.say(`           ${spool.partialCount} being written`);
    if (spool.quarantineCount > 0) this.say(`           ${spool.quarantineCount} in quarantine`);
    if (spool.lastBundle !== undefined)
      this.say(`           last ${printable(spool.lastBundle.name)} at ${spool.lastBundle.at}`);
    this.say(`capture    ${status.capture === undefined ? "not proved" : printable(status.capture.finding)}`);
    if (status.capture?.advice !== undefined) this.say(`           ${printable(status.capture.advice)}`);
    const complaints = status.kernelLog === undefined ? undefined : describeComplaints(status.kernelLog);
    if (complaints !== undefined) this.say(`! ${printable(complaints)}`);
    if (status.runtimeLimits !== undefined) this.say(`! ${printable(status.runtimeLimits)}`);
    for (const owner of status.owners) this.say(`! ${printable(`${owner.name} ${owner.effect} (${owner.path})`)}`);
    for (const problem of status.problems) this.say(`✗ ${printable(problem)}`);
    const drifted = status.values.some(({ drift }) => drift) || !status.composer.installed;
    if (!status.healthy)
      this.say(drifted ? "✗ not as it should be: cdh-sysctl install puts it right" : "✗ not as it should be");
    else
      this.say(status.capture === undefined ? "✓ as it should be; whether a crash arrives was not tried" : "✓ healthy");
  }
}
