import { closeSync, constants, mkdirSync, openSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "@cdh/core/clock";
import { DIRECTORY_MODE, FILE_MODE, STATE_DIRECTORY } from "@cdh/core/spool/layout";
import type { Native } from "../self/native.ts";

/** Walkers of stacks at once on a node. */
const SLOTS = 2;
const LOOK_MS = 50;
const SLOT_FLAGS = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/**
 * Take one of the node's two places for walkers. The descriptor is to be given to the walker: the lock is free when both
 * have closed it, so that one that hangs in a file system keeps its place.
 * @param waitMs how long to wait for a free one
 * @returns undefined when none was free in time
 * @throws what the file system throws
 */
export async function takeWalkerSlot(
  { coreDir, native, clock }: { coreDir: string; native: Native; clock: Clock },
  waitMs: number,
  { folder, count }: { folder: string; count: number } = { folder: "walkers", count: SLOTS },
): Promise<number | undefined> {
  const directory = join(coreDir, STATE_DIRECTORY, folder);
  mkdirSync(directory, { recursive: true, mode: DIRECTORY_MODE });
  const until = clock.monotonic() + waitMs;
  for (;;) {
    for (let index = 0; index < count; index += 1) {
      const fd = openSync(join(directory, String(index)), SLOT_FLAGS, FILE_MODE);
      if (native.tryLock(fd)) return fd;
      closeSync(fd);
    }
    if (clock.monotonic() >= until) return undefined;
    await clock.sleep(LOOK_MS);
  }
}
