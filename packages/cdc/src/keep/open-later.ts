import type { Work } from "../request.ts";
import type { Learning } from "../who/learn.ts";
import type { OpenBundle } from "./open-bundle.ts";

/**
 * Begin the bundle when its file must be there. When the work ends before it is published, what was written of it stays, for
 * salvage. What makes it is loaded then: until that the crashed process would wait for it.
 * @throws {CdhError} CDH_SPOOL_FULL or CDH_DISK
 */
export function openLater(
  work: Work,
  learning: Pick<Learning, "identity">,
  pressing: Promise<void>,
): Promise<OpenBundle> {
  const opening = pressing.then(async () => (await import("./open-bundle.ts")).openBundle(work, learning));
  // Awaited after the drain; until then the pipeline meets its failure first.
  opening.catch(() => {});
  work.ends.defer(() => void opening.then(({ file }) => file.abandon()).catch(() => {}));
  return opening;
}
