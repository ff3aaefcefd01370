import { parseBoundedJson } from "@cdh/core/bundle/bounded-json";
import type { Manifest } from "@cdh/core/bundle/manifest";
import { openBundleFile, type Bundle } from "@cdh/core/bundle/reader";
import { parseManifest } from "@cdh/core/bundle/reader-manifest";
import { CdhError } from "@cdh/core/errors";
import { describeForeignBundle } from "./foreign-bundle.ts";

/** The folder of everything that belongs to no pod. Kubernetes allows no namespace of this name. */
export const HOST_NAMESPACE = "_host";

/** No manifest is larger. */
const MANIFEST_MAX_BYTES = 16 * 1024 * 1024;

/** What the uploader must know about a bundle. */
export interface BundleFacts {
  namespace: string;
  manifest: Manifest;
  /** What becomes `N.manifest.json` in the store: the bundle's own bytes where it has them. */
  manifestBody: Uint8Array;
}

/**
 * Read a bundle's manifest. A bundle without one (IBM's), or with one that cannot be read, gets one made from the rest,
 * because the core in it is still worth keeping.
 * @throws {CdhError} the CDH_BUNDLE family when the zip itself is damaged or is no bundle at all
 */
export async function readBundleFacts(path: string, name: string): Promise<BundleFacts> {
  const bundle = await openBundleFile(path);
  try {
    const own = await readOwnManifest(bundle, path);
    if (own !== undefined) return { namespace: namespaceOf(own.manifest.pod?.namespace), ...own };
    const manifest = await describeForeignBundle(bundle, name);
    return {
      namespace: namespaceOf(manifest.pod?.namespace),
      manifest,
      manifestBody: Buffer.from(`${JSON.stringify(manifest)}\n`),
    };
  } finally {
    await bundle.close();
  }
}

async function readOwnManifest(
  bundle: Bundle,
  path: string,
): Promise<{ manifest: Manifest; manifestBody: Uint8Array } | undefined> {
  const entry = bundle.findRole("manifest");
  if (entry === undefined) return undefined;
  try {
    const manifestBody = await bundle.read(entry, { maxBytes: MANIFEST_MAX_BYTES });
    try {
      return { manifest: parseManifest(manifestBody, path), manifestBody };
    } catch (error) {
      // A newer composer's: whoever reads the store may know it, and only a few names matter here.
      if (!(error instanceof CdhError) || error.code !== "CDH_BUNDLE_SCHEMA") throw error;
      return {
        manifest: parseManifest(Buffer.from(JSON.stringify(asVersion1(manifestBody, path))), path),
        manifestBody,
      };
    }
  } catch (error) {
    if (error instanceof CdhError && error.code.startsWith("CDH_BUNDLE_")) return undefined;
    throw error;
  }
}

function asVersion1(body: Uint8Array, path: string): object {
  const value = parseBoundedJson(body, path);
  return { ...(typeof value === "object" ? value : {}), schemaVersion: 1 };
}

/** Take a namespace as Kubernetes allows them; anything else must not choose a folder. */
function namespaceOf(namespace: string | undefined): string {
  return namespace !== undefined && /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(namespace) ? namespace : HOST_NAMESPACE;
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
    "cdh-restricted": manifest.restricted === true ? "true" : undefined,
  };
  const metadata: Record<string, string> = { "cdh-crash-id": manifest.crashId };
  for (const [key, value] of Object.entries(optional)) if (value !== undefined && value !== "") metadata[key] = value;
  return metadata;
}
