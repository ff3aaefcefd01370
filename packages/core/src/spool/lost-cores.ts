import { readdir, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { systemClock } from "../base/clock.ts";
import { makeFolders } from "../files/make-folders.ts";
import { DIRECTORY_MODE, FILE_MODE, STATE_DIRECTORY } from "./layout.ts";

// Whole cores that were given up before the store had them: they stand for no other core. An empty file each, named by the crash.

const CRASH_ID = /^[\w-]{1,64}$/;
/** Marks matter for as long as a window of KEEP_PER_SITE; the uploader removes older ones. */
const OLD_MS = 8 * 24 * 3_600_000;
const MAX = 4096;

function directoryOf(coreDir: string): string {
  return join(coreDir, STATE_DIRECTORY, "lost-cores");
}

/** Note that the bundle of a crash is gone. @throws the system's error */
export async function noteLostCore(coreDir: string, crashId: string): Promise<void> {
  if (!CRASH_ID.test(crashId)) return;
  const directory = directoryOf(coreDir);
  await makeFolders(directory, DIRECTORY_MODE);
  const names = await readdir(directory);
  for (const name of names) {
    const path = join(directory, name);
    if (systemClock.now() - (await stat(path)).mtimeMs > OLD_MS) await rm(path, { force: true });
  }
  if (names.length >= MAX) return;
  await writeFile(join(directory, crashId), "", { mode: FILE_MODE });
}

/** List the crashes whose bundles are gone; none where that is not known. */
export async function lostCores(coreDir: string): Promise<ReadonlySet<string>> {
  return new Set(await readdir(directoryOf(coreDir)).catch(() => []));
}
