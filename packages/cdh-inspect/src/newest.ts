import { mapConcurrently } from "./concurrently.ts";
import { readListedManifest } from "./list.ts";
import type { Found } from "./places/found.ts";

/** A node's clock may be this far ahead of the store's. */
const CLOCK_SKEW_MS = 10 * 60 * 1000;
/** The first look is small: usually the last one stored is the last crash. */
const FIRST_BATCH = 4;
const BATCH = 32;

/**
 * Find the newest crash. A bundle is stored after its crash, so going back from the last one stored, only those that were
 * stored after the newest crash seen so far can be newer.
 * @param found at least one
 */
export async function findNewest(found: readonly Found[], signal?: AbortSignal): Promise<Found> {
  const rest = found.toSorted((left, right) => right.modifiedAt - left.modifiedAt);
  let newest: { one: Found; crashedAt: number } | undefined;
  for (let size = FIRST_BATCH; rest.length > 0; size = BATCH) {
    signal?.throwIfAborted();
    const oldestWanted = (newest?.crashedAt ?? Number.NEGATIVE_INFINITY) - CLOCK_SKEW_MS;
    const batch = rest.splice(0, size).filter((one) => one.modifiedAt >= oldestWanted);
    if (batch.length === 0) break;
    const times = await mapConcurrently(batch, size, crashTimeOf);
    for (const [index, crashedAt] of times.entries()) {
      const one = batch[index];
      if (one !== undefined && crashedAt !== undefined && crashedAt > (newest?.crashedAt ?? Number.NEGATIVE_INFINITY))
        newest = { one, crashedAt };
    }
  }
  // None of them can be read: opening the last one tells why.
  return newest?.one ?? found.reduce((left, right) => (right.modifiedAt > left.modifiedAt ? right : left));
}

async function crashTimeOf(found: Found): Promise<number | undefined> {
  try {
    const time = Date.parse((await readListedManifest(found)).crashedAt);
    return Number.isNaN(time) ? undefined : time;
  } catch {
    // A listing says what is wrong with it; here the others are looked for.
    return undefined;
  }
}
