import { WRITE_LIMITS } from "@cdh/core/bundle/limits";
import type { Problem } from "@cdh/core/bundle/manifest";
import type { SmallEntry } from "@cdh/core/bundle/writer";
import type { ProcInfo } from "@cdh/core/composer/setting-texts";
import type { Enrichment } from "@cdh/core/container/enrich";
import type { ProcessSnapshot } from "@cdh/core/container/process";
import type { RuntimeArtefact } from "../stack/stack-answer.ts";

/** Room for all of them together: the manifest is one of the small entries too. */
const ROOM_BYTES = WRITE_LIMITS.smallEntriesBytes - WRITE_LIMITS.manifest.bytes;

/**
 * List what was learnt about the crash as entries, in the order of IBM's bundles, /proc and the runtime's own files last. What the crashing process
 * made larger than there is room for is cut, and JSON left out; a problem says so.
 */
export function metadataEntries(given: {
  name: string;
  process: ProcessSnapshot;
  enrichment: Enrichment;
  include: ProcInfo;
  artefacts?: readonly RuntimeArtefact[] | undefined;
}): { entries: SmallEntry[]; problems: Problem[] } {
  const { name, enrichment } = given;
  const entries: SmallEntry[] = [];
  const problems: Problem[] = [];
  let left = ROOM_BYTES;
  const add = (suffix: string, bytes: Uint8Array, whole: number): void => {
    if (bytes.length < whole) {
      const rest = bytes.length === 0 ? "left out" : `${bytes.length} of its ${whole} bytes`;
      problems.push({ step: "entries", code: "CDH_CUT", detail: `${suffix.replace(/^-/, "")}: ${rest}` });
      if (bytes.length === 0) return;
    }
    left -= bytes.length;
    entries.push({ name: `${name}${suffix}`, bytes });
  };
  const room = (): number => Math.min(left, WRITE_LIMITS.entryBytes);
  const addJson = (suffix: string, value: unknown): void => {
    if (value === undefined) return;
    const bytes = Buffer.from(`${JSON.stringify(value)}\n`);
    add(
      `${suffix}.json`,
      bytes.length > Math.min(room(), WRITE_LIMITS.json.bytes) ? Buffer.alloc(0) : bytes,
      bytes.length,
    );
  };
  addJson("-pod-info", enrichment.podInfo);
  addJson("-runtime-info", enrichment.runtimeInfo);
  addJson("-ps-info", enrichment.psInfo);
  for (const [index, { log, imageInfo }] of enrichment.containers.entries()) {
    // Of a log the end says more.
    if (log !== undefined) add(`-${index}.log`, log.subarray(Math.max(0, log.length - room())), log.length);
    addJson(`-${index}-image-info`, imageInfo);
  }
  if (given.include !== "none") {
    for (const { name: file, bytes } of given.process.files)
      add(`-proc/${file}`, bytes.subarray(0, room()), bytes.length);
  }
  for (const { name: file, bytes, sizeBytes } of given.artefacts ?? [])
    add(`-artefacts/${file}`, bytes.subarray(0, room()), sizeBytes);
  return { entries, problems };
}
