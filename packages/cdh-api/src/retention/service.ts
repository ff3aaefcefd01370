import type { Clock } from "@cdh/core/clock";
import { CdhError, reasonOf } from "@cdh/core/errors";
import type { KubernetesAccess } from "@cdh/core/kubernetes";
import type { Logger } from "@cdh/core/log";
import type { Metrics } from "@cdh/core/metrics";
import type { NoticeBoard } from "@cdh/core/store/notices";
import type { ObjectStore } from "@cdh/core/store/store";
import type { PlacementRules } from "../index/placement.ts";
import { ClusterWatch } from "./cluster.ts";
import { FileReferences } from "./file-references.ts";
import { limitsAnything, needsKubernetes } from "./policy.ts";
import { Remover, type RemovalEvents } from "./remove.ts";
import { countRetention, type RetentionEvents } from "./retention-metrics.ts";
import { runRound, type RoundOptions, type RoundReport } from "./round.ts";
import { policyOf, type RetentionSettings } from "./settings.ts";
import { Surveyor, type FactsLookup } from "./survey.ts";

/** What retention needs of the program around it. */
export interface RetentionOptions {
  settings: RetentionSettings;
  placement: PlacementRules;
  store: ObjectStore;
  /** Where removals are told to servers that show the store; absent: nowhere. */
  board?: NoticeBoard | undefined;
  clock: Clock;
  log: Logger;
  metrics: Metrics;
  /** The API server, for the Lease and for what is gone. */
  access: KubernetesAccess | undefined;
  /** What the index of the API knows of manifests already, and whether it has been filled. */
  index?: { isListed: () => boolean; lookUp: FactsLookup; prove: (stem: string) => Promise<boolean> } | undefined;
  /** Unique among the replicas: the pod's name. */
  identity: string;
}

/** What the replica does that leads. */
export interface LeaderWork {
  /** Told whenever leading begins or ends. */
  onChange: (leads: boolean) => void;
  /** Works until the signal says that it leads no more. */
  run: (signal: AbortSignal) => Promise<void>;
}

/**
 * Make what removes what the settings do not keep, for the replica that leads; undefined when retention is off.
 * @throws {CdhError} CDH_CONFIG_INVALID when it is on and cannot work
 */
export function retentionWork(options: RetentionOptions): LeaderWork | undefined {
  const { settings, access, clock, metrics } = options;
  if (!settings.retention) return undefined;
  const problem = whyNot(options);
  if (problem !== undefined || access === undefined) throw problem ?? noCluster();
  const log = options.log.child({ part: "retention" });
  const events = countRetention(metrics, clock, settings.retentionIntervalMs);
  return { onChange: events.leads, run: (signal) => runRounds({ ...options, log }, events, signal) };
}

/** Say why retention cannot be switched on like this; undefined when it can. */
export function whyNot({ settings, access }: Pick<RetentionOptions, "settings" | "access">): CdhError | undefined {
  if (!limitsAnything(policyOf(settings))) {
    return new CdhError("CDH_CONFIG_INVALID", "RETENTION is on, but no setting says what may be removed", {
      hint: "set RETENTION_MAX_AGE, RETENTION_MAX_COUNT, RETENTION_MAX_BYTES, RETENTION_NAMESPACES or one of the graces",
    });
  }
  return access === undefined ? noCluster() : undefined;
}

function noCluster(): CdhError {
  return new CdhError("CDH_CONFIG_INVALID", "RETENTION needs a cluster: a Lease decides which replica removes", {
    hint: "outside of a cluster run `cdh-api prune` from a timer",
  });
}

async function runRounds(options: RetentionOptions, events: RetentionEvents, signal: AbortSignal): Promise<void> {
  const { settings, clock, log } = options;
  const round = makeRound(options, { ...events, dryRun: settings.retentionDryRun });
  // Every manifest is read once, by the index.
  while (options.index?.isListed() === false && !signal.aborted) await clock.sleep(1000, signal).catch(() => {});
  while (!signal.aborted) {
    const startedAt = clock.monotonic();
    let hasMore = false;
    try {
      const report = await runRound(round, signal);
      const { decision, removed, unfinished } = report;
      hasMore = report.hasMore;
      events.looked(report, clock.monotonic() - startedAt);
      const due = decision.removals.length + unfinished.length;
      const counts = { due, removed: removed + (round.dryRun ? 0 : unfinished.length), kept: decision.kept };
      if (due > 0) log.info(round.dryRun ? "looked, removed nothing: dry run" : "removed what was due", counts);
      else log.debug("nothing is due", counts);
      tellFiles(report, round.dryRun, log);
    } catch (error) {
      if (signal.aborted) return;
      events.failed(error);
      log.error("removed nothing more in this round", {
        reason: reasonOf(error),
        ...(error instanceof CdhError ? { code: error.code, hint: error.hint } : {}),
      });
    }
    if (!hasMore) await clock.sleep(settings.retentionIntervalMs, signal).catch(() => {});
  }
}

function tellFiles({ files }: RoundReport, dryRun: boolean, log: Logger): void {
  if (files === undefined) return;
  const { due, removed, silent, unreferred } = files;
  if (silent.count > 0)
    log.warn("no file of a program is removed: bundles do not say which they need", {
      bundles: silent.count,
      examples: silent.examples,
    });
  else if (due.length > 0)
    log.info(dryRun ? "looked at files of programs, removed nothing: dry run" : "removed files of programs", {
      due: due.length,
      removed,
      unreferred: unreferred.count,
    });
}

/** Put together what a round needs. */
export function makeRound(
  options: Pick<
    RetentionOptions,
    "settings" | "placement" | "store" | "board" | "clock" | "log" | "access" | "identity" | "index"
  >,
  { dryRun, ...events }: RemovalEvents & { dryRun: boolean },
): RoundOptions {
  const { settings, store, board, clock, log, access, identity } = options;
  const policy = policyOf(settings);
  return {
    store,
    clock,
    log,
    policy,
    identity,
    dryRun,
    surveyor: new Surveyor(store, options.placement, options.index?.lookUp),
    remover: new Remover({
      store,
      prove: options.index?.prove,
      board,
      clock,
      log,
      events,
      ratePerSecond: settings.retentionRate,
    }),
    references: new FileReferences(store),
    cluster: access !== undefined && needsKubernetes(policy) ? new ClusterWatch(access) : undefined,
  };
}
