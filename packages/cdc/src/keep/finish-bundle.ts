import type { BundleFile } from "@cdh/core/bundle/bundle-file";
import type { CorePipeline, CoreSummary } from "@cdh/core/bundle/core-pipeline";
import { encodeManifest } from "@cdh/core/bundle/encode-manifest";
import type { Manifest, TruncatedBy } from "@cdh/core/bundle/manifest";
import type { SmallEntry } from "@cdh/core/bundle/writer";
import { diskError, isDiskFull, type SpoolFile } from "./spool-file.ts";

/** A drained core and what goes around it. */
export interface BundleParts {
  file: SpoolFile;
  bundle: BundleFile;
  pipeline: CorePipeline;
  entries: readonly SmallEntry[];
  manifestName: string;
  truncatedBy: TruncatedBy | undefined;
  /** Whether frames and entries may be given up on a full disk. */
  mayShrink: boolean;
  /** Make the manifest for the core as it ends up. */
  describe: (summary: CoreSummary, truncatedBy: TruncatedBy | undefined) => Manifest;
}

/** Room that the file system itself may need for its own blocks when the tail is written. */
const SLACK_BYTES = 64 * 1024;

/**
 * Write what ends the bundle. On a full disk the last frames of the core make room for it; when there are none left,
 * the entries beside dump info and manifest go, and say so in the manifest.
 * @throws {CdhError} CDH_SPOOL_FULL or CDH_DISK when even that has no room
 */
export async function finishBundle(parts: BundleParts): Promise<Manifest> {
  const { file, bundle, pipeline } = parts;
  let { truncatedBy, entries } = parts;
  for (;;) {
    if (pipeline.failure !== undefined) pipeline.shrinkBy(0);
    const trailer = pipeline.trailer();
    const sums = pipeline.summarise(trailer);
    const { manifest, bytes } = encodeManifest(parts.describe(sums, truncatedBy));
    const manifestEntry = { name: parts.manifestName, bytes };
    const { bodyBytes } = pipeline;
    const end = await bundle.layOutEnd({ bodyBytes, trailer, sums }, [...entries, manifestEntry]);
    try {
      await bundle.writeEnd(end);
      return manifest;
    } catch (error) {
      if (!parts.mayShrink || !isDiskFull(error)) throw diskError(`cannot finish ${file.path}`, error);
      truncatedBy = "diskFull";
      if (pipeline.frameCount > 0) pipeline.shrinkBy(end.sizeBytes + SLACK_BYTES);
      else if (entries.length > 0) entries = [];
      else throw diskError(`cannot finish ${file.path}`, error);
    }
  }
}
