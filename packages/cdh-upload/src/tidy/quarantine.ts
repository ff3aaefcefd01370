import { rename } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "@cdh/core/clock";
import { toRfc3339 } from "@cdh/core/clock";
import { QUARANTINE_DIRECTORY } from "@cdh/core/spool/layout";
import { makeOwnDirectory } from "@cdh/core/spool/spool-owner";
import { readStateFile, writeStateFile } from "@cdh/core/spool/state-file";
import type { SpoolFile } from "../queue/spool-scan.ts";

/** Why a bundle lies in quarantine; `N.zip.reason.json` beside it. */
export interface QuarantineReason {
  code: string;
  reason: string;
  hint?: string;
  attempts: number;
}

/**
 * Tell whether a bundle in quarantine is whole and only the store did not take it: then this copy may be the only one,
 * whatever lies in the store. Without a readable reason it counts as that.
 */
export async function isOnlyCopy(path: string): Promise<boolean> {
  const state = await readStateFile(`${path}.reason.json`);
  const code = typeof state === "object" && state !== null && "code" in state ? state.code : undefined;
  return typeof code !== "string" || code.startsWith("CDH_STORE");
}

/** Move a bundle out of the queue, its reason beside it. The reason is written first: no bundle lies there without one. */
export async function quarantine(
  coreDir: string,
  file: SpoolFile,
  reason: QuarantineReason,
  clock: Clock,
): Promise<string> {
  const directory = join(coreDir, QUARANTINE_DIRECTORY);
  await makeOwnDirectory(directory);
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
