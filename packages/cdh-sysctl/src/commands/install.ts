import { Command, Option } from "clipanion";
import { EXIT_STATUS_HELP } from "@cdh/core/cli";
import { EXIT } from "@cdh/core/errors";
import { faultHook } from "../change/fault-injection.ts";
import { planInstall } from "../change/install.ts";
import { applyInstall } from "../change/run-plan.ts";
import { describeStep, type StepResult } from "../change/steps.ts";
import type { ProofOptions } from "../check/proof.ts";
import { proveInstall } from "../check/prove-install.ts";
import { endLease } from "../watch/lease.ts";
import { prepareInstall, type InstallContext } from "./context.ts";
import { NodeCommand } from "./node-command.ts";
import { planLines, stepLines } from "./step-lines.ts";

/** `cdh-sysctl install` */
export class InstallCommand extends NodeCommand {
  static override paths = [["install"]];
  static override usage = Command.Usage({
    category: "Node",
    description: "put the composer on this node and make the kernel start it for every crash",
    details: `
      Copies the composer into HOST_DIR, proves that it runs there, saves the node's own kernel settings, and only then
      sets \`kernel.core_pipe_limit\`, \`kernel.core_pattern\` and \`fs.suid_dumpable\`. Then it crashes a small program of
      its own: when the kernel hands nothing over, the values are taken back. Running it again upgrades in place,
      and changes nothing where everything is as it should be. Settings of the composer come as \`COMP_*\` or \`--set\`.

      Exit status: ${EXIT_STATUS_HELP}
    `,
    examples: [
      ["Install with the defaults", "cdh-sysctl install"],
      ["See what it would do", "cdh-sysctl install --dry-run"],
      [
        "Install for a node whose root is mounted in a container",
        "cdh-sysctl install --host-root /host --proc-root /host/proc",
      ],
    ],
  });

  dryRun = Option.Boolean("--dry-run", false, { description: "Print the plan and change nothing" });

  async run(): Promise<number> {
    const inputs = this.inputs();
    const context = prepareInstall(inputs);
    if (this.printConfig) return this.showSettings(context);
    const { node, desired, problems } = context;
    if (problems.length > 0 || desired === undefined) this.refuse(`cannot install into ${node.hostDir}`, problems);
    if (this.dryRun)
      return this.#showPlan(
        planInstall(node, desired)
          .filter((step) => step.changes)
          .map((step) => describeStep(step, "done")),
        context,
      );

    const table = this.format() === "table";
    const fault = faultHook(this.context.env);
    const { proveCapture, doctorTimeoutMs: timeoutMs } = context.settings;
    const proof: ProofOptions = { mode: desired.mode, timeoutMs, signal: this.context.stopSignal };
    // What is installed by hand stays until it is taken away: nobody renews a lease for it.
    endLease(node);
    const steps = await applyInstall(node, desired, {
      ...(proveCapture ? { prove: () => proveInstall(node, proof) } : {}),
      lockTimeoutMs: context.settings.lockTimeoutMs,
      signal: this.context.stopSignal,
      after: async (step) => {
        if (table && step.outcome !== "unchanged") for (const line of stepLines(step)) this.say(line);
        await fault(step);
      },
    });
    const changed = steps.some((step) => step.outcome === "done");
    const unproved = steps.some((step) => step.outcome === "unproved");
    if (!table) this.printJson({ steps, changed, hostDir: node.hostDir, coreDir: node.coreDir, notes: context.notes });
    else {
      for (const note of context.notes) this.say(`! ${note}`);
      this.say(
        changed
          ? `✓ installed: the kernel hands every crash to ${node.hostDir}/cdc, bundles go to ${node.coreDir}`
          : "✓ nothing to do: everything is installed and set already",
      );
      if (unproved) this.say("! but whether a crash arrives is not proved: cdh-sysctl doctor tries it again");
    }
    return this.endedBy(unproved ? EXIT.incomplete : EXIT.ok);
  }

  #showPlan(steps: StepResult[], context: InstallContext): number {
    const { node, notes } = context;
    if (this.format() !== "table")
      this.printJson({
        plan: steps.map(({ outcome: _outcome, ...step }) => step),
        hostDir: node.hostDir,
        coreDir: node.coreDir,
        notes,
      });
    else {
      for (const step of steps) for (const line of planLines(step)) this.say(line);
      for (const note of notes) this.say(`! ${note}`);
      this.say(
        steps.length === 0
          ? "nothing to do: everything is installed and set already"
          : `${steps.length} changes planned, nothing was changed`,
      );
    }
    return EXIT.ok;
  }
}
