import { lstat, rm } from "node:fs/promises";
import { noteAsked } from "@cdh/core/debug-files/asked";
import { debugFileKey, type DebugFileId } from "@cdh/core/debug-files/keys";
import { putPacked, type PutOutcome } from "@cdh/core/debug-files/put";
import { CdhError } from "@cdh/core/errors";
import { readJsonFile } from "@cdh/core/files/json-file";
import { binaryPaths, tryReadSpooledBinary, type SpooledBinary } from "@cdh/core/spool/binaries";
import type { ObjectStore } from "@cdh/core/store/store";

/** Read what is said of a packed file; undefined when that contradicts the file, or is not there. @throws what the file system throws */
export async function readSpooled(coreDir: string, id: DebugFileId): Promise<SpooledBinary | undefined> {
  const paths = binaryPaths(coreDir, id);
  const facts = tryReadSpooledBinary(await readJsonFile(paths.facts));
  return facts !== undefined && (await lstat(paths.packed)).size === facts.storedBytes ? facts : undefined;
}

/**
 * Send a packed file, unless the store has one of its build-id: then it is noted there that a node relies on it, because the bundle
 * that needs it may come long after.
 * @param file.now epoch milliseconds
 * @param onUnnoted told where the note could not be written
 * @throws {CdhError} the CDH_STORE family
 */
export async function sendBinary(
  store: ObjectStore,
  file: { coreDir: string; id: DebugFileId; facts: SpooledBinary; now: number },
  onUnnoted: (error: CdhError) => void,
  signal: AbortSignal,
): Promise<PutOutcome> {
  const { coreDir, id, facts, now } = file;
  const isThere = async (): Promise<boolean> =>
    (await store.head(debugFileKey(id), signal).catch((error: unknown) => {
      // Without the right to list, S3 answers so for what is not there: the put decides.
      if (error instanceof CdhError && error.code === "CDH_STORE_DENIED") return undefined;
      throw error;
    })) !== undefined;
  if (await isThere()) {
    try {
      await noteAsked(store, id.buildId, now, signal);
    } catch (error) {
      if (!(error instanceof CdhError) || !/^CDH_STORE_(DENIED|CONFLICT)$/.test(error.code)) throw error;
      // A store that lets nothing be replaced.
      onUnnoted(error);
    }
    // It may have been removed before it was noted.
    if (await isThere()) return "alreadyThere";
  }
  return await putPacked(store, { ...facts, id, path: binaryPaths(coreDir, id).packed }, { signal });
}

/** Remove a packed file and what is said of it. @throws what the file system throws */
export async function removeSpooled(coreDir: string, id: DebugFileId): Promise<void> {
  const { packed, facts } = binaryPaths(coreDir, id);
  await rm(packed, { force: true });
  await rm(facts, { force: true });
}
