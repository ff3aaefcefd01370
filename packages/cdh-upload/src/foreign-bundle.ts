import { parseBoundedJson } from "@cdh/core/bundle/bounded-json";
import type { Manifest, PodFacts } from "@cdh/core/bundle/manifest";
import type { Bundle } from "@cdh/core/bundle/reader";
import type { EntryRole } from "@cdh/core/bundle/reader-roles";
import { toRfc3339 } from "@cdh/core/clock";
import { CdhError } from "@cdh/core/errors";
import { signalName } from "@cdh/core/signals";

const JSON_MAX_BYTES = 4 * 1024 * 1024;

type Json = Record<string, unknown>;

/**
 * Make a manifest for a bundle that has none: IBM's composer writes none. What it knows comes from the dump info and
 * from crictl's answers; the rest is absent.
 * @throws {CdhError} CDH_BUNDLE_NO_CORE when the zip holds neither a core nor dump info
 */
export async function describeForeignBundle(bundle: Bundle, name: string): Promise<Manifest> {
  const core = bundle.findRole("core");
  const info = await readJson(bundle, "dump-info");
  if (core === undefined && info === undefined) {
    throw new CdhError("CDH_BUNDLE_NO_CORE", `${bundle.source.label} is a zip, but no bundle: it holds no core`);
  }
  const text = (key: string): string | undefined => textOf(info?.[key]);
  const pod = await readPod(bundle);
  const seconds = Number(text("timestamp"));
  const signal = Number(text("signal"));
  const pid = Number(text("real_pid"));
  const exe = text("path")?.replaceAll("!", "/");
  const compression = core?.name.endsWith(".zst") === true ? "zstd" : core?.method === "deflate" ? "deflate" : "none";
  return {
    schemaVersion: 1,
    crashId: text("uuid") ?? name,
    bundle: `${name}.zip`,
    crashedAt: Number.isSafeInteger(seconds) && seconds > 0 && seconds < 1e11 ? toRfc3339(seconds * 1000) : "",
    composer: { version: "" },
    node: dropUndefined({ nodeName: text("node_hostname") }),
    process: dropUndefined({
      comm: text("exe"),
      exe,
      hostname: text("hostname"),
      pidInNamespace: Number.isSafeInteger(pid) && pid > 0 ? pid : undefined,
    }),
    signal:
      Number.isSafeInteger(signal) && signal > 0
        ? { number: signal, name: signalName(signal) }
        : { number: 0, name: "" },
    core: {
      entry: core?.name ?? "",
      compression,
      sizeBytes: core?.sizeBytes ?? 0,
      storedBytes: core?.storedBytes ?? 0,
      complete: false,
    },
    ...(pod === undefined ? {} : { pod, identity: { source: "hostname", verified: false } }),
    problems: [
      {
        step: "upload",
        code: "CDH_BUNDLE_JSON",
        detail:
          "the bundle has no readable manifest; this one was made from its other entries, and whether the core is whole is unknown",
      },
    ],
  };
}

/** Find the pod in crictl's pod item, or in its `inspectp`, which older releases wrote too. */
async function readPod(bundle: Bundle): Promise<PodFacts | undefined> {
  const item = await readJson(bundle, "pod-info");
  const status = objectOf((await readJson(bundle, "runtime-info"))?.["status"]);
  const metadata = objectOf(item?.["metadata"]) ?? objectOf(status?.["metadata"]);
  const facts = dropUndefined({
    name: textOf(metadata?.["name"]),
    namespace: textOf(metadata?.["namespace"]),
    uid: textOf(metadata?.["uid"]),
    sandboxId: textOf(item?.["id"]) ?? textOf(status?.["id"]),
  });
  return facts.name === undefined && facts.namespace === undefined ? undefined : facts;
}

async function readJson(bundle: Bundle, role: EntryRole): Promise<Json | undefined> {
  const entry = bundle.findRole(role);
  if (entry === undefined) return undefined;
  try {
    return objectOf(parseBoundedJson(await bundle.read(entry, { maxBytes: JSON_MAX_BYTES }), entry.name));
  } catch (error) {
    // IBM's dump info is invalid JSON when a name held a quote; the core counts.
    if (error instanceof CdhError) return undefined;
    throw error;
  }
}

function objectOf(value: unknown): Json | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : undefined;
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

/** Leave out what is not known, because absent means unknown. */
function dropUndefined<T extends object>(value: T): { [Key in keyof T]?: Exclude<T[Key], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, found]) => found !== undefined)) as {
    [Key in keyof T]?: Exclude<T[Key], undefined>;
  };
}
