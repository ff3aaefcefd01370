import { runMain } from "@cdh/core/cli";
import { PrintRbacCommand } from "./commands/print-rbac.ts";
import { PruneCommand } from "./commands/prune.ts";
import { ServeCommand } from "./commands/serve.ts";
import { VERSION } from "./version.ts";

await runMain({
  name: "cdh-api",
  label: "cdh-api: the store as a Kubernetes API, as REST and as a page",
  version: VERSION,
  // Downloads may end for 20 s; Kubernetes waits for 30.
  graceMs: 25_000,
  commands: [ServeCommand, PruneCommand, PrintRbacCommand],
});
