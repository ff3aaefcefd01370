import type { Metrics } from "@cdh/core/metrics";
import { KERNEL_REASONS, type KernelReason } from "../check/kernel-log.ts";

/** What a watch counts. */
export interface WatchMetrics {
  installed(version: string | undefined, sha256: string | undefined): void;
  drifted(what: string): void;
  /** A self-test ended. @param nowMs epoch ms */
  selfTest(nowMs: number, ok: boolean): void;
  /** A test crash ended. @param nowMs epoch ms */
  captureProof(nowMs: number, arrived: boolean, tookMs: number): void;
  /** The kernel said that it could not hand crashes over. */
  kernelComplained(reason: KernelReason, count: number): void;
  error(nowMs: number, code: string): void;
  /** A round of the watch ended. */
  round(nowMs: number, healthy: boolean): void;
}

/** Declare the metrics of `cdh-sysctl watch`. docs/operations.md says what they mean. */
export function declareWatchMetrics(metrics: Metrics, version: string, now: () => number): WatchMetrics {
  const info = metrics.gauge("cdh_sysctl_info", "Version of cdh-sysctl.");
  const composer = metrics.gauge("cdh_sysctl_composer_info", "Version and hash of the installed composer.");
  const healthy = metrics.gauge("cdh_sysctl_healthy", "1 while the kernel hands crashes to a composer that works.");
  const drift = metrics.counter("cdh_sysctl_drift_total", "Times that something was not as installed, by what it was.");
  const errors = metrics.counter("cdh_sysctl_errors_total", "Failed repairs and self-tests, by error code.");
  const lastError = metrics.gauge("cdh_sysctl_last_error_timestamp_seconds", "When the last error happened, by code.");
  const lastCheck = metrics.gauge("cdh_sysctl_last_check_timestamp_seconds", "When the node was last compared.");
  const testAge = metrics.gauge("cdh_sysctl_self_test_age_seconds", "Time since the composer's last self-test.");
  const testOk = metrics.gauge("cdh_sysctl_self_test_success", "1 when the composer's last self-test passed.");
  const proofOk = metrics.gauge("cdh_sysctl_capture_success", "1 when the last test crash arrived as a whole bundle.");
  const proofAge = metrics.gauge("cdh_sysctl_capture_age_seconds", "Time since a test crash last arrived.");
  const proofTook = metrics.gauge(
    "cdh_sysctl_capture_duration_seconds",
    "How long the last test crash took to arrive.",
  );
  const complaints = metrics.counter(
    "cdh_sysctl_kernel_dropped_total",
    "Crashes that the kernel says it handed to nobody, by reason.",
  );
  for (const reason of KERNEL_REASONS) complaints.inc({ reason }, 0);
  let arrivedAt: number | undefined;
  let testedAt: number | undefined;
  info.set(1, { version });
  healthy.set(0);
  metrics.onRender(() => {
    if (arrivedAt !== undefined) proofAge.set((now() - arrivedAt) / 1000);
    if (testedAt !== undefined) testAge.set((now() - testedAt) / 1000);
  });
  return {
    installed: (composer_, sha256) => composer.set(1, { version: composer_ ?? "unknown", sha256: sha256 ?? "" }),
    drifted: (what) => drift.inc({ what }),
    selfTest: (nowMs, ok) => {
      testedAt = nowMs;
      testOk.set(ok ? 1 : 0);
    },
    captureProof: (nowMs, arrived, tookMs) => {
      proofOk.set(arrived ? 1 : 0);
      if (!arrived) return;
      arrivedAt = nowMs;
      proofTook.set(tookMs / 1000);
    },
    kernelComplained: (reason, count) => complaints.inc({ reason }, count),
    error: (nowMs, code) => {
      errors.inc({ code });
      lastError.set(nowMs / 1000, { code });
    },
    round: (nowMs, ok) => {
      lastCheck.set(nowMs / 1000);
      healthy.set(ok ? 1 : 0);
    },
  };
}
