import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { parse, stringify } from "yaml";
import { unpackDebianPackage } from "../helpers/debian-package.ts";
import { describeUnless } from "../helpers/skip.ts";
import { findOnPath } from "../helpers/tools.ts";
import { CHART } from "./helm.ts";

/** A series as promtool writes one, a sample a minute: name with labels, and values. */
type Series = readonly [name: string, values: string];

interface Case {
  alert: string;
  /** What differs from {@link WELL}; a series that is left out has no values. */
  series: readonly Series[];
  /** When it has to fire, and when it must not yet. */
  fires: string;
  quiet: string;
}

const RULES = ["rules.yaml", "rules-api.yaml", "rules-nodes.yaml"].map((name) => join(CHART, "files", name));
const NODE = '{node="worker-1",instance="10.0.0.1:9090"}';
const MINUTES = 240;
const steady = (value: number): string => `${value}x${MINUTES}`;
/** Once a minute the time is a minute later. */
const CLOCK = `0+60x${MINUTES}`;
/** 41 crashes within 20 minutes, then none. */
const BURST = `0x60 0+2x20 40x160`;

/** Everything is well: nothing may fire. */
const WELL: readonly Series[] = [
  [`cdh_sysctl_healthy${NODE}`, steady(1)],
  ['kube_node_info{node="worker-1",instance="10.9.9.9:8080"}', steady(1)],
  [`cdh_sysctl_kernel_dropped_total{reason="pipe_limit",${NODE.slice(1)}`, steady(3)],
  [`cdh_sysctl_kernel_dropped_total{reason="refused",${NODE.slice(1)}`, CLOCK],
  [`cdh_sysctl_last_check_timestamp_seconds${NODE}`, CLOCK],
  [`cdh_store_available${NODE}`, steady(1)],
  [`cdh_spool_oldest_age_seconds${NODE}`, steady(30)],
  [`cdh_upload_given_up_total${NODE}`, steady(0)],
  [`cdh_quarantine_bundles${NODE}`, steady(0)],
  [`cdh_spool_free_bytes${NODE}`, steady(5e10)],
  ['cdh_crashes_total{namespace="shop",workload="web",signal="SIGSEGV"}', `0+1x10 10x${MINUTES - 10}`],
  ['cdh_api_dumps{pod="a"}', steady(1000)],
  ['cdh_api_requests_total{route="list",status="200"}', `0+100x${MINUTES}`],
  ['cdh_api_requests_total{route="list",status="503"}', `0+1x${MINUTES}`],
  ['cdh_api_requests_total{route="bundle",status="403"}', `0+1x${MINUTES}`],
  ['cdh_api_requests_total{route="bundle",status="429"}', `0+1x${MINUTES}`],
  ['cdh_api_index_timestamp_seconds{pod="a"}', CLOCK],
  ['cdh_api_refresh_interval_seconds{pod="a"}', steady(15)],
  ['cdh_api_listing_seconds{pod="a"}', steady(3)],
  ['cdh_api_garbage_manifests{pod="a"}', steady(0)],
  ['cdh_crash_groups{namespace="shop",phase="regressed",pod="a"}', steady(0)],
  ['cdh_crash_groups{namespace="shop",phase="open",pod="a"}', steady(7)],
  ['cdh_crash_groups_recent{namespace="shop",what="new",pod="a"}', steady(0)],
  ['cdh_crash_groups_recent{namespace="shop",what="returned",pod="a"}', steady(0)],
  ['cdh_crash_groups_recent{namespace="shop",what="countedOnly",pod="a"}', steady(0)],
  ['cdh_retention_failures_total{code="CDH_STORE"}', steady(0)],
  ['cdh_retention_last_run_timestamp_seconds{pod="a"}', CLOCK],
  ['cdh_retention_interval_seconds{pod="a"}', steady(300)],
  ['cdh_retention_leader{pod="a"}', steady(1)],
  ['cdh_retention_leader{pod="b"}', steady(0)],
  ['cdh_retention_removed_total{pod="a",reason="age"}', `0+2x${MINUTES}`],
];

