import { tryParseBoundedJson } from "@cdh/core/bundle/bounded-json";
import type { ContainerFacts, Manifest, PodFacts, Problem } from "@cdh/core/bundle/manifest";
import type { Bundle } from "@cdh/core/bundle/reader";
import { findCoreEntry } from "@cdh/core/bundle/core-reader";
import { toRfc3339 } from "@cdh/core/clock";
import { CdhError, reasonOf } from "@cdh/core/errors";
import { signalName } from "@cdh/core/signals";
import { salvageJsonTexts } from "./salvage.ts";

/**
 * Tell what a bundle without a manifest says, in the manifest's words: those of IBM's handler v6 to v9 are read, with
 * whatever they have. What the core itself says is added by the caller.
 */
export async function adoptOlderBundle(bundle: Bundle): Promise<Manifest> {
  const problems: Problem[] = [];
  const info = await readDumpInfo(bundle, problems);
  const podItem = await readObject(bundle, "pod-info", problems);
  const psInfo = await readObject(bundle, "ps-info", problems);
  const core = findCoreEntry(bundle);
  const seconds = Number(info["timestamp"]);
  const hasTime = Number.isFinite(seconds) && seconds > 0 && seconds < 1e11;
  const number = Number(info["signal"]);
  const exePath = decodePath(info["path"]);
  const pid = Number(info["real_pid"]);
  const pod = podFacts(podItem);
  const container = containerFacts(psInfo);
  return {
    schemaVersion: 1,
    crashId: info["uuid"] ?? "",
    bundle: bundle.name === undefined ? "" : `${bundle.name}.zip`,
    crashedAt: hasTime ? toRfc3339(seconds * 1000) : "",
    composer: { version: "" },
    node: isKnown(info["node_hostname"]) ? { nodeName: info["node_hostname"] } : {},
    process: {
      ...(isKnown(info["exe"]) ? { comm: info["exe"] } : {}),
      ...(exePath === undefined ? {} : { exe: exePath }),
      ...(Number.isSafeInteger(pid) && pid > 0 ? { pidInNamespace: pid } : {}),
      ...(isKnown(info["hostname"]) ? { hostname: info["hostname"] } : {}),
    },
    signal: Number.isSafeInteger(number) && number > 0 ? { number, name: signalName(number) } : { number: 0, name: "" },
    core: {
      entry: core?.name ?? "",
      compression: core === undefined || core.method === "stored" ? "none" : "deflate",
      sizeBytes: core?.sizeBytes ?? 0,
      storedBytes: core?.storedBytes ?? 0,
      complete: false,
    },
    ...(container === undefined ? {} : { container }),
    ...(pod === undefined ? {} : { pod }),
    problems,
  };
}

async function readDumpInfo(bundle: Bundle, problems: Problem[]): Promise<Record<string, string>> {
  const entry = bundle.findRole("dump-info");
  if (entry === undefined) {
    problems.push({ step: "dump-info", code: "CDH_NOT_FOUND", detail: "the bundle has no dump info" });
    return {};
  }
  const bytes = await bundle.read(entry);
  const value = tryParseBoundedJson(bytes);
  if (isRecord(value)) {
    return Object.fromEntries(
      Object.entries(value).flatMap(([key, text]) => (typeof text === "string" ? [[key, text]] : [])),
    );
  }
  // IBM's handler did not escape what it printed: a quote or a backslash in a name breaks the JSON.
  problems.push({ step: "dump-info", code: "CDH_BUNDLE_JSON", detail: "invalid JSON; its texts were salvaged" });
  return salvageJsonTexts(bytes.toString("utf8"));
}

async function readObject(
  bundle: Bundle,
  role: "pod-info" | "ps-info",
  problems: Problem[],
): Promise<Record<string, unknown>> {
  const entry = bundle.findRole(role);
  if (entry === undefined) return {};
  try {
    const value = tryParseBoundedJson(await bundle.read(entry));
    if (isRecord(value)) return value;
    problems.push({ step: role, code: "CDH_BUNDLE_JSON", detail: "invalid JSON" });
  } catch (error) {
    problems.push({
      step: role,
      code: error instanceof CdhError ? error.code : "CDH_DAMAGED",
      detail: reasonOf(error),
    });
  }
  return {};
}

/** crictl's `pods` item: metadata with name, uid, namespace; labels; id. @see CRI's api.proto, PodSandbox */
function podFacts(item: Record<string, unknown>): PodFacts | undefined {
  const metadata = isRecord(item["metadata"]) ? item["metadata"] : {};
  const labels = isRecord(item["labels"])
    ? Object.entries(item["labels"]).filter((pair): pair is [string, string] => typeof pair[1] === "string")
    : [];
  const facts: PodFacts = {
    ...textField("name", metadata["name"]),
    ...textField("namespace", metadata["namespace"]),
    ...textField("uid", metadata["uid"]),
    ...textField("sandboxId", item["id"]),
    ...(labels.length === 0 ? {} : { labels: Object.fromEntries(labels) }),
  };
  return Object.keys(facts).length === 0 ? undefined : facts;
}

/** crictl's `ps`: the container is known only where the pod has one. @see CRI's api.proto, Container */
function containerFacts(ps: Record<string, unknown>): ContainerFacts | undefined {
  const list = Array.isArray(ps["containers"]) ? ps["containers"].filter(isRecord) : [];
  const only = list.length === 1 ? list[0] : undefined;
  if (only === undefined || typeof only["id"] !== "string") return undefined;
  const metadata = isRecord(only["metadata"]) ? only["metadata"] : {};
  const image = isRecord(only["image"]) ? only["image"] : {};
  return {
    id: only["id"],
    ...textField("name", metadata["name"]),
    ...textField("imageRef", image["image"]),
    ...textField("imageId", only["imageRef"]),
  };
}

/** The kernel's %E writes `!` for `/`. */
function decodePath(path: string | undefined): string | undefined {
  if (path === undefined || !path.startsWith("!")) return undefined;
  return path.replaceAll("!", "/").replace(/ \(deleted\)$/, "");
}

function isKnown(text: string | undefined): text is string {
  return text !== undefined && text !== "" && text !== "unknown";
}

function textField<Key extends string>(key: Key, value: unknown): { [K in Key]?: string } {
  return (typeof value === "string" && value !== "" ? { [key]: value } : {}) as { [K in Key]?: string };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
