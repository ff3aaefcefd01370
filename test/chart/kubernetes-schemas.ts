import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { REPOSITORY } from "../helpers/repository.ts";
import { findOnPath } from "../helpers/tools.ts";

type Schema = Record<string, unknown>;

/**
 * Find the Kubernetes API's own description: kubectl's module carries it, and building the pinned helm has downloaded that
 * module. Nothing is downloaded here.
 */
export function findOpenApi(): { path: string; reason?: undefined } | { path?: undefined; reason: string } {
  const go = findOnPath("go");
  if (go.path === undefined) return { reason: go.reason };
  const { stdout, stderr } = spawnSync(go.path, ["list", "-m", "-f", "{{.Dir}}", "k8s.io/kubectl"], {
    cwd: join(REPOSITORY, "test", "tools", "helm"),
    encoding: "utf8",
    env: { ...process.env, GOPROXY: "off", GOFLAGS: "-mod=readonly" },
  });
  const path = join(stdout.trim(), "testdata", "openapi", "swagger.json");
  if (stdout.trim() !== "" && existsSync(path)) return { path };
  return {
    reason: `the Kubernetes schemas are not in Go's module cache (test/tools/install.sh helm) ${stderr.trim()}`,
  };
}

/**
 * Write JSON schemas for kubeconform, one for each kind, strict: a field that Kubernetes does not know is refused.
 * @returns the schema location to give to kubeconform
 */
export function writeSchemas(openApi: string, folder: string): string {
  const { definitions } = JSON.parse(readFileSync(openApi, "utf8")) as { definitions: Record<string, Schema> };
  const strict = Object.fromEntries(Object.entries(definitions).map(([name, schema]) => [name, close(name, schema)]));
  writeFileSync(join(folder, "definitions.json"), JSON.stringify({ definitions: strict }));
  for (const [name, schema] of Object.entries(definitions)) {
    const kinds = (schema["x-kubernetes-group-version-kind"] ?? []) as {
      group: string;
      version: string;
      kind: string;
    }[];
    for (const { group, version, kind } of kinds) {
      const suffix = group === "" ? `-${version}` : `-${group.split(".")[0] ?? ""}-${version}`;
      const file = join(folder, `${kind.toLowerCase()}${suffix}.json`);
      writeFileSync(file, JSON.stringify({ $ref: `definitions.json#/definitions/${name}` }));
    }
  }
  return join(folder, "{{ .ResourceKind }}{{ .KindSuffix }}.json");
}

/** Write JSON schemas for the kinds that a folder of custom resource definitions describes, as strict. */
export function writeCustomSchemas(definitions: string, folder: string): void {
  for (const file of readdirSync(definitions)) {
    const { spec } = parse(readFileSync(join(definitions, file), "utf8")) as CustomDefinition;
    for (const { name, schema } of spec.versions) {
      const target = `${spec.names.kind.toLowerCase()}-${spec.group.split(".")[0] ?? ""}-${name}.json`;
      writeFileSync(join(folder, target), JSON.stringify(closeAll(schema.openAPIV3Schema)));
    }
  }
}

interface CustomDefinition {
  spec: {
    group: string;
    names: { kind: string };
    versions: { name: string; schema: { openAPIV3Schema: Schema } }[];
  };
}

/** A definition holds everything in one piece, so every object in it is closed that does not say otherwise. */
function closeAll(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(closeAll);
  if (typeof value !== "object" || value === null) return value;
  const copy = Object.fromEntries(
    Object.entries(value)
      .filter(([key, item]) => !(key === "format" && typeof item === "string"))
      .map(([key, item]) => [key, closeAll(item)]),
  );
  const open = "x-kubernetes-preserve-unknown-fields" in copy || "additionalProperties" in copy;
  if (copy["type"] === "object" && "properties" in copy && !open) copy["additionalProperties"] = false;
  if (copy["nullable"] === true && typeof copy["type"] === "string") copy["type"] = [copy["type"], "null"];
  return copy;
}

function close(name: string, schema: Schema): Schema {
  if (name.endsWith(".IntOrString")) return { type: ["integer", "string"] };
  if (name.endsWith(".Quantity")) return { type: ["number", "string"] };
  const copy = withoutFormats(schema) as Schema;
  if (copy["properties"] !== undefined && copy["additionalProperties"] === undefined)
    copy["additionalProperties"] = false;
  return copy;
}

/** Kubernetes' formats (`int-or-string`, `byte`) are not JSON schema's. */
function withoutFormats(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutFormats);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key, item]) => !(key === "format" && typeof item === "string"))
      .map(([key, item]) => [key, withoutFormats(item)]),
  );
}
