import { CdhError } from "@cdh/core/errors";
import { mapConcurrently } from "../concurrently.ts";
import { bundlesFirst } from "../read/summary.ts";
import type { Found } from "./found.ts";
import { readListedManifest } from "./list.ts";

/** A node's clock may be this far ahead of the store's. */
const CLOCK_SKEW_MS = 10 * 60 * 1000;
/** The first look is small: usually the last one stored is the last crash. */
const FIRST_BATCH = 4;
const BATCH = 32;

/**
 * Find the newest crash, or the one before, and so on. A bundle is stored after its crash, so going back from the last one
 * stored, only those that were stored after the crash looked for can be newer than it.
 * @param nth 1 is the newest
 * @throws {CdhError} CDH_NOT_FOUND when there are not so many
 */
export async function findNth(
  found: readonly Found[],
  nth: number,
  place: string,
  signal?: AbortSignal,
): Promise<Found> {
  if (nth < 1 || nth > found.length)
    throw new CdhError("CDH_NOT_FOUND", `no crash -${nth} in ${place}: there are ${found.length}`, {
      hint: "-1 is the newest",
    });
  const rest = found.toSorted((left, right) => right.modifiedAt - left.modifiedAt);
  let newest: { one: Found; crashedAt: number }[] = [];
  for (let size = Math.max(FIRST_BATCH, Math.min(nth, BATCH)); rest.length > 0; size = BATCH) {
    signal?.throwIfAborted();
    const oldestWanted = (newest[nth - 1]?.crashedAt ?? Number.NEGATIVE_INFINITY) - CLOCK_SKEW_MS;
    const batch = rest.splice(0, size).filter((one) => one.modifiedAt >= oldestWanted);
    if (batch.length === 0) break;
    const times = await mapConcurrently(batch, size, crashTimeOf);
    const known = batch.flatMap((one, index) => {
      const crashedAt = times[index];
      return crashedAt === undefined ? [] : [{ one, crashedAt }];
    });
    newest = [...newest, ...known].toSorted(inOrder).slice(0, nth);
  }
  // Those that cannot be read have no time: opening the last one stored tells why.
  return newest[nth - 1]?.one ?? found.reduce((left, right) => (right.modifiedAt > left.modifiedAt ? right : left));
}

/** As a listing has them. */
function inOrder(left: { one: Found; crashedAt: number }, right: { one: Found; crashedAt: number }): number {
  return right.crashedAt - left.crashedAt || bundlesFirst(left.one.label, right.one.label);
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
