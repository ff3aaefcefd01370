import { openCore, type CoreReader } from "@cdh/core/bundle/core-reader";
import type { Manifest } from "@cdh/core/bundle/manifest";
import { openBundle, type Bundle } from "@cdh/core/bundle/reader";
import { readManifest } from "@cdh/core/bundle/reader-manifest";
import type { RandomAccessSource } from "@cdh/core/bundle/reader-source";
import { adoptOlderBundle } from "./older.ts";

/** What a command looks at: a bundle of ours, an older one, or a core by itself. */
export interface Subject {
  /** Path or URL. */
  readonly label: string;
  readonly kind: "bundle" | "older" | "core";
  readonly sizeBytes: number;
  readonly manifest: Manifest;
  /** The zip; a core by itself has none. */
  readonly bundle?: Bundle;
  readonly source: RandomAccessSource;
  /** Open the core. @throws {CdhError} CDH_BUNDLE_NO_CORE, CDH_BUNDLE_SEEK_TABLE */
  core(): Promise<CoreReader>;
  close(): Promise<void>;
}

/**
 * Read what a source holds. The source is closed again when it is none of ours.
 * @throws {CdhError} the CDH_BUNDLE family
 */
export async function readSubject(source: RandomAccessSource): Promise<Subject> {
  try {
    const bundle = await openBundle(source);
    const manifest = await readManifest(bundle);
    let core: Promise<CoreReader> | undefined;
    return {
      label: source.label,
      kind: manifest === undefined ? "older" : "bundle",
      sizeBytes: source.sizeBytes,
      manifest: manifest ?? (await adoptOlderBundle(bundle)),
      bundle,
      source,
      core: () => (core ??= openCore(bundle, manifest)),
      close: () => bundle.close(),
    };
  } catch (error) {
    await source.close();
    throw error;
  }
}
