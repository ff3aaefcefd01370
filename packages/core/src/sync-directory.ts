import { open } from "node:fs/promises";
import { errnoOf } from "./errors.ts";

/** Flush a directory, so that a name in it outlives a power cut. */
export async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } catch (error) {
    // Some network file systems cannot flush a directory; the file itself is flushed.
    if (errnoOf(error) !== "EINVAL" && errnoOf(error) !== "ENOTSUP") throw error;
  } finally {
    await handle.close();
  }
}
