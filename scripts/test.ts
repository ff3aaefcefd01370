import { spawnSync } from "node:child_process";
import path from "node:path";
import process from "node:process";
/**
 * Build, then run the tests: `npm test -- [vitest arguments]`.
 *
 * All projects run in one vitest run; a path or `--project unit` narrows it down.
 */
import { statusOfSignal } from "@cdh/core/exit-status";
import { root } from "./build/paths.ts";

const build = spawnSync(process.execPath, [path.join(root, "scripts", "build.ts"), "--quiet"], {
  cwd: root,
  stdio: "inherit",
});
if (build.error !== undefined) throw build.error;
if (build.status !== 0) process.exit(build.status ?? statusOfSignal(build.signal ?? "SIGINT"));

// Become vitest: signals then reach it directly, and its exit status is ours.
const vitest = path.join(root, "node_modules", "vitest", "vitest.mjs");
process.chdir(root);
process.execve?.(process.execPath, [process.execPath, vitest, "run", ...process.argv.slice(2)], process.env);
