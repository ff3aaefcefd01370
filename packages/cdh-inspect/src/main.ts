import { runMain } from "@cdh/core/cli";
import { BtCommand } from "./commands/bt.ts";
import { CatCommand } from "./commands/cat.ts";
import { DebugCommand } from "./commands/debug.ts";
import { LogsCommand } from "./commands/logs.ts";
import { ModulesCommand } from "./commands/modules.ts";
import { ThreadsCommand } from "./commands/threads.ts";
import { LsCommand } from "./commands/ls.ts";
import { ReportCommand } from "./commands/report.ts";
import { ShowCommand } from "./commands/show.ts";
import { UnpackCommand } from "./commands/unpack.ts";
import { VerifyCommand } from "./commands/verify.ts";
import { VERSION } from "./version.ts";

await runMain({
  name: "cdh-inspect",
  label: "cdh-inspect: reads bundles: what crashed, where and why",
  version: VERSION,
  commands: [
    LsCommand,
    ShowCommand,
    ReportCommand,
    BtCommand,
    DebugCommand,
    ThreadsCommand,
    ModulesCommand,
    LogsCommand,
    CatCommand,
    UnpackCommand,
    VerifyCommand,
  ],
});
