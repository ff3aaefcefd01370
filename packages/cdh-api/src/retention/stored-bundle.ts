import type { DumpRecord } from "../index/dump-record.ts";
import { isKeptByPod, namespaceOf, type PlacementRules } from "../index/placement.ts";
import type { ManifestHead } from "../manifests/head.ts";

/** What Kubernetes allows for a name, wherever it stands in a path. */
const NAME = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;

const BUNDLE_END = ".zip";
const MANIFEST_END = ".manifest.json";
const KEEP_END = ".keep";

/** One of the two objects of a bundle, as a listing shows it. */
export interface StoredObject {
  sizeBytes: number;
  /** Epoch milliseconds. */
  modifiedAt: number;
}

/** What retention has to know of a manifest. */
export interface ManifestFacts {
  /** Epoch milliseconds by the node's clock; NaN when the manifest has no usable time. */
  crashedAt: number;
  /** The namespace under which the API shows it, and whose limits apply. */
  namespace: string;
  /** The cluster that it names, or `""`. */
  cluster: string;
  /** Whether the pod carried the label that protects. */
  isKept: boolean;
  /** The pod as the API server knows it; absent when there was none, or when it was only guessed. */
  pod?: { namespace: string; name: string; uid: string };
}

/** What lies in the store under one name. */
export interface StoredBundle {
  /** The key without its ending. */
  stem: string;
  bundle?: StoredObject;
  manifest?: StoredObject;
  /** An object `STEM.keep` lies beside it. */
  isKept: boolean;
  /** `garbage`: there is a manifest, and nobody can read it. Absent: there is none. */
  facts?: ManifestFacts | "garbage";
}

/** Take the same from what the index of the API keeps of it. */
export function factsOfRecord(record: DumpRecord): ManifestFacts {
  const { podNamespace: namespace, podName: name, podUid: uid } = record;
  return {
    crashedAt: record.crashedAt,
    namespace: record.namespace,
    cluster: record.clusterName ?? "",
    isKept: record.keepByPod,
    ...(record.identityVerified === true && isName(namespace) && isName(name) && isName(uid)
      ? { pod: { namespace, name, uid } }
      : {}),
  };
}

function isName(text: string | undefined): text is string {
  return text !== undefined && NAME.test(text) && !text.includes("..");
}

/** Name the objects of a stem. */
export function keysOfStem(stem: string): { bundle: string; manifest: string; keep: string } {
  return { bundle: `${stem}${BUNDLE_END}`, manifest: `${stem}${MANIFEST_END}`, keep: `${stem}${KEEP_END}` };
}

/** Take a key apart; undefined when it is none of a bundle's. */
export function tryParseKey(key: string): { stem: string; role: "bundle" | "manifest" | "keep" } | undefined {
  for (const [end, role] of [
    [MANIFEST_END, "manifest"],
    [BUNDLE_END, "bundle"],
    [KEEP_END, "keep"],
  ] as const) {
    if (key.endsWith(end) && key.length > end.length) return { stem: key.slice(0, -end.length), role };
  }
  return undefined;
}

/** Take from a manifest what retention judges by. */
export function factsOf(manifest: ManifestHead, rules: PlacementRules): ManifestFacts {
  const { identity } = manifest;
  const { namespace, name, uid } = manifest.pod ?? {};
  return {
    crashedAt: Date.parse(manifest.crashedAt),
    namespace: namespaceOf(manifest, rules),
    cluster: manifest.node.clusterName ?? "",
    isKept: isKeptByPod(manifest),
    // A name that was only guessed must not make anybody look for a pod that never was.
    ...(identity?.verified === true && isName(namespace) && isName(name) && isName(uid)
      ? { pod: { namespace, name, uid } }
      : {}),
  };
}
