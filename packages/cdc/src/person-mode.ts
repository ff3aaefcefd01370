import { runMain } from "@cdh/core/cli";
import { ReplayCommand } from "./commands/replay.ts";
import { SelfTestCommand } from "./commands/self-test.ts";
import { VERSION } from "./version.ts";

/** Run what a person asked for. Kernel mode never loads this: the command-line library stays out of its way. */
export async function runForPerson(argv: readonly string[]): Promise<void> {
  await runMain(
    {
      name: "cdc",
      label: "cdc: the composer that the kernel starts for every crash",
      version: VERSION,
      commands: [ReplayCommand, SelfTestCommand],
    },
    argv,
  );
}
