import type { Manifest } from "../bundle/manifest.ts";

/** Tell whether anybody compared the core with what its headers promise. */
export function isCompletenessKnown({ core }: Pick<Manifest, "core">): boolean {
  return core.complete || core.expectedBytes !== undefined || core.truncatedBy !== undefined;
}

/** Tell whether the core's size is known: a compressed stream says it only at its end. */
export function isSizeKnown({ core }: Pick<Manifest, "core">): boolean {
  return core.sizeBytes > 0 || core.storedBytes === 0;
}
