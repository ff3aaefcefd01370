import { join } from "node:path";
import { tryParseBuildId, type DebugFileId } from "../debug-files/keys.ts";
import type { Packed } from "../debug-files/pack.ts";
import { BINARIES_DIRECTORY, STATE_DIRECTORY } from "./layout.ts";

/** What is written beside a packed file: what was packed, and for whom. */
export interface SpooledBinary extends Packed {
  /** What it was called in the container, without folders. */
  name: string;
  /** Of the pod that crashed, where the node has proven it; else absent. */
  namespace?: string;
  sharedBuildId?: string;
  /** It can be run. */
  hasCode: boolean;
}

/** Paths of a packed file and of what is said of it; the second is written first. */
export function binaryPaths(coreDir: string, { buildId, role }: DebugFileId): { packed: string; facts: string } {
  const stem = join(coreDir, BINARIES_DIRECTORY, `${buildId}.${role}`);
  return { packed: `${stem}.zst`, facts: `${stem}.json` };
}

/** Read the name of a packed file; undefined when it is none. */
export function tryParseBinaryName(fileName: string): DebugFileId | undefined {
  const [id = "", role, suffix, ...more] = fileName.split(".");
  const buildId = tryParseBuildId(id);
  if (buildId !== id || suffix !== "zst" || more.length > 0 || (role !== "executable" && role !== "debuginfo"))
    return undefined;
  return { buildId, role };
}

/** Where it is remembered which build-ids the store has: an empty file for each. */
export function storedMarksFolder(coreDir: string): string {
  return join(coreDir, STATE_DIRECTORY, "stored-binaries");
}

/**
 * Names of the marks that say that the store has a build-id: for everybody, and for a namespace that may have a store of its own.
 * @param namespace undefined where none is proven
 */
export function storedMarks(buildId: string, namespace: string | undefined): { all: string; own: string } {
  return { all: buildId, own: `${buildId}.${namespace ?? "_"}` };
}

/** Read what lies beside a packed file; undefined when it is damaged. */
export function tryReadSpooledBinary(value: unknown): SpooledBinary | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { sizeBytes, storedBytes, sha256, name, namespace, sharedBuildId, hasCode } = value as Record<string, unknown>;
  if (typeof sizeBytes !== "number" || typeof storedBytes !== "number" || typeof name !== "string") return undefined;
  if (typeof sha256 !== "string" || !/^[0-9a-f]{64}$/.test(sha256)) return undefined;
  return {
    sizeBytes,
    storedBytes,
    sha256,
    name,
    hasCode: hasCode === true,
    ...(typeof namespace === "string" ? { namespace } : {}),
    ...(typeof sharedBuildId === "string" ? { sharedBuildId } : {}),
  };
}
