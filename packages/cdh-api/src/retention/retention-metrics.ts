import type { Clock } from "@cdh/core/clock";
import { CdhError } from "@cdh/core/errors";
import type { Metrics } from "@cdh/core/metrics";
import type { RemovalEvents } from "./remove.ts";
import type { RoundReport } from "./round.ts";

/** What the service tells the metrics. */
export interface RetentionEvents extends RemovalEvents {
  leads(isLeader: boolean): void;
  looked(report: RoundReport, durationMs: number): void;
  failed(error: unknown): void;
}

/** Declare the metrics of retention and count what happens. docs/retention.md says what they mean. */
export function countRetention(metrics: Metrics, clock: Clock, intervalMs: number): RetentionEvents {
  const leader = metrics.gauge("cdh_retention_leader", "1 where this replica is the one that removes.");
  const removed = metrics.counter("cdh_retention_removed_total", "Bundles removed, by reason.");
  const removedBytes = metrics.counter("cdh_retention_removed_bytes_total", "Bytes of these bundles, by reason.");
  const failures = metrics.counter("cdh_retention_failures_total", "Rounds that ended with an error, by its code.");
  const kept = metrics.gauge("cdh_retention_kept_bundles", "Bundles that stayed at the last look, by reason.");
  const keptBytes = metrics.gauge("cdh_retention_kept_bytes", "Bytes that stayed at the last look.");
  const due = metrics.gauge("cdh_retention_due_bundles", "Bundles that were due at the last look.");
  const lastRun = metrics.gauge("cdh_retention_last_run_timestamp_seconds", "When a round last went to its end.");
  const duration = metrics.gauge("cdh_retention_last_run_duration_seconds", "How long it took.");
  const interval = metrics.gauge("cdh_retention_interval_seconds", "Time between two rounds, as set.");
  const files = metrics.gauge("cdh_retention_files", "Files of programs at the last look: all, unreferred, due.");
  const fileBytes = metrics.gauge("cdh_retention_files_bytes", "Bytes of these files, packed.");
  const silent = metrics.gauge(
    "cdh_retention_silent_bundles",
    "Bundles that do not say which files they need: while there is one, no file is removed.",
  );
  const held = metrics.gauge(
    "cdh_retention_references_bytes",
    "Memory that holds which files the bundles need, in bytes.",
  );
  const removedFiles = metrics.counter("cdh_retention_removed_files_total", "Files of programs removed.");
  const removedFileBytes = metrics.counter("cdh_retention_removed_files_bytes_total", "Bytes of these files, packed.");
  leader.set(0);
  interval.set(intervalMs / 1000);
  return {
    leads: (isLeader) => leader.set(isLeader ? 1 : 0),
    removed: ({ reason, sizeBytes }) => {
      removed.inc({ reason });
      removedBytes.inc({ reason }, sizeBytes);
    },
    removedFile: ({ sizeBytes }) => {
      removedFiles.inc();
      removedFileBytes.inc({}, sizeBytes);
    },
    looked: ({ decision, unfinished, files: seen }, durationMs) => {
      if (seen !== undefined) {
        const dueBytes = seen.due.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
        const states = {
          all: seen.files,
          unreferred: seen.unreferred,
          due: { count: seen.due.length, bytes: dueBytes },
        };
        for (const [state, { count, bytes }] of Object.entries(states)) {
          files.set(count, { state });
          fileBytes.set(bytes, { state });
        }
        silent.set(seen.silent.count);
        held.set(seen.heldBytes);
      }
      for (const [reason, count] of Object.entries(decision.kept)) kept.set(count, { reason });
      keptBytes.set(decision.keptBytes);
      due.set(decision.removals.length + unfinished.length);
      lastRun.set(clock.now() / 1000);
      duration.set(durationMs / 1000);
    },
    failed: (error) => failures.inc({ code: error instanceof CdhError ? error.code : "bug" }),
  };
}
