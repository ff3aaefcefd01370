import { readFileSync } from "node:fs";

/** More rules are refused. */
const RULES_MAX = 64;
/** Calls that may be in the directory of one rule at the same time. */
const PER_RULE = 2;

/**
 * Say how many threads the pool needs for calls of files. Each upload may be in one that hangs, and then the spool, its
 * state and the metrics need theirs; so may the uploads to each directory of the rules.
 * @param env the program's environment
 */
export function threadsFor(env: Readonly<Record<string, string | undefined>>): number {
  return 8 + Math.min(64, Number(env["UPLOAD_CONCURRENCY"]) || 8) + PER_RULE * directoriesIn(env["STORE_RULES"]);
}

/** Count the rules with a directory, roughly: what is wrong with the file is said later. */
function directoriesIn(path: string | undefined): number {
  if (path === undefined || path === "") return 0;
  try {
    const urls = readFileSync(path, "utf8").match(/"file:/g);
    return Math.min(RULES_MAX, urls?.length ?? 0);
  } catch {
    return 0;
  }
}
