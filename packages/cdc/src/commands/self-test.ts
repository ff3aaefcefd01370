import { Command } from "clipanion";
import { CdhCommand, EXIT_STATUS_HELP } from "@cdh/core/cli";
import { selfTest } from "../self/self-test.ts";

/** `cdc --self-test`: prove that the executable works where it stands. */
export class SelfTestCommand extends CdhCommand {
  static override paths = [["--self-test"]];
  static override usage = Command.Usage({
    description: "Prove that this executable works on this machine; writes nothing.",
    details: `cdh-sysctl runs it on the node before the kernel is told to.\n\nEXIT STATUS: ${EXIT_STATUS_HELP}`,
    examples: [["Test the installed composer", "/var/mnt/core-dump-handler/cdc --self-test"]],
  });

  async run(): Promise<void> {
    for (const check of await selfTest()) this.say(`✓ ${check}`);
  }
}
