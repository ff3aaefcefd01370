import { runMain } from "@cdh/core/cli";
import { CheckCommand } from "./commands/check.ts";
import { RunCommand } from "./commands/run.ts";
import { SweepCommand } from "./commands/sweep.ts";
import { VERSION } from "./version.ts";

await runMain({
  name: "cdh-upload",
  label: "cdh-upload: moves bundles from a node's spool to the store",
  version: VERSION,
  commands: [RunCommand, SweepCommand, CheckCommand],
});
