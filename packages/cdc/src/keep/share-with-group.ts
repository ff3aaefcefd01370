import { constants } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";

/** Bits that a group of readers gets: to read files, to list and enter directories; to write neither. */
const GROUP_FILE = 0o040;
const GROUP_DIRECTORY = 0o050;

/**
 * Let a group read a file that is open, and list the directory that it lies in.
 * @throws {Error} of the file system; the file itself is as safe as before
 */
export async function shareWithGroup(file: FileHandle, directory: string, gid: number): Promise<void> {
  await giveTo(file, gid, GROUP_FILE);
  const folder = await open(directory, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  try {
    await giveTo(folder, gid, GROUP_DIRECTORY);
  } finally {
    await folder.close();
  }
}

async function giveTo(handle: FileHandle, gid: number, bits: number): Promise<void> {
  const before = await handle.stat();
  if (before.gid !== gid) await handle.chown(-1, gid);
  const mode = before.mode & 0o7777;
  if ((mode & bits) !== bits) await handle.chmod(mode | bits);
}

/**
 * Close a published file once more after writing nothing: a rename gives `MOVED_TO`, and watchers that were made for
 * other handlers wait for `CLOSE_WRITE` on the final name. Who took the file away in between has seen it. @see inotify(7)
 */
export async function closeForWatchers(path: string): Promise<void> {
  try {
    const file = await open(path, constants.O_WRONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    await file.close();
  } catch {
    // It is published all the same.
  }
}
