import { CdhError } from "../base/errors.ts";
import { isRecord } from "../base/records.ts";
import { fill, tryFindMisfit } from "../base/shape.ts";
import { parseBoundedJson } from "./bounded-json.ts";
import { READ_LIMITS } from "./limits.ts";
import { MANIFEST_FIELDS, type Manifest } from "./manifest.ts";
import type { Bundle } from "./reader.ts";

/**
 * Read a bundle's manifest; undefined when it has none, as IBM's bundles.
 * @throws {CdhError} CDH_BUNDLE_ENTRY_TOO_LARGE, CDH_BUNDLE_JSON, CDH_BUNDLE_SCHEMA and those of reading an entry
 */
export async function readManifest(bundle: Bundle): Promise<Manifest | undefined> {
  const bytes = await readManifestEntry(bundle);
  return bytes === undefined ? undefined : parseManifest(bytes, bundle.source.label);
}

/**
 * Read a bundle's manifest without parsing it; undefined when it has none.
 * @throws {CdhError} CDH_BUNDLE_ENTRY_TOO_LARGE and those of reading an entry
 */
export async function readManifestEntry(bundle: Bundle): Promise<Buffer | undefined> {
  const entry = bundle.findRole("manifest");
  return entry === undefined ? undefined : await bundle.read(entry, { maxBytes: READ_LIMITS.manifest.bytes });
}

/**
 * Parse a manifest and hold it to its types, so that no reader meets a surprise later.
 * @throws {CdhError} CDH_BUNDLE_JSON when it is no manifest, CDH_BUNDLE_SCHEMA when a newer composer wrote it
 */
export function parseManifest(bytes: Uint8Array, label: string): Manifest {
  const value = parseBoundedJson(bytes, `the manifest of ${label}`, READ_LIMITS.manifest);
  if (!isRecord(value)) throw jsonError(label, "it is no object");
  if (value["schemaVersion"] !== 1) {
    throw new CdhError(
      "CDH_BUNDLE_SCHEMA",
      `cannot read the manifest of ${label}: schema version ${versionText(value["schemaVersion"])}, this program knows 1`,
      {
        hint: "take a newer cdh-inspect",
      },
    );
  }
  const misfit = tryFindMisfit(value, MANIFEST_FIELDS);
  if (misfit !== undefined) throw jsonError(label, misfit);
  if (typeof value["crashId"] !== "string" || !isRecord(value["core"]) || typeof value["core"]["entry"] !== "string") {
    throw jsonError(label, "crashId and core.entry are missing");
  }
  return fill(value, MANIFEST_FIELDS);
}

/** As text, and no more of it than a version has. */
function versionText(value: unknown): string {
  return typeof value === "number" || typeof value === "string" ? JSON.stringify(value).slice(0, 20) : typeof value;
}

function jsonError(label: string, why: string): CdhError {
  return new CdhError("CDH_BUNDLE_JSON", `cannot read the manifest of ${label}: ${why}`);
}
