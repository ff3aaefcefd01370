import { randomBytes } from "node:crypto";
import { rename } from "node:fs/promises";
import { basename, join } from "node:path";
import { toRfc3339, type Clock } from "../base/clock.ts";
import type { CdhError } from "../base/errors.ts";
import { publishedPath, QUARANTINE_DIRECTORY } from "./layout.ts";
import { isThere } from "./salvage-twin.ts";
import { makeOwnDirectory } from "./spool-owner.ts";
import { writeStateFile } from "./state-file.ts";

/** A torn file that is no composer's, where it lies now. */
export interface TornFile {
  coreDir: string;
  name: string;
  path: string;
  sizeBytes: number;
}

/**
 * Put aside what can never become a bundle, untouched, with the reason in `N.zip.reason.json` beside it. There it counts
 * for MAX_USE and a person finds it; in the spool it would be tried at every start.
 * @returns where it lies now
 */
export async function quarantineTorn(torn: TornFile, error: CdhError, clock: Clock): Promise<string> {
  const directory = join(torn.coreDir, QUARANTINE_DIRECTORY);
  await makeOwnDirectory(directory);
  const wanted = publishedPath(directory, torn.name);
  // What lies there already is another bundle, and stays.
  const target = (await isThere(wanted))
    ? publishedPath(directory, `${torn.name}-${randomBytes(4).toString("hex")}`)
    : wanted;
  await writeStateFile(`${target}.reason.json`, {
    bundle: basename(target),
    sizeBytes: torn.sizeBytes,
    quarantinedAt: toRfc3339(clock.now()),
    code: error.code,
    reason: error.message,
    attempts: 1,
  });
  await rename(torn.path, target);
  return target;
}
