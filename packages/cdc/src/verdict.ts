import type { Collection } from "./collect.ts";
import { within } from "@cdh/core/container/collected";
import { reasonToSkip } from "./filters.ts";
import { countCrash, workloadOf } from "./rate-limit.ts";
import type { ComposeRequest } from "./request.ts";

/** Whether a crash is kept. */
export interface Verdict {
  /** Why it is not. */
  skip?: string;
  /** Crashes of the same workload that were not kept before this one. */
  suppressed?: { count: number; since: string };
}

/** Decide whether the crash is wanted: the filters, then the rate limit. */
export async function judge(request: ComposeRequest, collection: Collection): Promise<Verdict> {
  const { crash, settings, coreDir, clock, native } = request;
  const identity = await collection.identity;
  const skip = reasonToSkip(settings, {
    place: identity.place,
    namespace: identity.pod?.namespace,
    comm: crash.comm,
    signal: crash.signal,
    labels: await collection.labels,
  });
  if (skip !== undefined) return { skip };
  if (settings.rateLimit === undefined) return {};
  const { pod, container } = identity;
  const key = {
    namespace: pod?.namespace,
    workload: pod?.owner?.name ?? (pod?.name === undefined ? undefined : workloadOf(pod.name)),
    container: container?.name ?? container?.id,
    executable: crash.exe ?? crash.comm ?? "",
    signal: crash.signal ?? 0,
  };
  const counting = countCrash(settings.rateLimit, coreDir, key, clock.now(), native);
  // A spool that hangs has no count, and a crash that could not be counted is kept.
  const decision = await within(counting, AbortSignal.timeout(settings.metadataTimeoutMs)).catch(() => undefined);
  if (decision === undefined) return {};
  if (!decision.allowed) return { skip: `rate limit reached, ${decision.suppressedCount} suppressed so far` };
  return decision.suppressed === undefined ? {} : { suppressed: decision.suppressed };
}
