import { CdhError } from "../base/errors.ts";
import { parseBoundedJson } from "./bounded-json.ts";
import { DUMPABLE_AS_ROOT_ONLY } from "./dump-info.ts";
import type { Manifest } from "./manifest.ts";
import type { Bundle } from "./reader.ts";

/** No dump info is larger. */
const DUMP_INFO_MAX_BYTES = 256 * 1024;

/** Tell whether a manifest says that only administrators may read the core. */
export function isRestricted(manifest: Pick<Manifest, "restricted" | "process">): boolean {
  return manifest.restricted === true || manifest.process.dumpMode === DUMPABLE_AS_ROOT_ONLY;
}

/**
 * Tell what the dump info says beside the manifest.
 * @returns undefined when it says nothing, as IBM's; true also when it is there and cannot be read
 * @throws the system's error when the file cannot be read
 */
export async function restrictedBesideManifest(bundle: Bundle): Promise<boolean | undefined> {
  const entry = bundle.findRole("dump-info");
  if (entry === undefined) return undefined;
  try {
    const info = parseBoundedJson(await bundle.read(entry, { maxBytes: DUMP_INFO_MAX_BYTES }), entry.name);
    const said = typeof info === "object" && info !== null && "restricted" in info ? info.restricted : undefined;
    return said === undefined ? undefined : said !== "false";
  } catch (error) {
    if (error instanceof CdhError && error.code.startsWith("CDH_BUNDLE_")) return true;
    throw error;
  }
}
