import { JSON_LIMITS, type JsonLimits } from "../base/json.ts";

/**
 * Every bound on a bundle, for those who write one (composer, import, salvage) and for those who read one. The first is
 * always well inside the second, so that what was written can be read: `limits.test.ts` holds it.
 */

/** Bounds on a bundle and its parts. */
export interface BundleLimits {
  /** `N-manifest.json`, and its copy in the store. */
  manifest: JsonLimits;
  /** Any other JSON entry: dump info and the runtime's answers. */
  json: JsonLimits;
  /** Bytes of one entry beside core and manifest, unpacked. */
  entryBytes: number;
  /** Bytes of all entries but the core, unpacked. */
  smallEntriesBytes: number;
  /** Entries of the zip, the core's included. */
  entries: number;
  /** Bytes of the zip's directory, with what stands behind it: names, dates and sizes of all entries. */
  directoryBytes: number;
  /** UTF-8 bytes of an entry's name. */
  entryNameBytes: number;
  /** Frames in a core's seek table: of 1 MiB of core each, where our composer wrote them. */
  seekTableFrames: number;
}

/** What a writer keeps within, whatever it was given; what does not fit is cut or left out, and a problem says so. */
export const WRITE_LIMITS: BundleLimits = {
  manifest: { bytes: 2 * 1024 * 1024, depth: 8, elements: 100_000 },
  json: { bytes: 4 * 1024 * 1024, depth: 32, elements: 100_000 },
  entryBytes: 4 * 1024 * 1024,
  smallEntriesBytes: 12 * 1024 * 1024,
  entries: 256,
  // Each with the longest name, and the sizes of zip64.
  directoryBytes: 128 * 1024,
  entryNameBytes: 255,
  // A core of 1 TiB: more than arrives within any TIMEOUT that holds a process.
  seekTableFrames: 1024 * 1024,
};

/** What a reader accepts of a bundle by whomever; what is beyond is refused before it is unpacked or parsed. */
export const READ_LIMITS: BundleLimits = {
  manifest: { bytes: 4 * 1024 * 1024, depth: 64, elements: 200_000 },
  json: JSON_LIMITS,
  entryBytes: 64 * 1024 * 1024,
  smallEntriesBytes: 256 * 1024 * 1024,
  // A pod of hundreds of containers has a few thousand in IBM's layout.
  entries: 10_000,
  directoryBytes: 2 * 1024 * 1024,
  entryNameBytes: 1024,
  seekTableFrames: 2 * 1024 * 1024,
};