/** All of it is well for an hour; then the trouble begins. */
const CASES: readonly Case[] = [
  {
    alert: "CoreDumpNodeNotWell",
    series: [[`cdh_sysctl_healthy${NODE}`, "1x60 0x180"]],
    fires: "70m",
    quiet: "64m",
  },
  {
    alert: "CoreDumpKernelDropped",
    series: [[`cdh_sysctl_kernel_dropped_total{reason="pipe_limit",${NODE.slice(1)}`, "3x60 67x180"]],
    fires: "63m",
    quiet: "59m",
  },
  {
    alert: "CoreDumpNodeNotChecked",
    series: [[`cdh_sysctl_last_check_timestamp_seconds${NODE}`, "0+60x60 3600x180"]],
    fires: "75m",
    quiet: "64m",
  },
  {
    alert: "CoreDumpStoreUnavailable",
    series: [[`cdh_store_available${NODE}`, "1x60 0x180"]],
    fires: "80m",
    quiet: "74m",
  },
  {
    alert: "CoreDumpTenantStoreUnavailable",
    series: [
      [`cdh_store_rule_available${NODE.replace("}", ', rule="team-a"}')}`, "1x60 0x180"],
      [`cdh_store_rule_available${NODE.replace("}", ', rule="team-b"}')}`, "1x240"],
    ],
    fires: "80m",
    quiet: "74m",
  },
  {
    alert: "CoreDumpUploadStandsStill",
    series: [[`cdh_spool_oldest_age_seconds${NODE}`, "30x60 0+60x180"]],
    fires: "140m",
    quiet: "119m",
  },
  { alert: "CoreDumpLost", series: [[`cdh_upload_given_up_total${NODE}`, "0x60 1x180"]], fires: "65m", quiet: "59m" },
  {
    alert: "CoreDumpQuarantined",
    series: [[`cdh_quarantine_bundles${NODE}`, "0x60 2x180"]],
    fires: "80m",
    quiet: "70m",
  },
  {
    alert: "CoreDumpDiskLow",
    series: [[`cdh_spool_free_bytes${NODE}`, "5e10x60 5e8x180"]],
    fires: "70m",
    quiet: "64m",
  },
  {
    alert: "CoreDumpCrashLoop",
    series: [['cdh_crashes_total{namespace="shop",workload="web",signal="SIGSEGV"}', BURST]],
    fires: "80m",
    quiet: "62m",
  },
  { alert: "CoreDumpApiAbsent", series: [['cdh_api_dumps{pod="a"}', "1000x60 stale"]], fires: "80m", quiet: "70m" },
  {
    alert: "CoreDumpApiFails",
    series: [['cdh_api_requests_total{route="list",status="503"}', "0x60 0+20x180"]],
    fires: "90m",
    quiet: "62m",
  },
  {
    alert: "CoreDumpApiRefusesMany",
    series: [['cdh_api_requests_total{route="bundle",status="403"}', "0x60 0+20x180"]],
    fires: "75m",
    quiet: "62m",
  },
  {
    alert: "CoreDumpApiBusy",
    series: [['cdh_api_requests_total{route="bundle",status="429"}', "0x60 0+20x180"]],
    fires: "75m",
    quiet: "59m",
  },
  {
    alert: "CoreDumpApiIndexOld",
    series: [['cdh_api_index_timestamp_seconds{pod="a"}', "0+60x60 3600x180"]],
    fires: "90m",
    quiet: "70m",
  },
  {
    alert: "CoreDumpManifestsGarbage",
    series: [['cdh_api_garbage_manifests{pod="a"}', "0x60 3x180"]],
    fires: "130m",
    quiet: "110m",
  },
  {
    alert: "CoreDumpRetentionFails",
    series: [['cdh_retention_failures_total{code="CDH_STORE"}', "0x60 0+1x180"]],
    fires: "70m",
    quiet: "60m",
  },
  {
    alert: "CoreDumpRetentionStandsStill",
    series: [['cdh_retention_last_run_timestamp_seconds{pod="a"}', "0+60x60 3600x180"]],
    fires: "95m",
    quiet: "80m",
  },
  {
    alert: "CoreDumpRetentionNoLeader",
    series: [['cdh_retention_leader{pod="a"}', "1x60 0x180"]],
    fires: "80m",
    quiet: "70m",
  },
  {
    alert: "CoreDumpRetentionTwoLeaders",
    series: [['cdh_retention_leader{pod="b"}', "0x60 1x180"]],
    fires: "70m",
    quiet: "64m",
  },
  {
    alert: "CoreDumpRetentionRemovesMuch",
    series: [
      ['cdh_retention_removed_total{pod="a",reason="age"}', "0x60 0+40x180"],
      ['cdh_api_dumps{pod="a"}', "1000x60 1000-10x100 10x79"],
    ],
    fires: "120m",
    quiet: "61m",
  },
  {
    alert: "CoreDumpRetentionFilesStay",
    series: [['cdh_retention_silent_bundles{pod="a"}', "0x60 2x180"]],
    fires: "190m",
    quiet: "170m",
  },
  {
    alert: "CoreDumpNewBug",
    series: [['cdh_crash_groups_recent{namespace="shop",what="new",pod="a"}', "0x60 1x59 0x119"]],
    fires: "61m",
    quiet: "59m",
  },
  {
    alert: "CoreDumpBugRegressed",
    series: [['cdh_crash_groups{namespace="shop",phase="regressed",pod="a"}', "0x60 1x180"]],
    fires: "63m",
    quiet: "61m",
  },
  {
    alert: "CoreDumpBugReturned",
    series: [['cdh_crash_groups_recent{namespace="shop",what="returned",pod="a"}', "0x60 2x59 0x119"]],
    fires: "61m",
    quiet: "121m",
  },
  {
    alert: "CoreDumpLoopOnlyCounted",
    series: [['cdh_crash_groups_recent{namespace="shop",what="countedOnly",pod="a"}', "0x60 1x180"]],
    fires: "72m",
    quiet: "69m",
  },
  {
    alert: "CoreDumpSuspectNode",
    series: [['cdh_suspect_node_groups{node="worker-1",pod="a"}', `0x10 9x${MINUTES - 10}`]],
    fires: "42m",
    quiet: "39m",
  },
  {
    alert: "CoreDumpNodeWithoutPod",
    series: [['kube_node_info{node="worker-2",instance="10.9.9.9:8080"}', `_x60 1x180`]],
    fires: "77m",
    quiet: "70m",
  },
];

