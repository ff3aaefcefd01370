import type { Clock } from "@cdh/core/clock";
import { keptParts, type KeptParts } from "@cdh/core/debug-files/opens-with";
import type { ObjectStore } from "@cdh/core/store/store";
import { TtlCache } from "../auth/ttl-cache.ts";

/** Build-ids whose answer is remembered. */
const REMEMBERED_MAX = 20_000;
/** What is there stays for days; what is missing may be pushed at any time, and somebody waits for it. */
const REMEMBERED_MS = { whole: 60_000, partly: 10_000 };
/** One question has an end, whoever waits for its answer. */
const TIMEOUT_MS = 10_000;

/** Make a lookup of what the store keeps of a build-id, which asks once for all reports that name it. */
export function rememberParts({
  store,
  clock,
  stopSignal,
}: {
  store: ObjectStore;
  clock: Clock;
  stopSignal: AbortSignal;
}): (buildId: string) => Promise<KeptParts> {
  const cache = new TtlCache<KeptParts>(clock, REMEMBERED_MAX);
  return (buildId) =>
    cache.get(
      buildId,
      () => keptParts(store, buildId, { signal: AbortSignal.any([stopSignal, AbortSignal.timeout(TIMEOUT_MS)]) }),
      ({ executable, debuginfo }) => (executable && debuginfo ? REMEMBERED_MS.whole : REMEMBERED_MS.partly),
    );
}
