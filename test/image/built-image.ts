import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { REPOSITORY } from "../helpers/repository.ts";

const ARCHITECTURE = process.arch === "x64" ? "amd64" : process.arch;
const ARCHIVE = join(REPOSITORY, `.cache/image/core-dump-handler-${ARCHITECTURE}.tar`);

/** The image that test/image/build.sh built of this very commit, as docker's archive; or why there is none. */
export function builtImage(): { path?: string; revision?: string; reason?: string } {
  if (!existsSync(ARCHIVE)) return { reason: "the image is not built (test/image/build.sh)" };
  const revision = readFileSync(`${ARCHIVE}.revision`, "utf8").trim();
  const head = spawnSync("git", ["rev-parse", "HEAD"], { cwd: REPOSITORY, encoding: "utf8" }).stdout.trim();
  if (revision !== head)
    return { reason: `the image is of another commit, ${revision.slice(0, 12)} (test/image/build.sh)` };
  return { path: ARCHIVE, revision };
}
