import { describe, expect, it } from "vitest";
import { createMetrics } from "./metrics.ts";

describe("createMetrics", () => {
  it("renders counters, gauges and histograms as Prometheus reads them", () => {
    const metrics = createMetrics();
    const drift = metrics.counter("cdh_drift_total", "Values put right.");
    metrics.counter("cdh_errors_total", "Errors.");
    const info = metrics.gauge("cdh_info", "Version.");
    const seconds = metrics.histogram("cdh_upload_seconds", "Time of an upload.", [0.5, 2]);
    drift.inc({ value: "kernel.core_pattern" });
    drift.inc({ value: "kernel.core_pattern" }, 2);
    info.set(1, { version: 'a"b\\c\nd' });
    seconds.observe(0.5, { store: "s3" });
    seconds.observe(3, { store: "s3" });
    expect(metrics.render()).toBe(
      [
        "# HELP cdh_drift_total Values put right.",
        "# TYPE cdh_drift_total counter",
        'cdh_drift_total{value="kernel.core_pattern"} 3',
        "# HELP cdh_errors_total Errors.",
        "# TYPE cdh_errors_total counter",
        "cdh_errors_total 0",
        "# HELP cdh_info Version.",
        "# TYPE cdh_info gauge",
        'cdh_info{version="a\\"b\\\\c\\nd"} 1',
        "# HELP cdh_upload_seconds Time of an upload.",
        "# TYPE cdh_upload_seconds histogram",
        'cdh_upload_seconds_bucket{le="0.5",store="s3"} 1',
        'cdh_upload_seconds_bucket{le="2",store="s3"} 1',
        'cdh_upload_seconds_bucket{le="+Inf",store="s3"} 2',
        'cdh_upload_seconds_sum{store="s3"} 3.5',
        'cdh_upload_seconds_count{store="s3"} 2',
        "",
      ].join("\n"),
    );
  });

  it("asks for facts before it renders, and forgets a removed series", () => {
    const metrics = createMetrics();
    const age = metrics.gauge("cdh_age_seconds", "Age.");
    let seconds = 1;
    metrics.onRender(() => age.set((seconds += 1)));
    expect(metrics.render()).toContain("\ncdh_age_seconds 2\n");
    expect(metrics.render()).toContain("\ncdh_age_seconds 3\n");
    const info = metrics.gauge("cdh_info", "Version.");
    info.set(1, { version: "1" });
    info.remove({ version: "1" });
    expect(metrics.render()).not.toContain("cdh_info{");
  });

  it("refuses a name that is taken or none at all: both are mistakes in our code", () => {
    const metrics = createMetrics();
    metrics.counter("a_total", "A.");
    expect(() => metrics.gauge("a_total", "A.")).toThrow("declared twice");
    expect(() => metrics.gauge("a-b", "A.")).toThrow("not a metric name");
  });
});
