import { runMain } from "@cdh/core/cli";
import { LsCommand } from "./commands/ls.ts";
import { ShowCommand } from "./commands/show.ts";
import { UnpackCommand } from "./commands/unpack.ts";
import { VerifyCommand } from "./commands/verify.ts";

await runMain({
  name: "cdh-inspect",
  label: "Reads bundles: what crashed, where and why",
  version: "0.1.0",
  commands: [LsCommand, ShowCommand, UnpackCommand, VerifyCommand],
});
