import { CdhError } from "../errors.ts";
import { parseBoundedJson } from "./bounded-json.ts";
import type { Manifest } from "./manifest.ts";
import type { Bundle } from "./reader.ts";

/** Ten thousand threads and modules fit; more is not a manifest. */
const MANIFEST_MAX_BYTES = 16 * 1024 * 1024;

type Kind = "text" | "number" | "flag" | "object" | "texts" | "textMap" | Shape | readonly [Shape];
interface Shape {
  readonly [field: string]: Kind;
}

/** What each known field must be when it is there. Unknown fields pass: a newer composer may add some. */
const SHAPE: Shape = {
  crashId: "text",
  bundle: "text",
  crashedAt: "text",
  composer: { version: "text", durationMs: "number", drainMs: "number", maxRssBytes: "number" },
  node: { nodeName: "text", clusterName: "text", architecture: "text", kernelRelease: "text", bootId: "text" },
  process: {
    pid: "number",
    pidInNamespace: "number",
    tid: "number",
    uid: "number",
    gid: "number",
    comm: "text",
    exe: "text",
    exeBuildId: "text",
    cmdline: "texts",
    hostname: "text",
    startedAt: "text",
    rlimitCoreBytes: "number",
    dumpMode: "number",
  },
  signal: {
    number: "number",
    name: "text",
    code: "number",
    codeName: "text",
    faultAddress: "text",
    senderPid: "number",
    senderUid: "number",
  },
  core: {
    entry: "text",
    compression: "text",
    sizeBytes: "number",
    storedBytes: "number",
    sha256: "text",
    expectedBytes: "number",
    complete: "flag",
    truncatedBy: "text",
  },
  container: { id: "text", name: "text", runtime: "text", imageRef: "text", imageId: "text", restartCount: "number" },
  pod: {
    name: "text",
    namespace: "text",
    uid: "text",
    sandboxId: "text",
    labels: "textMap",
    owner: { kind: "text", name: "text" },
  },
  identity: { source: "text", verified: "flag" },
  restricted: "flag",
  threads: [{ tid: "number", crashed: "flag", registers: "textMap" }],
  modules: [{ path: "text", start: "text", end: "text", buildId: "text", package: "object" }],
  suppressed: { count: "number", since: "text" },
  problems: [{ step: "text", code: "text", detail: "text" }],
};

/**
 * Read a bundle's manifest; undefined when it has none, as IBM's bundles.
 * @throws {CdhError} CDH_BUNDLE_ENTRY_TOO_LARGE, CDH_BUNDLE_JSON, CDH_BUNDLE_SCHEMA and those of reading an entry
 */
export async function readManifest(bundle: Bundle): Promise<Manifest | undefined> {
  const entry = bundle.findRole("manifest");
  if (entry === undefined) return undefined;
  return parseManifest(await bundle.read(entry, { maxBytes: MANIFEST_MAX_BYTES }), bundle.source.label);
}

/**
 * Parse a manifest and hold it to its types, so that no reader meets a surprise later.
 * @throws {CdhError} CDH_BUNDLE_JSON when it is no manifest, CDH_BUNDLE_SCHEMA when a newer composer wrote it
 */
export function parseManifest(bytes: Uint8Array, label: string): Manifest {
  const value = parseBoundedJson(bytes, `the manifest of ${label}`);
  if (!isRecord(value)) throw jsonError(label, "it is no object");
  if (value["schemaVersion"] !== 1) {
    throw new CdhError(
      "CDH_BUNDLE_SCHEMA",
      `cannot read the manifest of ${label}: schema version ${JSON.stringify(value["schemaVersion"])}, this program knows 1`,
      {
        hint: "take a newer cdh-inspect",
      },
    );
  }
  checkShape(value, SHAPE, "", label);
  if (typeof value["crashId"] !== "string" || !isRecord(value["core"]) || typeof value["core"]["entry"] !== "string") {
    throw jsonError(label, "crashId and core.entry are missing");
  }
  const filled = {
    schemaVersion: 1,
    crashId: "",
    bundle: "",
    crashedAt: "",
    composer: { version: "" },
    node: {},
    process: {},
    problems: [],
    ...value,
    signal: { number: 0, name: "", ...(isRecord(value["signal"]) ? value["signal"] : {}) },
    core: { compression: "none", sizeBytes: 0, storedBytes: 0, complete: false, ...value["core"] },
  };
  return filled as unknown as Manifest;
}

function checkShape(value: Record<string, unknown>, shape: Shape, path: string, label: string): void {
  for (const [field, kind] of Object.entries(shape)) {
    const found = value[field];
    if (found === undefined) continue;
    const at = `${path}${field}`;
    if (typeof kind === "string") {
      if (!isKind(found, kind)) throw jsonError(label, `${at} is not what it must be (${kind})`);
    } else if (Array.isArray(kind)) {
      if (!Array.isArray(found)) throw jsonError(label, `${at} is no list`);
      for (const [index, item] of found.entries())
        checkObject(item, (kind as readonly [Shape])[0], `${at}[${index}]`, label);
    } else {
      checkObject(found, kind as Shape, at, label);
    }
  }
}

function checkObject(value: unknown, shape: Shape, path: string, label: string): void {
  if (!isRecord(value)) throw jsonError(label, `${path} is no object`);
  checkShape(value, shape, `${path}.`, label);
}

function isKind(value: unknown, kind: string): boolean {
  if (kind === "text") return typeof value === "string";
  if (kind === "number") return typeof value === "number";
  if (kind === "flag") return typeof value === "boolean";
  if (kind === "texts") return Array.isArray(value) && value.every((item) => typeof item === "string");
  if (kind === "textMap") return isRecord(value) && Object.values(value).every((item) => typeof item === "string");
  return isRecord(value);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function jsonError(label: string, why: string): CdhError {
  return new CdhError("CDH_BUNDLE_JSON", `cannot read the manifest of ${label}: ${why}`);
}
