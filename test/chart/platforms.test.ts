import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { parse } from "yaml";
import { PROFILES } from "../../packages/cdh-sysctl/src/node/profiles.ts";
import { REPOSITORY } from "../helpers/repository.ts";
import { describeUnless } from "../helpers/skip.ts";
import { findTool, missingTools } from "../helpers/tools.ts";
import { containerOf, envOf, lint, platforms, podOf, render } from "./helm.ts";
import { findOpenApi, writeCustomSchemas, writeSchemas } from "./kubernetes-schemas.ts";

const BUCKET = { store: { bucket: "cores" } };
const EXPECTED =
  "aks bottlerocket digitalocean eks eks-irsa gke-cos gke-ubuntu iks k3s kind minikube oke openshift roks talos".split(
    " ",
  );

const every: unknown = parse(readFileSync(join(import.meta.dirname, "every.yaml"), "utf8"));

describeUnless(missingTools("helm"), "a values file for a platform", () => {
  it("is there for every platform", () => {
    expect(platforms().sort()).toEqual(EXPECTED);
  });

  it.each(platforms())("%s: renders, and helm lint is content", (platform) => {
    expect(render(BUCKET, { files: [platform] }).refused).toBe("");
    expect(lint(platform)).toMatchObject({ status: 0, output: expect.not.stringContaining("[WARNING]") as string });
  });

  it.each(platforms())("%s: both containers mean the same spool, and the profile's directories", (platform) => {
    const rendered = render(BUCKET, { files: [platform] });
    const node = envOf(containerOf(rendered, "node"));
    const upload = containerOf(rendered, "upload");
    expect(envOf(upload)["CORE_DIR"]).toBe(node["CORE_DIR"]);
    expect(upload.volumeMounts[0]).toMatchObject({ name: "core-volume", mountPath: node["CORE_DIR"] });
    expect(podOf(rendered).volumes.find(({ name }) => name === "core-volume")?.hostPath?.path).toBe(node["CORE_DIR"]);
    const name = (node["PROFILE"] ?? "default") as keyof typeof PROFILES;
    const profile: { hostDir: string; coreDir?: string; mode: string } = PROFILES[name];
    expect(node["HOST_DIR"]).toBe(profile.hostDir);
    expect(node["CORE_DIR"]).toBe(profile.coreDir ?? `${profile.hostDir}/cores`);
    expect(node["MODE"] ?? "pipe").toBe(profile.mode);
  });
});

const PAGE = readFileSync(join(REPOSITORY, "docs/platforms.md"), "utf8");

/** The cells of the page's rows that begin with a file's name, by how many there are. */
function rowsOf(cells: number): string[][] {
  return PAGE.split("\n")
    .filter((line) => /^\| `[a-z0-9-]+` \|/.test(line))
    .map((line) => line.split("|").slice(1, -1))
    .map((row) => row.map((cell) => cell.trim().replaceAll("`", "")))
    .filter((row) => row.length === cells);
}

function leavesOf(value: unknown, path: string): [string, unknown][] {
  const isMap = typeof value === "object" && value !== null && !Array.isArray(value);
  if (!isMap) return [[path, value]];
  return Object.entries(value).flatMap(([key, inner]) => leavesOf(inner, path === "" ? key : `${path}.${key}`));
}

function valuesOf(platform: string): [string, unknown][] {
  const path = join(REPOSITORY, `charts/core-dump-handler/values.${platform}.yaml`);
  return leavesOf(parse(readFileSync(path, "utf8")), "");
}

it.each(EXPECTED)("docs/platforms.md has a source for each setting of values.%s.yaml, and its value", (platform) => {
  const told = rowsOf(4).filter(([file]) => file === platform);
  const settings = valuesOf(platform);
  expect(told.map(([, setting]) => setting).toSorted()).toEqual(settings.map(([setting]) => setting).toSorted());
  for (const [, setting = "", value, source] of told) {
    const real = settings.find(([name]) => name === setting)?.[1];
    const isEmpty = real === "" || real === null || (Array.isArray(real) && real.length === 0);
    if (value !== "yours") expect([setting, value]).toEqual([setting, isEmpty ? "empty" : String(real)]);
    if (value !== "yours") expect(source, setting).toMatch(/\w{3}/);
  }
});

it.each(EXPECTED)("docs/platforms.md tells the directories and the mode that values.%s.yaml has", (platform) => {
  const [row] = rowsOf(6).filter(([file]) => file === platform);
  const set = Object.fromEntries(valuesOf(platform));
  const name = (set["node.profile"] ?? "default") as keyof typeof PROFILES;
  const profile: { hostDir: string; coreDir?: string; mode: string } = PROFILES[name];
  const [, , hostDir = "", coreDir = "", mode] = row ?? [];
  expect(mode).toBe(profile.mode);
  // A row that says "the same" leaves both out.
  if (hostDir !== "" && hostDir !== "–") expect(hostDir).toBe(profile.hostDir);
  if (coreDir !== "") expect(coreDir).toBe(profile.coreDir ?? "HOST_DIR/cores");
});

const openApi = findOpenApi();
describeUnless(
  missingTools("helm", "kubeconform", "crds") ?? openApi.reason,
  "the schemas of Kubernetes, OpenShift and the Prometheus operator, strict",
  () => {
    let folder: string;
    let location: string;
    beforeAll(() => {
      folder = mkdtempSync(join(tmpdir(), "cdh-schemas-"));
      location = writeSchemas(openApi.path ?? "", folder);
      writeCustomSchemas(findTool("crds").path ?? "", folder);
    });
    afterAll(() => rmSync(folder, { recursive: true, force: true }));

    const validate = (text: string): { status: number | null; stdout: string } =>
      spawnSync(findTool("kubeconform").path ?? "", ["-strict", "-summary", "-schema-location", location, "-"], {
        encoding: "utf8",
        input: text,
      });

    it.each(platforms())("accept every object for %s", (platform) => {
      const { stdout, status } = validate(render(BUCKET, { files: [platform] }).text);
      expect(stdout).toContain("Invalid: 0, Errors: 0, Skipped: 0");
      expect(status).toBe(0);
    });

    it("accept every object when everything is switched on", () => {
      const { stdout, status } = validate(render(every).text);
      expect(stdout).toContain("Invalid: 0, Errors: 0, Skipped: 0");
      expect(status).toBe(0);
    });

    it.each([
      ["a DaemonSet", "hostNetwork:", "hostNetwerk:"],
      ["a SecurityContextConstraints", "allowHostPorts:", "allowHostPort:"],
      ["a PodMonitor", "podMetricsEndpoints:", "podMetricEndpoints:"],
      ["a ServiceMonitor", "endpoints:", "endpoint:"],
      ["a PrometheusRule", "groups:\n", "group:\n"],
    ])("refuse a field that does not exist in %s", (_, right, wrong) => {
      const { text } = render(every);
      expect(text).toContain(right);
      const { stdout, status } = validate(text.replaceAll(right, wrong));
      expect(stdout).toContain(wrong.trim().replace(":", ""));
      expect(status).toBe(1);
    });
  },
);
