import { spawnSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { copyFileSync, linkSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { builtPath } from "../helpers/built.ts";

/** What is uploaded: so many bundles of so many MiB, incompressible. */
export interface Load {
  title: string;
  count: number;
  sizeMb: number;
}

/** The loads by their names on the command line. */
export const LOADS = {
  large: { title: "1 × 2 GB", count: 1, sizeMb: 2048 },
  many: { title: "200 × 5 MB", count: 200, sizeMb: 5 },
} satisfies Record<string, Load>;

/** A tenth of a load, to try the bench itself. */
export function tenthOf(load: Load): Load {
  const isOne = load.count === 1;
  return {
    title: `${load.title} (a tenth)`,
    count: isOne ? 1 : Math.ceil(load.count / 10),
    sizeMb: isOne ? Math.floor(load.sizeMb / 10) : load.sizeMb,
  };
}

/**
 * Make a load's bundles in `made`: the composer makes one, stored plain, so that its size is the core's; the others are
 * copies of it under names of their own, files that take room of their own in the page cache.
 */
export function makeBundles(directory: string, load: Load): void {
  const core = join(directory, "core");
  const made = join(directory, "made");
  mkdirSync(made, { mode: 0o700 });
  const filled = spawnSync("dd", ["if=/dev/urandom", `of=${core}`, "bs=1M", `count=${load.sizeMb}`, "status=none"]);
  if (filled.status !== 0) throw new Error(`dd: ${filled.stderr.toString()}`);
  const replayed = spawnSync(builtPath("cdc"), ["replay", core], {
    env: {
      PATH: process.env["PATH"] ?? "",
      CORE_DIR: made,
      COMPRESSION: "none",
      RATE_LIMIT: "0",
      KEEP_PER_SITE: "0",
      IGNORE_CRIO: "true",
    },
  });
  if (replayed.status !== 0 && replayed.status !== 3) throw new Error(`cdc replay: ${replayed.stderr.toString()}`);
  rmSync(core);
  const first = bundlesIn(made)[0] ?? "";
  const anew = (): string => join(made, first.replace(/^[0-9a-f-]{36}/, randomUUID()));
  for (let index = 1; index < load.count; index += 1) copyFileSync(join(made, first), anew());
  renameSync(join(made, first), anew());
  if (bundlesIn(made).length !== load.count) throw new Error(`${first}: the name begins with no id, so copies collide`);
}

/** A fresh spool with the same bundles, as links: cdh-upload deletes what it has sent. */
export function freshSpool(directory: string, name: string): string {
  const spool = join(directory, name);
  mkdirSync(spool, { mode: 0o700 });
  for (const file of bundlesIn(join(directory, "made"))) linkSync(join(directory, "made", file), join(spool, file));
  return spool;
}

/** The bundles in a directory. */
export function bundlesIn(directory: string): string[] {
  return readdirSync(directory).filter((name) => name.endsWith(".zip"));
}
