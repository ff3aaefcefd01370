import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";
import { REPOSITORY } from "../helpers/repository.ts";
import { findTool } from "../helpers/tools.ts";

/** The chart's directory. */
export const CHART = join(REPOSITORY, "charts", "core-dump-handler");

/** The Kubernetes that the chart is rendered for; a helm that is built from its module does not know one. */
export const KUBE_VERSION = "1.34.0";

/** The least that has to be given, beside {@link IMAGE}. */
export const STORE = { store: { url: "s3://cores/prod" } };

/** Where the image lies: under the values of every test, which may say otherwise. */
export const IMAGE = join(REPOSITORY, "test", "chart", "image.yaml");

/** A rendered object, as far as the tests look at it. */
export interface Manifest {
  kind: string;
  metadata: { name: string; labels?: Record<string, string> };
  // The rest differs from kind to kind; the tests name what they expect.
  [key: string]: unknown;
}

/** A container of the rendered DaemonSet. */
export interface Container {
  name: string;
  image: string;
  command?: string[];
  env?: { name: string; value?: string; valueFrom?: Record<string, Record<string, unknown>> }[];
  envFrom?: unknown[];
  volumeMounts: { name: string; mountPath: string; readOnly?: boolean; mountPropagation?: string; subPath?: string }[];
  securityContext?: Record<string, unknown>;
  resources?: { requests?: Record<string, string>; limits?: Record<string, string> };
}

/** The rendered pod. */
export interface PodSpec {
  containers: Container[];
  initContainers?: Container[];
  volumes: { name: string; hostPath?: { path: string; type: string } }[];
  [key: string]: unknown;
}

/** What helm said. */
export interface Rendered {
  objects: Manifest[];
  text: string;
  /** What it printed when it refused. */
  refused: string;
}

/** Name the values files for platforms, without `values.` and `.yaml`. */
export function platforms(): string[] {
  return readdirSync(CHART).flatMap((name) => /^values\.([a-z0-9-]+)\.yaml$/.exec(name)?.[1] ?? []);
}

function helm(args: readonly string[], input?: string): { status: number | null; stdout: string; stderr: string } {
  const { path, reason } = findTool("helm");
  if (path === undefined) throw new Error(reason);
  return spawnSync(path, args, { encoding: "utf8", input, maxBuffer: 1 << 26 });
}

/** Render the chart with values given as an object, after values files of platforms. */
export function render(
  values: unknown,
  options: { files?: readonly string[]; release?: string; chart?: string } = {},
): Rendered {
  const files = (options.files ?? []).flatMap((name) => ["-f", join(CHART, `values.${name}.yaml`)]);
  const { status, stdout, stderr } = helm(
    ["template", options.release ?? "cdh", options.chart ?? CHART, "--namespace", "observe"].concat(
      ["--kube-version", KUBE_VERSION, "-f", IMAGE],
      files,
      ["-f", "-"],
    ),
    JSON.stringify(values),
  );
  if (status !== 0) return { objects: [], text: "", refused: stderr };
  const objects = parseAllDocuments(stdout).flatMap((document) => {
    if (document.errors.length > 0) throw new Error(`not YAML: ${document.errors[0]?.message ?? ""}\n${stdout}`);
    const value: unknown = document.toJS();
    return value === null ? [] : [value as Manifest];
  });
  return { objects, text: stdout, refused: "" };
}

/** Run `helm lint` over a platform's values. */
export function lint(platform: string): { status: number | null; output: string } {
  const args = ["lint", CHART, "--strict", "--kube-version", KUBE_VERSION];
  const { status, stdout, stderr } = helm(
    [...args, "-f", IMAGE, "-f", join(CHART, `values.${platform}.yaml`), "-f", "-"],
    JSON.stringify({ store: { bucket: "cores" } }),
  );
  return { status, output: stdout + stderr };
}

/**
 * Render the notes that helm prints after an install. It does so only with a cluster, so a copy of the chart has them as
 * an object's text.
 */
export function notes(values: unknown): string {
  const copy = mkdtempSync(join(tmpdir(), "cdh-notes-"));
  try {
    cpSync(CHART, copy, { recursive: true });
    const templates = join(copy, "templates");
    const text = readFileSync(join(templates, "NOTES.txt"), "utf8");
    rmSync(join(templates, "NOTES.txt"));
    writeFileSync(join(templates, "_notes.tpl"), `{{- define "cdh.notes" -}}\n${text}\n{{- end -}}`);
    const object = 'kind: Notes\nmetadata: { name: notes }\ntext: {{ include "cdh.notes" . | toJson }}\n';
    writeFileSync(join(templates, "notes.yaml"), object);
    return only(render(values, { chart: copy }), "Notes")["text"] as string;
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

/** Find the one object of a kind; throws when there are none or several. */
export function only(rendered: Rendered, kind: string): Manifest {
  const found = rendered.objects.filter((object) => object.kind === kind);
  const [first] = found;
  if (first === undefined || found.length > 1) {
    throw new Error(`${found.length} objects of kind ${kind}; ${rendered.refused}`);
  }
  return first;
}

/** The pod of the rendered DaemonSet. */
export function podOf(rendered: Rendered): PodSpec {
  return (only(rendered, "DaemonSet")["spec"] as { template: { spec: PodSpec } }).template.spec;
}

/** A container of the rendered DaemonSet. */
export function containerOf(rendered: Rendered, name: string): Container {
  const found = podOf(rendered).containers.find((container) => container.name === name);
  if (found === undefined) throw new Error(`no container ${name}`);
  return found;
}

/** The environment that a container is given in so many words. */
export function envOf(container: Container): Record<string, string> {
  return Object.fromEntries(
    (container.env ?? []).flatMap(({ name, value }) => (value === undefined ? [] : [[name, value]])),
  );
}