/** A rule as its file has it. */
interface Rule {
  alert: string;
  annotations: Record<string, string>;
}

const ALL = RULES.flatMap((file) =>
  (parse(readFileSync(file, "utf8")) as { groups: { rules: Rule[] }[] }).groups.flatMap(({ rules }) => rules),
);

it.each(ALL.map((rule) => [rule.alert, rule] as const))("%s leads to a page that says what to type", (alert, rule) => {
  const [file = "", anchor] = (rule.annotations["runbook_url"] ?? "").split("#");
  expect(file).toBe("docs/alerts.md");
  expect(anchor).toBe(alert.toLowerCase());
  const page = readFileSync(join(CHART, "..", "..", file), "utf8");
  const section = page.split(/^## /m).find((part) => part.startsWith(`${alert}\n`)) ?? "";
  expect(section, `a section of ${alert}`).toMatch(/```sh\n[\s\S]+?\n```/);
});

const found = findOnPath("promtool").path;
const promtool = found === undefined ? unpackDebianPackage("prometheus", "usr/bin/promtool") : { path: found };

describeUnless(
  "reason" in promtool ? promtool.reason : undefined,
  "the chart's alerts, as Prometheus evaluates them",
  () => {
    const directory = mkdtempSync(join(tmpdir(), "cdh-rules-"));
    afterAll(() => rmSync(directory, { recursive: true, force: true }));

    const run = (...args: string[]): string => {
      const { stdout, stderr, status } = spawnSync("path" in promtool ? promtool.path : "", args, { encoding: "utf8" });
      return status === 0 ? "" : `${stdout}${stderr}`;
    };
    /** Tell what is wrong with what fires at a time; empty when it is just that. */
    const trouble = (
      series: readonly Series[],
      expected: readonly (readonly [time: string, alerts: readonly string[]])[],
    ): string => {
      const changed = new Map([...WELL, ...series]);
      const file = join(directory, "test.yaml");
      const tests = [
        {
          interval: "1m",
          input_series: [...changed].map(([name, values]) => ({ series: name, values })),
          promql_expr_test: expected.map(([time, alerts]) => ({
            expr: 'count by (alertname) (ALERTS{alertstate="firing"})',
            eval_time: time,
            exp_samples: alerts.map((alert) => ({ labels: `{alertname="${alert}"}`, value: 1 })),
          })),
        },
      ];
      writeFileSync(file, stringify({ rule_files: RULES, evaluation_interval: "1m", tests }));
      return run("test", "rules", file);
    };

    it.each(RULES)("%s is what Prometheus reads", (file) => {
      expect(run("check", "rules", file)).toBe("");
    });

    it("none fires while all is well", () => {
      expect(
        trouble(
          [],
          [
            ["1m", []],
            ["60m", []],
            ["180m", []],
            ["239m", []],
          ],
        ),
      ).toBe("");
    });

    it.each(CASES)("$alert fires, in time and alone", ({ alert, series, fires, quiet }) => {
      expect(
        trouble(series, [
          [quiet, []],
          [fires, [alert]],
        ]),
      ).toBe("");
    });

    it("each alert was tried", () => {
      expect(CASES.map(({ alert }) => alert)).toEqual(ALL.map(({ alert }) => alert));
    });
  },
);
