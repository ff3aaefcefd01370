import { CdhError } from "../base/errors.ts";
import { type CoreReader } from "./core-layout.ts";
import { framedCore } from "./core-reader-frames.ts";
import { sequentialCore, storedCore } from "./core-reader-plain.ts";
import type { Manifest } from "./manifest.ts";
import { isCoreName } from "./reader-directory.ts";
import type { Bundle, BundleEntry } from "./reader.ts";

/** Find the core's entry: the manifest names it, else its name tells. */
export function findCoreEntry(bundle: Bundle, manifest?: Pick<Manifest, "core">): BundleEntry | undefined {
  const named = manifest === undefined ? undefined : bundle.find(manifest.core.entry);
  return named ?? bundle.findRole("core") ?? bundle.entries.find((entry) => isCoreName(entry.name));
}

/**
 * Open the core of a bundle for random access.
 * @throws {CdhError} CDH_BUNDLE_NO_CORE, CDH_BUNDLE_SEEK_TABLE
 */
export async function openCore(bundle: Bundle, manifest?: Pick<Manifest, "core">): Promise<CoreReader> {
  const entry = findCoreEntry(bundle, manifest);
  if (entry === undefined)
    throw new CdhError("CDH_BUNDLE_NO_CORE", `cannot read ${bundle.source.label}: it holds no core`);
  if (entry.method === "deflate") {
    const expectsZstd = entry.name.endsWith(".zst");
    if (expectsZstd)
      throw new CdhError(
        "CDH_BUNDLE_METHOD",
        `cannot read ${JSON.stringify(entry.name)}: zstd frames must be stored, not deflated`,
      );
    return sequentialCore({
      layout: "deflate",
      name: entry.name,
      storedBytes: entry.storedBytes,
      sizeBytes: entry.sizeBytes,
      open: (signal) => bundle.stream(entry, signal === undefined ? {} : { signal }),
    });
  }
  const stored = {
    name: entry.name,
    label: bundle.source.label,
    sizeBytes: entry.storedBytes,
    read: (offset: number, length: number, signal?: AbortSignal) => bundle.readStored(entry, offset, length, signal),
  };
  return entry.name.endsWith(".zst") ? framedCore(stored, manifest?.core.sizeBytes || undefined) : storedCore(stored);
}
