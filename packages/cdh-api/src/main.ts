import { runMain } from "@cdh/core/cli";
import { PrintRbacCommand } from "./commands/print-rbac.ts";
import { PruneCommand } from "./commands/prune.ts";
import { ServeCommand } from "./commands/serve.ts";
import { VERSION } from "./version.ts";

await runMain({
  name: "cdh-api",
  label: "cdh-api: the store as a Kubernetes API, as REST and as a page",
  version: VERSION,
  commands: [ServeCommand, PruneCommand, PrintRbacCommand],
});
