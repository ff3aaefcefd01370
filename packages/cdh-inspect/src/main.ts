import { runMain } from "@cdh/core/cli";
import { BtCommand } from "./commands/bt.ts";
import { CatCommand } from "./commands/cat.ts";
import { DebugCommand } from "./commands/debug.ts";
import { GetCommand } from "./commands/get.ts";
import { GoroutinesCommand } from "./commands/goroutines.ts";
import { GroupsCommand } from "./commands/groups.ts";
import { LogsCommand } from "./commands/logs.ts";
import { LsCommand } from "./commands/ls.ts";
import { ModulesCommand } from "./commands/modules.ts";
import { ReportCommand } from "./commands/report.ts";
import { ShowCommand } from "./commands/show.ts";
import { StatusCommand } from "./commands/status.ts";
import { SymbolsFindCommand } from "./commands/symbols-find.ts";
import { SymbolsLsCommand } from "./commands/symbols-ls.ts";
import { SymbolsPruneCommand } from "./commands/symbols-prune.ts";
import { SymbolsPushCommand } from "./commands/symbols-push.ts";
import { ThreadsCommand } from "./commands/threads.ts";
import { UnpackCommand } from "./commands/unpack.ts";
import { VerifyCommand } from "./commands/verify.ts";
import { PLUGIN, rewriteCounts, startedAsPlugin } from "./kube/plugin.ts";
import { keepHeapSmall } from "./small-memory.ts";
import { VERSION } from "./version.ts";

const isPlugin = startedAsPlugin(process.argv[1]);
const args = process.argv.slice(2);

keepHeapSmall();
await runMain(
  {
    name: isPlugin ? PLUGIN : "cdh-inspect",
    label: isPlugin
      ? "kubectl coredump: crashes of your pods, with your own rights"
      : "cdh-inspect: reads bundles: what crashed, where and why",
    version: VERSION,
    commands: [
      LsCommand,
      GroupsCommand,
      ShowCommand,
      ReportCommand,
      GetCommand,
      StatusCommand,
      BtCommand,
      DebugCommand,
      ThreadsCommand,
      GoroutinesCommand,
      ModulesCommand,
      LogsCommand,
      CatCommand,
      UnpackCommand,
      VerifyCommand,
      SymbolsPushCommand,
      SymbolsFindCommand,
      SymbolsLsCommand,
      SymbolsPruneCommand,
    ],
  },
  rewriteCounts(args),
);
