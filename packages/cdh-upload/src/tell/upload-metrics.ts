import type { Clock } from "@cdh/core/clock";
import { CdhError } from "@cdh/core/errors";
import { crashCount } from "@cdh/core/groups/crash-count";
import type { Labels, Metrics } from "@cdh/core/metrics";
import type { UploadEvents } from "./events.ts";
import { workloadOf } from "./workload.ts";

const SECONDS = [0.1, 0.5, 1, 5, 15, 60, 300, 1800];
/** A bundle may wait for days while its store is down. */
const TO_STORE_SECONDS = [1, 2, 5, 10, 30, 60, 300, 1800, 7200, 86_400];
const BYTES = [1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11];
/** Names of workloads come from users: past so many series they are counted under one name. */
const SERIES_MAX = 500;

/** What the metrics show of the spool. */
export interface SpoolFacts {
  bundles: number;
  bytes: number;
  /** Epoch milliseconds of the oldest bundle; undefined when there is none. */
  oldestAt: number | undefined;
  quarantined: { bundles: number; bytes: number };
  uploaded: { bundles: number; bytes: number };
  freeBytes: number | undefined;
}

/** Where the gauges get their values from. */
export interface GaugeSources {
  version: string;
  spool: () => SpoolFacts;
  storeAvailable: () => boolean;
  running: () => number;
  /** The stores of the rules, at most as many as there may be rules. */
  rules?: () => RuleFacts[];
}

/** What the metrics show of a rule's store. */
export interface RuleFacts {
  rule: string;
  isAvailable: boolean;
  waiting: { bundles: number; bytes: number };
}

/** Declare the metrics of `cdh-upload run` and count what happens. docs/operations.md says what they mean. */
export function countUploads(metrics: Metrics, sources: GaugeSources, clock: Clock): UploadEvents {
  const crashes = metrics.counter("cdh_crashes_total", "Crashes seen on this node, suppressed ones included.");
  const suppressed = metrics.counter(
    "cdh_crashes_suppressed_total",
    "Crashes of which no core was taken, by why: keptEnough has a report, rateLimit is counted alone.",
  );
  const cut = metrics.counter("cdh_crashes_cut_total", "Crashes whose core is not whole, by what cut it.");
  const toStore = metrics.histogram(
    "cdh_crash_to_store_seconds",
    "Time from a crash until its bundle was verified in the store.",
    TO_STORE_SECONDS,
  );
  const uploaded = metrics.counter("cdh_upload_bundles_total", "Bundles that are safe in the store.");
  const bytes = metrics.counter("cdh_upload_bytes_total", "Bytes of these bundles.");
  const failures = metrics.counter("cdh_upload_failures_total", "Failed attempts, by error code.");
  const retries = metrics.counter("cdh_upload_retries_total", "Attempts that will be made again.");
  const quarantined = metrics.counter("cdh_upload_quarantined_total", "Bundles moved to quarantine, by error code.");
  const removed = metrics.counter("cdh_vacuum_removed_total", "Files removed to make room, by kind.");
  const removedBytes = metrics.counter("cdh_vacuum_removed_bytes_total", "Bytes of these files, by kind.");
  const givenUp = metrics.counter("cdh_upload_given_up_total", "Bundles removed without ever having been uploaded.");
  const duration = metrics.histogram(
    "cdh_upload_duration_seconds",
    "Time from the begin of an upload to its verified end.",
    SECONDS,
  );
  const size = metrics.histogram("cdh_upload_size_bytes", "Sizes of uploaded bundles.", BYTES);
  const lastSuccess = metrics.gauge("cdh_upload_last_success_timestamp_seconds", "When a bundle was last uploaded.");
  declareGauges(metrics, sources, clock);
  const { rules } = sources;
  const rulesUploaded = metrics.counter("cdh_store_rule_bundles_total", "Bundles that are safe in a rule's store.");
  const rulesFailures = metrics.counter("cdh_store_rule_failures_total", "Failed attempts with a rule's store.");
  if (rules !== undefined) declareRuleGauges(metrics, rules);
  const series = new Set<string>();
  const bounded = (labels: Labels): Labels => {
    const key = JSON.stringify(labels);
    if (!series.has(key) && series.size >= SERIES_MAX) return { ...labels, namespace: "_other", workload: "_other" };
    series.add(key);
    return labels;
  };
  return {
    crashed: (_file, { namespace, manifest }) => {
      const signal = manifest.signal.name === "" ? "unknown" : manifest.signal.name;
      const { truncatedBy: why } = manifest.core;
      if (why === "keptEnough" || why === "rateLimit")
        suppressed.inc(bounded({ namespace, workload: workloadOf(manifest), why }), crashCount(manifest).count);
      else if (why !== undefined) cut.inc({ why });
      // The node's next bundle tells how many were counted alone.
      if (manifest.counted !== undefined) return;
      crashes.inc(
        bounded({ namespace, workload: workloadOf(manifest), signal }),
        1 + (manifest.suppressed?.count ?? 0),
      );
    },
    ended: (outcome) => {
      const { rule } = outcome;
      if (rule !== undefined && outcome.status === "uploaded") rulesUploaded.inc({ rule });
      if (rule !== undefined && outcome.status === "retried") rulesFailures.inc({ rule, code: codeOf(outcome.error) });
      if (outcome.status === "uploaded") {
        uploaded.inc();
        bytes.inc({}, outcome.file.sizeBytes);
        duration.observe(outcome.durationMs / 1000);
        size.observe(outcome.file.sizeBytes);
        lastSuccess.set(clock.now() / 1000);
        const crashedAt = Date.parse(outcome.uploaded.facts.manifest.crashedAt);
        // A node's clock may have been set meanwhile: what is before the crash is no time.
        if (clock.now() >= crashedAt) toStore.observe((clock.now() - crashedAt) / 1000);
      } else if (outcome.status === "retried" || outcome.status === "quarantined") {
        const code = codeOf(outcome.error);
        failures.inc({ code });
        if (outcome.status === "retried") retries.inc();
        else quarantined.inc({ code });
      }
    },
    vacuumed: ({ kind, sizeBytes }) => {
      removed.inc({ kind });
      removedBytes.inc({ kind }, sizeBytes);
      if (kind !== "uploaded") givenUp.inc();
    },
  };
}

