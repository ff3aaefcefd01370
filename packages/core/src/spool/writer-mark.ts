import { constants } from "node:fs";
import { open, unlink } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "../base/errors.ts";
import { STATE_DIRECTORY } from "./layout.ts";

/** How often a composer shows that it lives, by touching its file. */
export const HEARTBEAT_MS = 2_000;

/** What a writer's fifo says: read by somebody, by nobody, or nothing at all. */
export type WriterMark = "alive" | "dead" | "unknown";

/**
 * Where composers keep their marks: a fifo for each bundle being written, which its composer holds open for reading.
 * The kernel closes it when the composer dies, in whatever way, and says so to whoever opens the other end. That works
 * from another container and after a reboot, where pids, locks and clocks tell nothing: pids are another namespace's,
 * and Node can take no file lock.
 * @see fifo(7): opening for writing without waiting fails with ENXIO when nobody reads
 */
export function writerMarksDirectory(coreDir: string): string {
  return join(coreDir, STATE_DIRECTORY, "writers");
}

/** Path of the mark of the bundle `name`. */
export function writerMarkPath(coreDir: string, name: string): string {
  return join(writerMarksDirectory(coreDir), `${name}.fifo`);
}

/** Ask whether the writer of the bundle `name` lives. */
export async function readWriterMark(coreDir: string, name: string): Promise<WriterMark> {
  try {
    const flags = constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW;
    const file = await open(writerMarkPath(coreDir, name), flags);
    try {
      return (await file.stat()).isFIFO() ? "alive" : "unknown";
    } finally {
      await file.close();
    }
  } catch (error) {
    return errnoOf(error) === "ENXIO" ? "dead" : "unknown";
  }
}

/** Remove a mark that nobody needs any more, and the note beside it. */
export async function removeWriterMark(coreDir: string, name: string): Promise<void> {
  for (const ending of [".json", ".fifo"])
    await unlink(join(writerMarksDirectory(coreDir), `${name}${ending}`)).catch(() => {});
}
