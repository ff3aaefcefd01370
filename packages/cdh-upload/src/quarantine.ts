import type { Clock } from "@cdh/core/clock";
import { toRfc3339 } from "@cdh/core/clock";
import { DIRECTORY_MODE, QUARANTINE_DIRECTORY } from "@cdh/core/spool/layout";
import { writeStateFile } from "@cdh/core/spool/state-file";
import { mkdir, rename } from "node:fs/promises";
import { join } from "node:path";
import type { SpoolFile } from "./spool-scan.ts";

/** Why a bundle lies in quarantine; `N.zip.reason.json` beside it. */
export interface QuarantineReason {
  code: string;
  reason: string;
  hint?: string;
  attempts: number;
}

/** Move a bundle out of the queue, its reason beside it. The reason is written first: no bundle lies there without one. */
export async function quarantine(
  coreDir: string,
  file: SpoolFile,
  reason: QuarantineReason,
  clock: Clock,
): Promise<string> {
  const directory = join(coreDir, QUARANTINE_DIRECTORY);
  await mkdir(directory, { recursive: true, mode: DIRECTORY_MODE });
  const target = join(directory, file.fileName);
  await writeStateFile(`${target}.reason.json`, {
    bundle: file.fileName,
    sizeBytes: file.sizeBytes,
    quarantinedAt: toRfc3339(clock.now()),
    ...reason,
  });
  await rename(file.path, target);
  return target;
}
