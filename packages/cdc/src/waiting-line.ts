import { constants } from "node:fs";
import { mkdir, open, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { DIRECTORY_MODE, FILE_MODE, STATE_DIRECTORY } from "@cdh/core/spool/layout";
import type { Clock } from "@cdh/core/clock";
import type { Native } from "./native.ts";

/** How often a waiting composer looks for a free slot. */
const POLL_MS = 20;

const SLOT_FLAGS = constants.O_WRONLY | constants.O_CREAT | constants.O_NOFOLLOW;

/**
 * Wait for one of the node's compression slots. A slot is a file lock, so the kernel frees it when its holder dies.
 * Without locks, and where the spool can't hold the slot files, there is no line: keeping the core comes first.
 * @returns gives the slot back
 */
export async function takeSlot(options: {
  coreDir: string;
  slots: number;
  native: Native | undefined;
  clock: Clock;
  stop: AbortSignal;
}): Promise<() => Promise<void>> {
  const { native, stop } = options;
  if (native === undefined) return async () => {};
  const files = await openSlots(options.coreDir, options.slots);
  const closeAll = async (except?: FileHandle): Promise<void> => {
    await Promise.all(files.filter((file) => file !== except).map((file) => file.close()));
  };
  while (files.length > 0 && !stop.aborted) {
    const mine = files.find((file) => native.tryLock(file.fd));
    if (mine !== undefined) {
      await closeAll(mine);
      return () => mine.close();
    }
    await options.clock.sleep(POLL_MS, stop).catch(() => {});
  }
  await closeAll();
  return async () => {};
}

async function openSlots(coreDir: string, count: number): Promise<FileHandle[]> {
  const directory = join(coreDir, STATE_DIRECTORY, "slots");
  const files: FileHandle[] = [];
  try {
    await mkdir(directory, { recursive: true, mode: DIRECTORY_MODE });
    for (let index = 0; index < count; index += 1)
      files.push(await open(join(directory, String(index)), SLOT_FLAGS, FILE_MODE));
  } catch {
    // A full or unwritable spool has no line; the write itself will tell.
  }
  return files;
}
