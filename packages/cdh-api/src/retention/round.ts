import type { Clock } from "@cdh/core/clock";
import type { Logger } from "@cdh/core/log";
import type { ObjectStore } from "@cdh/core/store/store";
import { emptyLedger, type GoneLedger } from "../manifests/ledger.ts";
import { parseInThread } from "../manifests/thread.ts";
import type { ClusterWatch } from "./cluster.ts";
import { decide, NOTHING_GONE, type Decision, type GoneFacts, type Removal } from "./decide.ts";
import type { FileReferences } from "./file-references.ts";
import { runFileRound, type FileReport } from "./file-round.ts";
import { formatLedger, goneFacts, ledgerKeys, podKey, podsOf, sameLedger, updateLedger } from "./gone.ts";
import { clearJournal, halfRemoved, journalName, readJournals, writeJournal } from "./journal.ts";
import { needsKubernetes, type RetentionPolicy } from "./policy.ts";
import type { Remover } from "./remove.ts";
import { checkClock, readState, writeState } from "./state-objects.ts";
import type { StoredBundle } from "./stored-bundle.ts";
import type { Surveyor } from "./survey.ts";

const LEDGER = "gone.json";
/** So many removals are written down at a time. */
const BATCH = 100;
/** Facts grow old: after so long the store and the cluster are looked at again before anything else goes. */
const FACTS_GOOD_MS = 300_000;

/** A journal that nobody wrote to for so long is nobody's. */
const JOURNAL_LIFE_MS = 3600e3;

/** What a round needs. */
export interface RoundOptions {
  store: ObjectStore;
  clock: Clock;
  log: Logger;
  surveyor: Surveyor;
  remover: Remover;
  references: FileReferences;
  /** Of files of programs: go on although bundles do not say which they need. */
  ignoreSilent?: boolean;
  policy: RetentionPolicy;
  /** Absent outside of a cluster: then nothing counts as gone. */
  cluster: ClusterWatch | undefined;
  /** Names the journal. */
  identity: string;
  dryRun: boolean;
}

/** What a round found and did. */
export interface RoundReport {
  decision: Decision;
  /** Bundles whose removal was cut short before. */
  unfinished: { stem: string; sizeBytes: number }[];
  removed: number;
  /** The round ended early, because what it knew had grown old; the next one goes on. */
  hasMore: boolean;
  /** Of the files of programs; absent where these are kept for ever, or were not looked at because bundles came first. */
  files?: FileReport;
}

/**
 * Look at everything, decide, and remove. Whatever cannot be learnt stops the round before anything is removed.
 * @throws {CdhError} CDH_STORE… when the store, CDH_ENVIRONMENT when the API server or the clock is in trouble
 */
export async function runRound(options: RoundOptions, signal: AbortSignal): Promise<RoundReport> {
  const { store, clock, policy, surveyor, remover, dryRun } = options;
  const startedAt = clock.monotonic();
  const journals = await readJournals(store, signal);
  const bundles = await surveyor.survey(signal);
  const gone = await learnWhatIsGone(options, bundles, signal);
  const left = halfRemoved(
    bundles,
    journals.flatMap(({ entries }) => entries),
  );
  const unfinished = left.map(({ stem, bundle }) => ({ stem, sizeBytes: bundle?.sizeBytes ?? 0 }));
  const leftStems = new Set(unfinished.map(({ stem }) => stem));
  const others = leftStems.size === 0 ? bundles : bundles.filter(({ stem }) => !leftStems.has(stem));
  const decision = decide(others, policy, gone, clock.now());
  const report: RoundReport = { decision, unfinished, removed: 0, hasMore: false };
  const withFiles = async (done: RoundReport): Promise<RoundReport> => {
    const graceMs = policy.filesGraceMs;
    if (graceMs === undefined) return done;
    const files = await runFileRound(options, graceMs, bundles, signal);
    return { ...done, files, hasMore: files.hasMore };
  };
  if (dryRun) return await withFiles(report);
  for (const { stem, sizeBytes } of unfinished) await remover.finish(stem, sizeBytes, signal);
  for (const journal of journals) {
    // Another one that removes at the same time, `cdh-api prune` by hand for instance, still needs its own.
    const isOurs = journal.name === journalName(options.identity);
    if (isOurs || clock.now() - journal.modifiedAt > JOURNAL_LIFE_MS) await clearJournal(store, journal.name, signal);
  }
  const dates = new Map(others.map(({ stem, bundle }) => [stem, bundle?.modifiedAt ?? 0]));
  for (let from = 0; from < decision.removals.length; from += BATCH) {
    if (clock.monotonic() - startedAt > FACTS_GOOD_MS && from > 0) return { ...report, hasMore: true };
    report.removed += await removeBatch(options, decision.removals.slice(from, from + BATCH), dates, signal);
  }
  // What was removed just now still counts as referring: its files are looked at in the next round.
  return await withFiles(report);
}

async function removeBatch(
  { store, clock, remover, identity }: RoundOptions,
  batch: readonly Removal[],
  dates: ReadonlyMap<string, number>,
  signal: AbortSignal,
): Promise<number> {
  const name = journalName(identity);
  const writtenAt = clock.now();
  const entries = batch.map(({ stem }) => ({ stem, modifiedAt: dates.get(stem) ?? 0 }));
  await writeJournal(store, name, entries, { writtenAt, signal });
  await checkClock(store, name, writtenAt, signal);
  let removed = 0;
  for (const removal of batch) if (await remover.remove(removal, signal)) removed += 1;
  await clearJournal(store, name, signal);
  return removed;
}

async function learnWhatIsGone(
  { store, clock, policy, cluster, dryRun }: RoundOptions,
  bundles: readonly StoredBundle[],
  signal: AbortSignal,
): Promise<GoneFacts> {
  if (cluster === undefined || !needsKubernetes(policy)) return NOTHING_GONE;
  const needed = podsOf(bundles, policy.cluster);
  const parse = (bytes: Buffer): Promise<GoneLedger> => parseInThread("ledger", bytes, LEDGER, ledgerKeys(needed));
  const before = (await readState(store, LEDGER, parse, signal)) ?? emptyLedger();
  const answers = await cluster.ask(needed, {
    askPods: policy.podGoneGraceMs !== undefined,
    isKnownGone: (pod) => before.pods.get(pod.namespace)?.has(podKey(pod)) === true,
    signal,
  });
  const after = updateLedger(before, needed, answers, clock.now());
  if (!dryRun && !sameLedger(before, after)) await writeState(store, LEDGER, formatLedger(after), signal);
  return goneFacts(after, answers);
}
