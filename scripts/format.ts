/** Write every file in the project's format: `npm run format`. */
import { spawnSync } from "node:child_process";
import { root } from "./build/paths.ts";

const { status } = spawnSync("oxfmt", ["--write", ...process.argv.slice(2)], { cwd: root, stdio: "inherit" });
process.exitCode = status ?? 1;
