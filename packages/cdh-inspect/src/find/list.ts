import type { Manifest } from "@cdh/core/bundle/manifest";
import { CdhError, reasonOf } from "@cdh/core/errors";
import { mapConcurrently } from "../concurrently.ts";
import { openFile } from "../read/opened-file.ts";
import { summarise, type Summary } from "../read/summary.ts";
import type { Found } from "./found.ts";

/** Small objects that are read at the same time: a listing is all latency. */
const READS_AT_ONCE = 32;

/**
 * Summarise bundles. A bundle that cannot be read becomes a line that says why; the others still show.
 */
export async function summariseAll(found: readonly Found[]): Promise<Summary[]> {
  return mapConcurrently(found, READS_AT_ONCE, async (one) => {
    try {
      return { ...summarise(await readListedManifest(one), one.label, one.sizeBytes), ...one.lines };
    } catch (error) {
      const code = error instanceof CdhError ? error.code : "CDH_DAMAGED";
      return { bundle: one.label, bundleBytes: one.sizeBytes, error: { code, message: reasonOf(error) } };
    }
  });
}

/** Get what a listing knows of a bundle, as cheaply as its place allows. @throws {CdhError} the CDH_BUNDLE and CDH_STORE families */
export async function readListedManifest(found: Found): Promise<Manifest> {
  if (found.readManifest !== undefined) return found.readManifest();
  const opened = await openFile(await found.open({ glance: true }), {
    skipCore: true,
    modifiedAt: found.modifiedAt,
  });
  try {
    return opened.manifest;
  } finally {
    await opened.close();
  }
}
