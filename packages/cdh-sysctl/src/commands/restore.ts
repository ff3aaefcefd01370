import { Command } from "clipanion";
import { EXIT_STATUS_HELP } from "@cdh/core/cli";
import { EXIT } from "@cdh/core/errors";
import { faultHook } from "../change/fault-injection.ts";
import { checkPrivileges } from "../change/preflight.ts";
import { applyRestore } from "../change/run-plan.ts";
import { resolveNode } from "./context.ts";
import { NodeCommand } from "./node-command.ts";
import { stepLines } from "./step-lines.ts";

/** `cdh-sysctl restore`, alias `remove` */
export class RestoreCommand extends NodeCommand {
  static override paths = [["restore"], ["remove"]];
  static override usage = Command.Usage({
    category: "Node",
    description: "give the kernel the node's own settings back and remove our files",
    details: `
      Puts a value back only while the current one is ours; what somebody else has set meanwhile is left, and the exit
      status is 3 then. Cores in CORE_DIR are never removed. It can be run again at any time.

      Exit status: ${EXIT_STATUS_HELP}
    `,
    examples: [["Restore", "cdh-sysctl restore"]],
  });

  async run(): Promise<number> {
    const context = resolveNode(this.inputs(), true);
    if (this.printConfig) return this.showSettings(context);
    const { node, settings } = context;
    // Directories that others can write to are a reason not to install, and none not to clean up.
    const problems = [
      ...checkPrivileges(node),
      ...context.problems.filter(({ code }) => code === "CDH_CONFIG_INVALID"),
    ];
    const table = this.format() === "table";
    if (problems.length > 0) this.refuse(`cannot restore ${node.hostDir}`, problems);
    const fault = faultHook(this.context.env);
    const { steps, left, kept } = await applyRestore(node, {
      lockTimeoutMs: settings.lockTimeoutMs,
      signal: this.context.stopSignal,
      configured: { core_pipe_limit: String(settings.corePipeLimit), suid_dumpable: String(settings.suidDumpable) },
      after: async (step) => {
        if (table && step.outcome !== "unchanged") for (const line of stepLines(step)) this.say(line);
        await fault(step);
      },
    });
    const failed = steps.some((step) => step.outcome === "failed");
    const changed = steps.some((step) => step.outcome === "done");
    if (!table) this.printJson({ steps, changed, left, kept });
    else {
      for (const { what, reason } of left) this.say(`! left ${what}: ${reason}`);
      for (const { what, reason } of kept) this.say(`! kept ${what}: ${reason}`);
      this.say(
        failed || left.length > 0
          ? "! restored, but not everything: see above, and run it again"
          : changed
            ? "✓ restored"
            : "✓ nothing to do: nothing of ours is here",
      );
    }
    return failed || left.length > 0 ? EXIT.incomplete : EXIT.ok;
  }
}
