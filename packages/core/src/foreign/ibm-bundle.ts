import { CdhError, reasonOf } from "../base/errors.ts";
import { tryParseJson } from "../base/json.ts";
import { tryRecord, type JsonObject } from "../base/records.ts";
import { findCoreEntry } from "../bundle/core-reader.ts";
import type { ContainerFacts, Manifest, PodFacts, Problem } from "../bundle/manifest.ts";
import type { EntryRole } from "../bundle/reader-roles.ts";
import type { Bundle, BundleEntry } from "../bundle/reader.ts";
import { readContainer, readPod } from "../container/crictl-facts.ts";
import { asObjects, digTexts } from "../container/json.ts";
import { manifestOf } from "../crash/manifest-of.ts";
import { decodeExecutablePath } from "../kernel/executable-path.ts";
import { repairJsonTexts } from "./repair-json.ts";

/** No answer of crictl about one pod is larger, and no dump info. */
const JSON_MAX_BYTES = 4 * 1024 * 1024;

/**
 * Tell what a bundle of IBM's handler (v6 to v9) says, in the manifest's words: it has no manifest of its own. Dump info
 * that a quote in a name has broken is repaired. What the core itself says is not read here.
 * @param name `N`, where the dump info has no id
 * @throws {CdhError} CDH_BUNDLE_NO_CORE when the zip holds neither a core nor dump info; CDH_DISK, the CDH_STORE family
 */
export async function describeIbmBundle(bundle: Bundle, name: string): Promise<Manifest> {
  const core = findCoreEntry(bundle);
  const hasInfo = bundle.findRole("dump-info") !== undefined;
  if (core === undefined && !hasInfo)
    throw new CdhError("CDH_BUNDLE_NO_CORE", `${bundle.source.label} is a zip, but no bundle: it holds no core`);
  const problems: Problem[] = [];
  const info = await readDumpInfo(bundle, problems);
  // `inspectp`, which some releases wrote and some not, says of the pod what its item in a list does.
  const pod =
    podIn(await readObject(bundle, "pod-info", problems)) ?? podIn(await readObject(bundle, "runtime-info", problems));
  const container = onlyContainer(await readObject(bundle, "ps-info", problems));
  const text = (key: string): string | undefined => knownText(info[key]);
  const seconds = Number(text("timestamp"));
  return manifestOf({
    crashId: text("uuid") ?? uuidIn(name) ?? name,
    bundle: `${name}.zip`,
    crashedAtMs: seconds > 0 && seconds < 1e11 ? seconds * 1000 : undefined,
    composer: { version: "" },
    node: { nodeName: text("node_hostname") },
    process: {
      comm: text("exe"),
      exe: decodeExecutablePath(text("path") ?? "").exe,
      pidInNamespace: positive(text("real_pid")),
      hostname: text("hostname"),
    },
    signal: positive(text("signal")),
    core: {
      entry: core?.name ?? "",
      compression: compressionOf(core),
      sizeBytes: core?.sizeBytes ?? 0,
      storedBytes: core?.storedBytes ?? 0,
    },
    container,
    pod,
    // IBM's handler asks crictl for the pod whose name is the process's host name, which any process may set.
    identity: pod === undefined ? undefined : { source: "hostname", verified: false },
    restricted: info["restricted"] === "true",
    problems,
  });
}

function compressionOf(core: BundleEntry | undefined): Manifest["core"]["compression"] {
  if (core === undefined) return "none";
  if (core.name.endsWith(".zst")) return "zstd";
  return core.method === "deflate" ? "deflate" : "none";
}

async function readDumpInfo(bundle: Bundle, problems: Problem[]): Promise<Record<string, string>> {
  const bytes = await tryRead(bundle, "dump-info", problems);
  if (bytes === undefined) {
    if (bundle.findRole("dump-info") === undefined)
      problems.push({ step: "dump-info", code: "CDH_NOT_FOUND", detail: "the bundle has no dump info" });
    return {};
  }
  const value = tryRecord(tryParseJson(bytes));
  if (value !== undefined) return digTexts(value);
  // IBM's handler did not escape what it printed: a quote or a backslash in a name breaks the JSON.
  problems.push({ step: "dump-info", code: "CDH_BUNDLE_JSON", detail: "invalid JSON; its texts were salvaged" });
  return repairJsonTexts(bytes.toString("utf8"));
}

async function readObject(bundle: Bundle, role: EntryRole, problems: Problem[]): Promise<JsonObject> {
  const bytes = await tryRead(bundle, role, problems);
  if (bytes === undefined) return {};
  const value = tryRecord(tryParseJson(bytes));
  if (value === undefined) problems.push({ step: role, code: "CDH_BUNDLE_JSON", detail: "invalid JSON" });
  return value ?? {};
}

/** An entry that is damaged costs what it says, not the rest. */
async function tryRead(bundle: Bundle, role: EntryRole, problems: Problem[]): Promise<Buffer | undefined> {
  const entry = bundle.findRole(role);
  if (entry === undefined) return undefined;
  try {
    return await bundle.read(entry, { maxBytes: JSON_MAX_BYTES });
  } catch (error) {
    if (!(error instanceof CdhError) || !error.code.startsWith("CDH_BUNDLE_")) throw error;
    problems.push({ step: role, code: error.code, detail: reasonOf(error) });
    return undefined;
  }
}

function podIn(answer: JsonObject): PodFacts | undefined {
  const { state: _state, createdAtMs: _createdAtMs, ...pod } = readPod(answer);
  return pod.name === undefined && pod.namespace === undefined ? undefined : pod;
}

/** Which of several containers crashed is not said anywhere. */
function onlyContainer(ps: JsonObject): ContainerFacts | undefined {
  const [only, ...others] = asObjects(ps["containers"]);
  if (only === undefined || others.length > 0) return undefined;
  const { sandboxId: _sandboxId, logPath: _logPath, pod: _pod, id, ...facts } = readContainer(only);
  return id === undefined ? undefined : { id, ...facts };
}

/** IBM's handler writes `unknown` for what it could not find out. */
function knownText(text: string | undefined): string | undefined {
  return text === undefined || text === "" || text === "unknown" ? undefined : text;
}

function positive(text: string | undefined): number | undefined {
  const number = Number(text);
  return Number.isSafeInteger(number) && number > 0 ? number : undefined;
}

function uuidIn(text: string): string | undefined {
  return /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/i.exec(text)?.[0];
}
