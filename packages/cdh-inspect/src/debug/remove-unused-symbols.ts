import { readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";

/** As long as debuginfod's clients keep theirs. */
const UNUSED_MAX_MS = 7 * 24 * 3_600_000;

/**
 * Remove what nobody has used for a week from the caches of all places. What cannot be removed stays.
 * @param now epoch milliseconds
 */
export async function removeUnusedSymbols(folder: string, now: number): Promise<void> {
  for (const place of await namesIn(folder))
    for (const buildId of await namesIn(join(folder, place))) {
      const path = join(folder, place, buildId);
      const stats = await stat(path).catch(() => undefined);
      if (stats === undefined || now - stats.mtimeMs <= UNUSED_MAX_MS) continue;
      await rm(path, { recursive: true, force: true }).catch(() => {});
    }
}

async function namesIn(folder: string): Promise<string[]> {
  return await readdir(folder).catch(() => []);
}