function codeOf(error: unknown): string {
  return error instanceof CdhError ? error.code : "bug";
}

function declareRuleGauges(metrics: Metrics, rules: () => RuleFacts[]): void {
  const available = metrics.gauge("cdh_store_rule_available", "1 while a rule's store answers as it should.");
  const bundles = metrics.gauge("cdh_store_rule_waiting_bundles", "Bundles that wait for a rule's store.");
  const bytes = metrics.gauge("cdh_store_rule_waiting_bytes", "Bytes of these bundles.");
  metrics.onRender(() => {
    for (const { rule, isAvailable, waiting } of rules()) {
      available.set(isAvailable ? 1 : 0, { rule });
      bundles.set(waiting.bundles, { rule });
      bytes.set(waiting.bytes, { rule });
    }
  });
}

function declareGauges(metrics: Metrics, sources: GaugeSources, clock: Clock): void {
  metrics.gauge("cdh_upload_info", "Version of cdh-upload.").set(1, { version: sources.version });
  const bundles = metrics.gauge("cdh_spool_bundles", "Bundles that wait in the spool.");
  const bytes = metrics.gauge("cdh_spool_bytes", "Bytes of these bundles.");
  const age = metrics.gauge("cdh_spool_oldest_age_seconds", "Age of the oldest bundle that waits; 0 when none does.");
  const free = metrics.gauge("cdh_spool_free_bytes", "Free bytes on the spool's file system.");
  const quarantineBundles = metrics.gauge("cdh_quarantine_bundles", "Bundles in quarantine.");
  const quarantineBytes = metrics.gauge("cdh_quarantine_bytes", "Bytes in quarantine.");
  const keptBytes = metrics.gauge("cdh_uploaded_kept_bytes", "Bytes of uploaded bundles that are kept on the node.");
  const available = metrics.gauge("cdh_store_available", "1 while the store answers as it should.");
  const running = metrics.gauge("cdh_upload_running", "Uploads under way.");
  metrics.onRender(() => {
    const spool = sources.spool();
    bundles.set(spool.bundles);
    bytes.set(spool.bytes);
    age.set(spool.oldestAt === undefined ? 0 : Math.max(0, clock.now() - spool.oldestAt) / 1000);
    if (spool.freeBytes !== undefined) free.set(spool.freeBytes);
    quarantineBundles.set(spool.quarantined.bundles);
    quarantineBytes.set(spool.quarantined.bytes);
    keptBytes.set(spool.uploaded.bytes);
    available.set(sources.storeAvailable() ? 1 : 0);
    running.set(sources.running());
  });
}
