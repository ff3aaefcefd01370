import { runMain } from "@cdh/core/cli";
import { threadsFor } from "./threads.ts";

// It is read when the first of the pool's threads starts.
process.env["UV_THREADPOOL_SIZE"] ??= String(threadsFor(process.env));

const [{ CheckCommand }, { RunCommand }, { SweepCommand }, { VERSION }] = await Promise.all([
  import("./commands/check.ts"),
  import("./commands/run.ts"),
  import("./commands/sweep.ts"),
  import("./version.ts"),
]);

await runMain({
  name: "cdh-upload",
  label: "cdh-upload: moves bundles from a node's spool to the store",
  version: VERSION,
  commands: [RunCommand, SweepCommand, CheckCommand],
});
