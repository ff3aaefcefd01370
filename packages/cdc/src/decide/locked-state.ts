import { constants } from "node:fs";
import { mkdir, open } from "node:fs/promises";
import { join } from "node:path";
import { systemClock } from "@cdh/core/clock";
import { DIRECTORY_MODE, FILE_MODE, STATE_DIRECTORY } from "@cdh/core/spool/layout";
import type { Native } from "../self/native.ts";

/** Whatever stands there, a fifo that nobody reads included, must not keep a core waiting. */
const LOCK_FLAGS = constants.O_WRONLY | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NONBLOCK;
/** While a process is held: what is counted matters less than a core that waits. */
const HELD_WAIT_MS = 500;
/** When nobody waits for the composer any more. */
export const UNHURRIED_MS = 30_000;
const TRY_MS = 5;

/**
 * Change a file of state while no other composer does. Its lock is given back by the kernel, however a composer ends.
 * @param work gets the file's path, and whether the lock was had in time
 * @throws what `work` throws, and the system's errors
 */
export async function underLock<T>(
  { coreDir, native, name, waitMs = HELD_WAIT_MS }: { coreDir: string; native: Native; name: string; waitMs?: number },
  work: (path: string, isLocked: boolean) => Promise<T>,
): Promise<T> {
  const directory = join(coreDir, STATE_DIRECTORY);
  await mkdir(directory, { recursive: true, mode: DIRECTORY_MODE });
  const path = join(directory, name);
  const lock = await open(`${path}.lock`, LOCK_FLAGS, FILE_MODE);
  try {
    return await work(path, native.isThere && (await lockPatiently(native, lock.fd, waitMs)));
  } finally {
    await lock.close();
  }
}

async function lockPatiently(native: Native, fd: number, waitMs: number): Promise<boolean> {
  const deadline = systemClock.monotonic() + waitMs;
  for (;;) {
    if (native.tryLock(fd)) return true;
    if (systemClock.monotonic() >= deadline) return false;
    await systemClock.sleep(TRY_MS);
  }
}
