import type { CorePipeline, CoreSummary } from "@cdh/core/bundle/core-pipeline";
import type { Manifest, TruncatedBy } from "@cdh/core/bundle/manifest";
import { layOutBundle, type CoreLayout, type SmallEntry } from "@cdh/core/bundle/writer";
import { diskError, isDiskFull, type SpoolFile } from "./spool-file.ts";

/** A drained core and what goes around it. */
export interface BundleParts {
  file: SpoolFile;
  pipeline: CorePipeline;
  /** Time of the entries; the same as in the head that is already written. */
  mtime: Date;
  dumpInfo: SmallEntry;
  coreEntry: Pick<CoreLayout, "name" | "method">;
  entries: readonly SmallEntry[];
  manifestName: string;
  truncatedBy: TruncatedBy | undefined;
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
  const { file, pipeline } = parts;
  let { truncatedBy, entries } = parts;
  for (;;) {
    if (pipeline.failure !== undefined) pipeline.shrinkBy(0);
    const trailer = pipeline.trailer();
    const summary = pipeline.summarise(trailer);
    const manifest = parts.describe(summary, truncatedBy);
    const manifestEntry = {
      name: parts.manifestName,
      bytes: Buffer.from(`${JSON.stringify(manifest, undefined, 1)}\n`),
    };
    const core: CoreLayout = {
      ...parts.coreEntry,
      crc32: summary.crc32,
      storedBytes: summary.storedBytes,
      sizeBytes: summary.sizeBytes,
    };
    const { tail } = await layOutBundle(parts.mtime, parts.dumpInfo, core, [...entries, manifestEntry]);
    const end = Buffer.concat([trailer, tail]);
    try {
      await file.cutAfter(pipeline.bodyBytes);
      await file.write(end, pipeline.bodyBytes);
      return manifest;
    } catch (error) {
      if (!isDiskFull(error)) throw diskError(`cannot finish ${file.path}`, error);
      truncatedBy = "diskFull";
      if (pipeline.frameCount > 0) pipeline.shrinkBy(end.length + SLACK_BYTES);
      else if (entries.length > 0) entries = [];
      else throw diskError(`cannot finish ${file.path}`, error);
    }
  }
}
