import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import { open, rename, rm, type FileHandle } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { syncDirectory, syncDirectorySync } from "./sync-directory.ts";

/** How a file is written as a whole. */
export interface AtomicWrite {
  /** Of the file, before the umask. */
  mode: number;
  /** Path of the file until it is complete, in the same directory. What lies there is removed first. Default: {@link partialOf}. */
  partial?: string;
  /**
   * What outlives a power cut: `name` the new content under its name; `content` either the old content or the new one, in
   * whole; `nothing` where losing the file does not matter. Default `name`.
   */
  flush?: "name" | "content" | "nothing";
}

/** Ends the name of a file that is not complete yet. It starts with a dot, and the next run removes it. */
export const PARTIAL_SUFFIX = ".partial";

/** Name the file that stands for `path` until it is complete. */
export function partialOf(path: string): string {
  return join(dirname(path), `.${basename(path)}${PARTIAL_SUFFIX}`);
}

/**
 * Write a file so that whoever reads it sees the old content or the new one; nothing is left behind when that fails.
 * @param options.prepare works on the open file before it gets its name, such as on who may read it
 * @throws the system's error
 */
export async function writeAtomically(
  path: string,
  data: string | Uint8Array,
  options: AtomicWrite & { prepare?: (file: FileHandle) => Promise<void> },
): Promise<void> {
  const { mode, partial = partialOf(path), flush = "name", prepare } = options;
  try {
    await rm(partial, { force: true });
    // "wx" follows no link that somebody put there meanwhile.
    const file = await open(partial, "wx", mode);
    try {
      await file.writeFile(data);
      await prepare?.(file);
      if (flush !== "nothing") await file.sync();
    } finally {
      await file.close();
    }
    await rename(partial, path);
  } catch (error) {
    await rm(partial, { force: true }).catch(() => {});
    throw error;
  }
  if (flush === "name") await syncDirectory(dirname(path));
}

/** As {@link writeAtomically}, for code that does one thing after the other. @throws the system's error */
export function writeAtomicallySync(path: string, data: string | Uint8Array, options: AtomicWrite): void {
  const { mode, partial = partialOf(path), flush = "name" } = options;
  try {
    rmSync(partial, { force: true });
    const file = openSync(partial, "wx", mode);
    try {
      const bytes = typeof data === "string" ? Buffer.from(data) : data;
      for (let done = 0; done < bytes.length;) done += writeSync(file, bytes, done);
      if (flush !== "nothing") fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(partial, path);
  } catch (error) {
    try {
      rmSync(partial, { force: true });
    } catch {
      // Why it could not be written is what matters.
    }
    throw error;
  }
  if (flush === "name") syncDirectorySync(dirname(path));
}
