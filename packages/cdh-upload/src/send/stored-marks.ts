import { lstat, readdir, rm, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "@cdh/core/clock";
import { errnoOf } from "@cdh/core/errors";
import { storedMarks, storedMarksFolder } from "@cdh/core/spool/binaries";
import { FILE_MODE } from "@cdh/core/spool/layout";
import { makeOwnDirectory } from "@cdh/core/spool/spool-owner";

/** The store is asked again after this whether it still has a file: somebody may have removed it. */
const MARK_MS = 7 * 24 * 3600e3;
/** Build-ids that are remembered; the oldest are forgotten first. */
const MARKS_MAX = 10_000;
const TIDY_MS = 3600e3;

/** What the stores have, as this node remembers it. */
export class StoredMarks {
  readonly #coreDir: string;
  readonly #hasRules: boolean;
  readonly #clock: Clock;
  #tidyAt = Number.NEGATIVE_INFINITY;

  /** @param hasRules whether some namespaces have stores of their own */
  constructor({ coreDir, hasRules, clock }: { coreDir: string; hasRules: boolean; clock: Clock }) {
    this.#coreDir = coreDir;
    this.#hasRules = hasRules;
    this.#clock = clock;
  }

  /** Remember that the store of a namespace has a build-id. @throws what the file system throws */
  async add(buildId: string, namespace: string | undefined): Promise<void> {
    const { all, own } = storedMarks(buildId, namespace);
    const folder = storedMarksFolder(this.#coreDir);
    await makeOwnDirectory(folder);
    const path = join(folder, this.#hasRules ? own : all);
    await writeFile(path, "", { mode: FILE_MODE });
    await utimes(path, this.#clock.now() / 1000, this.#clock.now() / 1000);
  }

  /** Forget what was stored long ago, and what is too much to remember. @throws what the file system throws */
  async tidy(): Promise<void> {
    if (this.#clock.monotonic() < this.#tidyAt) return;
    this.#tidyAt = this.#clock.monotonic() + TIDY_MS;
    const folder = storedMarksFolder(this.#coreDir);
    const marks: { path: string; at: number }[] = [];
    for (const name of await namesIn(folder)) {
      const path = join(folder, name);
      const stats = await lstat(path).catch(() => undefined);
      if (stats !== undefined) marks.push({ path, at: stats.mtimeMs });
    }
    const newestFirst = marks.toSorted((a, b) => b.at - a.at);
    for (const [index, { path, at }] of newestFirst.entries())
      if (index >= MARKS_MAX || this.#clock.now() - at > MARK_MS) await rm(path, { force: true });
  }
}

/** List a folder that may not be there. @throws what the file system throws */
export async function namesIn(folder: string): Promise<string[]> {
  return await readdir(folder).catch((error: unknown) => {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  });
}
