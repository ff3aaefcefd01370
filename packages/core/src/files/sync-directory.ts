import { closeSync, fsyncSync, openSync } from "node:fs";
import { open } from "node:fs/promises";
import { errnoOf } from "../base/errors.ts";

/** Flush a directory, so that a name in it outlives a power cut. @throws the system's error */
export async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } catch (error) {
    if (!cannotFlush(error)) throw error;
  } finally {
    await handle.close();
  }
}

/** As {@link syncDirectory}, for code that does one thing after the other. @throws the system's error */
export function syncDirectorySync(path: string): void {
  const directory = openSync(path, "r");
  try {
    fsyncSync(directory);
  } catch (error) {
    if (!cannotFlush(error)) throw error;
  } finally {
    closeSync(directory);
  }
}

/** Some network file systems cannot flush a directory; the file itself is flushed, and its rename is atomic all the same. */
function cannotFlush(error: unknown): boolean {
  return errnoOf(error) === "EINVAL" || errnoOf(error) === "ENOTSUP";
}
