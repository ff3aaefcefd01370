import { randomBytes, randomUUID } from "node:crypto";
import { rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** The smallest part that S3 takes, which is not the last: a file that is a little longer has two. */
export const PROBE_PART_BYTES = 5 * 1024 * 1024;
const PROBE_BYTES = PROBE_PART_BYTES + 64 * 1024;

/** A file to try an upload with. */
export interface ProbeFile {
  path: string;
  sizeBytes: number;
  remove(): Promise<void>;
}

/**
 * Make a file of random bytes, a little longer than {@link PROBE_PART_BYTES}: in the temporary directory, in shared memory
 * where the root is read-only as the chart's is, else in the spool, under a name that nobody takes up.
 * @returns undefined when nothing can be written anywhere
 */
export async function makeProbeFile(coreDir: string): Promise<ProbeFile | undefined> {
  for (const directory of [tmpdir(), "/dev/shm", coreDir]) {
    const path = join(directory, `.cdh-check-${randomUUID()}`);
    const remove = (): Promise<void> => rm(path, { force: true }).catch(() => undefined);
    try {
      await writeFile(path, randomBytes(PROBE_BYTES), { flag: "wx", mode: 0o600 });
      return { path, sizeBytes: PROBE_BYTES, remove };
    } catch {
      await remove();
    }
  }
  return undefined;
}
