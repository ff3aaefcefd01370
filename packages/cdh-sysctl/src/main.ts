import { runMain } from "@cdh/core/cli";
import { DoctorCommand } from "./commands/doctor.ts";
import { InstallCommand } from "./commands/install.ts";
import { RestoreCommand } from "./commands/restore.ts";
import { StatusCommand } from "./commands/status.ts";
import { WatchCommand } from "./commands/watch.ts";
import { VERSION } from "./version.ts";

await runMain({
  name: "cdh-sysctl",
  label: "cdh-sysctl: installs, keeps and restores the composer on a node",
  version: VERSION,
  commands: [InstallCommand, WatchCommand, RestoreCommand, StatusCommand, DoctorCommand],
});
