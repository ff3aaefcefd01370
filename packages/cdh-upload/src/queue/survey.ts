import { join } from "node:path";
import { errnoOf } from "@cdh/core/errors";
import { measureSpace } from "@cdh/core/files/free-space";
import { QUARANTINE_DIRECTORY, UPLOADED_DIRECTORY } from "@cdh/core/spool/layout";
import { scanSpool, type SpoolFile } from "./spool-scan.ts";

/** Everything that takes room in the spool. */
export interface SpoolSurvey {
  waiting: SpoolFile[];
  quarantined: SpoolFile[];
  uploaded: SpoolFile[];
  /** Free bytes on the file system for an ordinary user; undefined when there is no spool yet. */
  freeBytes: number | undefined;
}

/** Look at what is kept and what lies in quarantine, and how much room is left. */
export async function surveySpool(coreDir: string, waiting: SpoolFile[]): Promise<SpoolSurvey> {
  const [quarantined, uploaded, freeBytes] = await Promise.all([
    scanSpool(join(coreDir, QUARANTINE_DIRECTORY)),
    scanSpool(join(coreDir, UPLOADED_DIRECTORY)),
    freeBytesOf(coreDir),
  ]);
  return { waiting, quarantined: quarantined.files, uploaded: uploaded.files, freeBytes };
}

async function freeBytesOf(directory: string): Promise<number | undefined> {
  try {
    return (await measureSpace(directory)).availableBytes;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** Add up sizes. */
export function bytesOf(files: readonly SpoolFile[]): number {
  return files.reduce((sum, file) => sum + file.sizeBytes, 0);
}
