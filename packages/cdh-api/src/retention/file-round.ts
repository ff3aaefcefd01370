import type { Clock } from "@cdh/core/clock";
import { listAsked } from "@cdh/core/debug-files/asked";
import { askedKey } from "@cdh/core/debug-files/keys";
import type { ListedFile } from "@cdh/core/debug-files/list";
import type { ObjectStore } from "@cdh/core/store/store";
import { parseInThread } from "../manifests/thread.ts";
import { listFiles, type DueFile, type FileReferences } from "./file-references.ts";
import type { Remover } from "./remove.ts";
import { checkClock, readState, writeState } from "./state-objects.ts";
import type { StoredBundle } from "./stored-bundle.ts";
import type { Surveyor } from "./survey.ts";

const LEDGER = "unreferred-files.json";
/** As a round of bundles: facts grow old. */
const FACTS_GOOD_MS = 300_000;

/** What a look at the files of programs found and did. */
export interface FileReport {
  files: { count: number; bytes: number };
  /** Files that nothing refers to, also those whose grace is not over. */
  unreferred: { count: number; bytes: number };
  /** Those whose grace is over. */
  due: DueFile[];
  removed: number;
  /** Bundles that do not say what they need: as long as there is one, nothing goes. */
  silent: { count: number; examples: string[] };
  hasMore: boolean;
  /** What is kept in memory of the bundles. */
  heldBytes: number;
}

/** What a look at the files needs. */
export interface FileRoundOptions {
  store: ObjectStore;
  clock: Clock;
  surveyor: Surveyor;
  remover: Remover;
  references: FileReferences;
  dryRun: boolean;
  /** Go on although bundles do not say which files they need: a person has looked at these. */
  ignoreSilent?: boolean;
}

/**
 * Remove the files of programs that no bundle has referred to for the grace. What is not known stops it: a manifest that cannot be
 * read, a bundle without one, a store that fails. Before anything goes, everything is looked at once more.
 * @param bundles a whole survey
 * @param survey makes another one
 * @throws {CdhError} CDH_STORE…; CDH_ENVIRONMENT when the clock is in trouble
 */
export async function runFileRound(
  { store, clock, dryRun, remover, surveyor, references, ignoreSilent = false }: FileRoundOptions,
  graceMs: number,
  bundles: readonly StoredBundle[],
  signal: AbortSignal,
): Promise<FileReport> {
  const files = await listFiles(store, signal);
  const report: FileReport = {
    files: totalOf(files),
    unreferred: { count: 0, bytes: 0 },
    due: [],
    removed: 0,
    silent: { count: 0, examples: [] },
    hasMore: false,
    heldBytes: 0,
  };
  // Nothing is old enough: no manifest needs to be read.
  if (!files.some(({ info }) => clock.now() - info.modifiedAt >= graceMs)) return report;
  const first = await references.read(bundles, files, signal);
  report.silent = first.silent;
  report.heldBytes = references.heldBytes;
  if (first.silent.count > 0 && !ignoreSilent) return report;
  const unreferred = await references.unreferred(files, first, signal);
  report.unreferred = totalOf(unreferred);
  const parse = (bytes: Buffer): Promise<[string, number][]> => parseInThread("fileLedger", bytes, LEDGER);
  const before = new Map(await readState(store, LEDGER, parse, signal));
  const now = clock.now();
  const asked = await listAsked(store, signal);
  const since = new Map(
    unreferred.map(({ id, info }) => {
      // A node relies on it, whose bundle may not be there yet.
      const neededAt = asked.get(id.buildId) ?? 0;
      return [info.key, Math.min(now, Math.max(before.get(info.key) ?? now, neededAt))] as const;
    }),
  );
  report.due = unreferred.flatMap(({ id, info: { key, sizeBytes, modifiedAt } }) => {
    const unreferredSince = since.get(key) ?? now;
    const isDue = now - unreferredSince >= graceMs && now - modifiedAt >= graceMs;
    const askedAt = asked.get(id.buildId);
    return isDue ? [{ key, buildId: id.buildId, sizeBytes, storedAt: modifiedAt, unreferredSince, askedAt }] : [];
  });
  if (dryRun) return report;
  await writeState(store, LEDGER, { schemaVersion: 1, files: Object.fromEntries(since) }, signal);
  await checkClock(store, LEDGER, now, signal);
  if (report.due.length === 0) return report;
  // Crashes arrive meanwhile.
  const later = await references.read(await surveyor.survey(signal), files, signal);
  report.silent = later.silent;
  if (later.silent.count > 0 && !ignoreSilent) return { ...report, due: [] };
  const still = new Set((await references.unreferred(files, later, signal)).map(({ info }) => info.key));
  report.due = report.due.filter(({ key }) => still.has(key));
  const kept = new Set(files.map(({ id }) => id.buildId));
  for (const [buildId, at] of asked)
    if (!kept.has(buildId) && now - at >= graceMs) await store.delete(askedKey(buildId), signal);
  const startedAt = clock.monotonic();
  for (const file of report.due) {
    if (clock.monotonic() - startedAt > FACTS_GOOD_MS) return { ...report, hasMore: true };
    if (await remover.removeFile(file, signal)) report.removed += 1;
  }
  return report;
}

function totalOf(files: readonly ListedFile[]): { count: number; bytes: number } {
  return { count: files.length, bytes: files.reduce((sum, { info }) => sum + info.sizeBytes, 0) };
}
