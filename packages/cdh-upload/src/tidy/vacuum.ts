import { rm } from "node:fs/promises";
import { HOST_NAMESPACE, readBundleFacts, type BundleFacts } from "../queue/bundle-facts.ts";
import type { SpoolFile } from "../queue/spool-scan.ts";
import { bytesOf, type SpoolSurvey } from "../queue/survey.ts";
import type { VacuumedFile } from "../tell/events.ts";
import { isOnlyCopy } from "./quarantine.ts";

/** What limits the spool. */
export interface VacuumLimits {
  /** Most bytes for all bundles together, whatever their state. */
  maxUse: number | undefined;
  /** Free bytes that must stay on the file system. */
  keepFree: number | undefined;
  /** Most bytes in quarantine. */
  quarantineMaxUse: number | undefined;
  /** Whether a bundle may be given up that never reached the store. */
  unsent: boolean;
}

/** What a vacuum did. */
export interface VacuumResult {
  removed: VacuumedFile[];
  /** Bytes over the limits that could not be freed. */
  missingBytes: number;
}

interface Candidate {
  file: SpoolFile;
  kind: VacuumedFile["kind"];
  namespace: string;
  facts: BundleFacts | undefined;
}

/**
 * Make room: uploaded files first, then what is damaged in quarantine, then, only when allowed, what was never sent, in
 * quarantine and outside; of each kind the oldest of whoever uses most, so that one namespace that crashes in a loop pays
 * for it and not its neighbours.
 * @param isBusy tells which bundles are on their way right now
 * @param isStuck tells which wait for a tenant's store that is in trouble: of what was never sent they go first
 */
export async function vacuum(
  survey: SpoolSurvey,
  limits: VacuumLimits,
  isBusy: (file: SpoolFile) => boolean,
  isStuck: (file: SpoolFile) => boolean = () => false,
): Promise<VacuumResult> {
  const removed: VacuumedFile[] = [];
  const { damaged, refused } = await sortQuarantine(survey.quarantined);
  const quarantineOver = bytesOf(survey.quarantined) - (limits.quarantineMaxUse ?? Number.POSITIVE_INFINITY);
  let missingInQuarantine = 0;
  if (quarantineOver > 0) {
    const missing = await removeUntil(quarantineOver, await describe(damaged, "quarantined"), removed);
    missingInQuarantine = limits.unsent
      ? await removeUntil(missing, await describe(refused, "unsent"), removed)
      : missing;
  }
  const isLeft = (file: SpoolFile): boolean => !removed.some(({ fileName }) => fileName === file.fileName);
  const left = { ...survey, quarantined: survey.quarantined.filter(isLeft) };
  const used = bytesOf(left.waiting) + bytesOf(left.quarantined) + bytesOf(left.uploaded);
  const freed = removed.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  let missing = Math.max(
    limits.maxUse === undefined ? 0 : used - limits.maxUse,
    limits.keepFree === undefined || survey.freeBytes === undefined ? 0 : limits.keepFree - survey.freeBytes - freed,
  );
  if (missing <= 0) return { removed, missingBytes: Math.max(0, missingInQuarantine) };
  missing = await removeUntil(missing, await describe(left.uploaded, "uploaded"), removed);
  if (missing > 0) missing = await removeUntil(missing, await describe(damaged.filter(isLeft), "quarantined"), removed);
  if (missing > 0 && limits.unsent) {
    const idle = left.waiting.filter((file) => !isBusy(file));
    missing = await removeUntil(missing, await describe(idle.filter(isStuck), "unsent"), removed);
    const unsent = [...refused.filter(isLeft), ...idle.filter((file) => !isStuck(file))];
    if (missing > 0) missing = await removeUntil(missing, await describe(unsent, "unsent"), removed);
  }
  return { removed, missingBytes: Math.max(0, missing, missingInQuarantine) };
}

/**
 * Keep what waits for one store within its limit: the oldest of the namespace that uses most goes first.
 * @param files all that wait for it
 * @returns what was given up
 */
export async function keepWithin(
  maxBytes: number,
  files: readonly SpoolFile[],
  isBusy: (file: SpoolFile) => boolean,
): Promise<VacuumedFile[]> {
  const removed: VacuumedFile[] = [];
  const missing = bytesOf(files) - maxBytes;
  if (missing > 0) {
    const idle = files.filter((file) => !isBusy(file));
    await removeUntil(missing, await describe(idle, "unsent"), removed);
  }
  return removed;
}

/** Tell what can never be sent from what the store did not take: of that, this may be the only copy. */
async function sortQuarantine(files: readonly SpoolFile[]): Promise<{ damaged: SpoolFile[]; refused: SpoolFile[] }> {
  const damaged: SpoolFile[] = [];
  const refused: SpoolFile[] = [];
  for (const file of files) ((await isOnlyCopy(file.path)) ? refused : damaged).push(file);
  return { damaged, refused };
}

/** Remove candidates until so many bytes are free. @returns bytes still missing; negative when more became free */
async function removeUntil(missingBytes: number, candidates: Candidate[], removed: VacuumedFile[]): Promise<number> {
  const usage = new Map<string, number>();
  for (const { namespace, file } of candidates) usage.set(namespace, (usage.get(namespace) ?? 0) + file.sizeBytes);
  const left = candidates.toSorted((a, b) => a.file.modifiedAt - b.file.modifiedAt);
  let missing = missingBytes;
  while (missing > 0 && left.length > 0) {
    const biggest = [...usage].reduce((most, next) => (next[1] > most[1] ? next : most))[0];
    const index = left.findIndex(({ namespace }) => namespace === biggest);
    const [candidate] = index < 0 ? [] : left.splice(index, 1);
    if (candidate === undefined) {
      usage.delete(biggest);
      continue;
    }
    const { file, kind, facts } = candidate;
    await rm(file.path, { force: true });
    await rm(`${file.path}.reason.json`, { force: true });
    usage.set(biggest, (usage.get(biggest) ?? 0) - file.sizeBytes);
    missing -= file.sizeBytes;
    removed.push({ fileName: file.fileName, sizeBytes: file.sizeBytes, kind, facts });
  }
  return missing;
}

async function describe(files: readonly SpoolFile[], kind: VacuumedFile["kind"]): Promise<Candidate[]> {
  const candidates: Candidate[] = [];
  for (const file of files) {
    const facts = await readBundleFacts(file.path, file.name).catch(() => undefined);
    // Only bundles that are given up are reported by name; the others' facts would be memory for nothing.
    candidates.push({
      file,
      kind,
      namespace: facts?.namespace ?? HOST_NAMESPACE,
      facts: kind === "uploaded" ? undefined : facts,
    });
  }
  return candidates;
}
