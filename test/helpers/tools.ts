import { createHash } from "node:crypto";
import { accessSync, constants, existsSync, readFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { REPOSITORY } from "./repository.ts";

/** What `test/tools/install.sh` gets, pinned; `crds` is a folder of YAML files, `crio` one of two programs, `azurite` a folder of npm's, `pystack` one of Python's. */
export const PINNED_TOOLS = [
  "minio",
  "azurite",
  "fake-gcs-server",
  "versitygw",
  "crictl",
  "crictl-old",
  "dlv",
  "pystack",
  "helm",
  "helm-unittest",
  "kubeconform",
  "kubernetes",
  "crds",
  "crio",
  "cri-dockerd",
] as const;

/** Name a tool of `test/tools`. */
export type PinnedTool = (typeof PINNED_TOOLS)[number];

/** A tool's path, or why there is none. */
export type ToolLookup = { path: string; reason?: undefined } | { path?: undefined; reason: string };

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * Find a program on PATH.
 * @returns its path, or a reason such as `gdb is not on this machine`
 */
export function findOnPath(name: string): ToolLookup {
  for (const directory of [
    ...(process.env["PATH"] ?? "").split(delimiter),
    "/usr/sbin",
    "/sbin",
    "/usr/local/go/bin",
  ]) {
    if (directory !== "" && isExecutable(join(directory, name))) return { path: join(directory, name) };
  }
  return { reason: `${name} is not on this machine` };
}

function isPinned(name: string): name is PinnedTool {
  return (PINNED_TOOLS as readonly string[]).includes(name);
}

function keyOf(name: PinnedTool): string {
  const directory = join(REPOSITORY, "test/tools", name);
  const hash = createHash("sha256");
  for (const file of ["go.mod", "go.sum", "main.go", "package-lock.json", "requirements.txt"]) {
    if (existsSync(join(directory, file))) hash.update(readFileSync(join(directory, file)));
  }
  return hash.digest("hex");
}

/**
 * Find a tool: a pinned one in `.cache/tools/bin` (never the machine's own, whose version is unknown), any other on PATH.
 * Nothing is built here: a suite must not take minutes before its first test.
 */
export function findTool(name: string): ToolLookup {
  if (!isPinned(name)) return findOnPath(name);
  const bin = join(REPOSITORY, ".cache/tools/bin");
  const path = join(bin, name);
  if (!isExecutable(path)) return { reason: `${name} is not built (test/tools/install.sh ${name})` };
  if (readFileSync(join(bin, `.${name}.key`), "utf8").trim() !== keyOf(name)) {
    return { reason: `${name} was built from other pinned versions (test/tools/install.sh ${name})` };
  }
  return { path };
}

/** Join the reasons of the tools that are missing, or undefined when all are there. */
export function missingTools(...names: string[]): string | undefined {
  const reasons = names.flatMap((name) => findTool(name).reason ?? []);
  return reasons.length === 0 ? undefined : reasons.join("; ");
}
