import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { describeUnless } from "../helpers/skip.ts";
import { findTool, missingTools } from "../helpers/tools.ts";
import { CHART } from "./helm.ts";

describeUnless(missingTools("helm-unittest"), "the suites in the chart's own folder", () => {
  let copy: string;
  beforeAll(() => {
    copy = mkdtempSync(join(tmpdir(), "cdh-unittest-"));
    cpSync(CHART, copy, { recursive: true });
  });
  afterAll(() => rmSync(copy, { recursive: true, force: true }));

  const unittest = (): { status: number | null; stdout: string } =>
    spawnSync(findTool("helm-unittest").path ?? "", ["--strict", copy], { encoding: "utf8" });

  it("pass with helm-unittest", () => {
    const { status, stdout } = unittest();
    expect(stdout).toMatch(/Test Suites: (\d+) passed, \1 total/);
    expect(status).toBe(0);
  });

  it.each([
    ["a privileged uploader", "_containers.tpl", "privileged: false", "privileged: true"],
    ["a mount that reaches the node", "_containers.tpl", "{{ $v.node.hostRootPropagation }}", "Bidirectional"],
    ["more rights than needed", "rbac.yaml", "verbs: [create, get, patch]", "verbs: ['*']"],
    ["a Secret without keys", "secret.yaml", '{{- if include "cdh.managesSecret" . }}', "{{- if true }}"],
    ["a refusal that is gone", "_refuse.tpl", "{{- if $found }}", "{{- if false }}"],
    ["names that are not cut", "_names.tpl", "trunc 63", "trunc 99"],
    ["metrics that nobody asked for", "monitors.yaml", "{{- if $m.dashboard.enabled }}", "{{- if true }}"],
  ])("fail with %s", (_, name, right, wrong) => {
    const file = join(copy, "templates", name);
    const before = readFileSync(file, "utf8");
    expect(before).toContain(right);
    writeFileSync(file, before.replaceAll(right, wrong));
    try {
      expect(unittest()).toMatchObject({ status: 1, stdout: expect.stringContaining("FAIL") as string });
    } finally {
      writeFileSync(file, before);
    }
  });
});
