import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { errnoOf } from "../base/errors.ts";

/**
 * Make a directory and those above it. Node's own recursive mkdir never ends where making one fails with ENOENT although
 * the one above it is there, as /proc does, and mounts whose server forgot them.
 * @param mode of the directories that are made, before the umask
 * @throws the system's error
 */
export async function makeFolders(directory: string, mode = 0o700): Promise<void> {
  const make = async (): Promise<void> => {
    await mkdir(directory, { mode }).catch((error: unknown) => {
      if (errnoOf(error) !== "EEXIST") throw error;
    });
  };
  try {
    await make();
  } catch (error) {
    if (errnoOf(error) !== "ENOENT" || dirname(directory) === directory) throw error;
    await makeFolders(dirname(directory), mode);
    await make();
  }
}
