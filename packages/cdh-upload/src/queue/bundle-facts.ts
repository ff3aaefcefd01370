import { parseBoundedJson } from "@cdh/core/bundle/bounded-json";
import { encodeManifest } from "@cdh/core/bundle/encode-manifest";
import { READ_LIMITS } from "@cdh/core/bundle/limits";
import type { Manifest } from "@cdh/core/bundle/manifest";
import { openBundleFile, type Bundle } from "@cdh/core/bundle/reader";
import { parseManifest } from "@cdh/core/bundle/reader-manifest";
import { isRestricted, restrictedBesideManifest } from "@cdh/core/bundle/restricted";
import { CdhError } from "@cdh/core/errors";
import { describeIbmBundle } from "@cdh/core/foreign/ibm-bundle";

/** The folder of everything that belongs to no pod. Kubernetes allows no namespace of this name. */
export const HOST_NAMESPACE = "_host";

/** What the uploader must know about a bundle. */
export interface BundleFacts {
  namespace: string;
  manifest: Manifest;
  /** What becomes `N.manifest.json` in the store: the bundle's own bytes where it has them, and they say all there is to say. */
  manifestBody: Uint8Array;
  /** Why the bundle's own manifest could not be read; then it is kept as restricted, and belongs to nobody. */
  unreadable?: string;
  /** It was written to a later schema, of which not every field is sure to mean what it says. */
  isLater?: boolean;
}

/**
 * Read a bundle's manifest. One that cannot be read hides nothing: the bundle is restricted then, whatever else it says,
 * and attributed to nobody. A bundle without one is IBM's, and gets one made from the rest.
 * @throws {CdhError} the CDH_BUNDLE family when the zip itself is damaged or is no bundle at all
 */
export async function readBundleFacts(path: string, name: string): Promise<BundleFacts> {
  const bundle = await openBundleFile(path);
  try {
    const own = await readOwnManifest(bundle, path);
    const saidBeside = await restrictedBesideManifest(bundle);
    if (own === undefined)
      return factsOf(await describeWithoutManifest(bundle, name), { restricted: saidBeside === true });
    if ("unreadable" in own) {
      const { code, message } = own.unreadable;
      const problem = {
        step: "upload",
        code,
        detail: `the manifest cannot be read, so the bundle is restricted: ${message}`,
      };
      const { pod: _pod, identity: _identity, ...rest } = await describeIbmBundle(bundle, name);
      const manifest: Manifest = { ...rest, identity: { source: "none", verified: false }, problems: [problem] };
      return { ...factsOf(manifest, { restricted: true }), unreadable: message };
    }
    const { manifest, value } = own;
    // Of a later version only what is written beside it is sure to mean what it says.
    const doubtful = own.isLater && manifest.restricted !== false && saidBeside !== false;
    const restricted = isRestricted(manifest) || saidBeside === true || doubtful;
    const { manifestBody } = own;
    const { isLater } = own;
    if (!restricted || manifest.restricted === true)
      return { ...factsOf(manifest, { restricted }), isLater, manifestBody };
    return {
      ...factsOf(manifest, { restricted }),
      isLater,
      manifestBody: Buffer.from(`${JSON.stringify({ ...value, restricted })}\n`),
    };
  } finally {
    await bundle.close();
  }
}

/** Say in the store's copy too that nobody wrote a manifest, and that nobody looked into the core. */
async function describeWithoutManifest(bundle: Bundle, name: string): Promise<Manifest> {
  const manifest = await describeIbmBundle(bundle, name);
  const problem = {
    step: "upload",
    code: "CDH_BUNDLE_JSON",
    detail:
      "the bundle has no manifest; this one was made from its other entries, and whether the core is whole is unknown",
  };
  return { ...manifest, problems: [problem, ...manifest.problems] };
}

function factsOf(described: Manifest, { restricted }: { restricted: boolean }): BundleFacts {
  const manifest = restricted ? { ...described, restricted } : described;
  return {
    namespace: namespaceOf(manifest.pod?.namespace),
    manifest,
    manifestBody: encodeManifest(manifest).bytes,
  };
}

interface OwnManifest {
  manifest: Manifest;
  manifestBody: Uint8Array;
  /** All that it says, also what this version does not know. */
  value: object;
  isLater: boolean;
}

/** Read the bundle's own manifest; undefined when there is none. */
async function readOwnManifest(
  bundle: Bundle,
  path: string,
): Promise<OwnManifest | { unreadable: CdhError } | undefined> {
  const entry = bundle.findRole("manifest");
  if (entry === undefined) return undefined;
  try {
    const manifestBody = await bundle.read(entry, { maxBytes: READ_LIMITS.manifest.bytes });
    const parsed = parseBoundedJson(manifestBody, path);
    const value = typeof parsed === "object" && parsed !== null ? parsed : {};
    try {
      return { manifest: parseManifest(manifestBody, path), manifestBody, value, isLater: false };
    } catch (error) {
      // A newer composer's: whoever reads the store may know it, and only a few names matter here.
      if (!(error instanceof CdhError) || error.code !== "CDH_BUNDLE_SCHEMA") throw error;
      const asVersion1 = Buffer.from(JSON.stringify({ ...value, schemaVersion: 1 }));
      return { manifest: parseManifest(asVersion1, path), manifestBody, value, isLater: true };
    }
  } catch (error) {
    if (error instanceof CdhError && error.code.startsWith("CDH_BUNDLE_")) return { unreadable: error };
    throw error;
  }
}

/** Take a namespace as Kubernetes allows them; anything else must not choose a folder. */
function namespaceOf(namespace: string | undefined): string {
  return namespace !== undefined && /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(namespace) ? namespace : HOST_NAMESPACE;
}

/** Name the pod that a crash belongs to, by what its processes cannot choose; without one, the user. */
export function podOf({ pod, process }: Manifest): string {
  return pod?.uid ?? pod?.name ?? `user ${process.uid ?? "unknown"}`;
}

/** Make the user metadata of a bundle's object. */
export function metadataOf(facts: BundleFacts): Record<string, string> {
  const { manifest } = facts;
  const optional = {
    "cdh-signal": manifest.signal.name === "" ? undefined : manifest.signal.name,
    "cdh-namespace": facts.namespace === HOST_NAMESPACE ? undefined : facts.namespace,
    "cdh-pod": manifest.pod?.name,
    "cdh-container": manifest.container?.name,
    "cdh-node": manifest.node.nodeName,
    "cdh-crashed-at": manifest.crashedAt === "" ? undefined : manifest.crashedAt,
    // A reader that serves tenants must be able to tell without opening the bundle.
    "cdh-restricted": isRestricted(manifest) ? "true" : undefined,
  };
  const metadata: Record<string, string> = { "cdh-crash-id": manifest.crashId };
  for (const [key, value] of Object.entries(optional)) if (value !== undefined && value !== "") metadata[key] = value;
  return metadata;
}
