import { toRfc3339 } from "@cdh/core/clock";
import type { RateLimit } from "@cdh/core/composer/rate-limit";
import { smallest } from "@cdh/core/lists";

/** What is counted together. */
export type Scope = "workload" | "pod" | "namespace" | "node";

/** One limit that a crash must meet. */
export interface ScopedLimit extends RateLimit {
  scope: Scope;
  /** What the crashes of this scope share. */
  key: readonly (string | number | undefined)[];
}

/** What was counted for one key. Times are epoch milliseconds. */
export interface Count {
  /** When bundles were kept. */
  kept: number[];
  /** Crashes that were not, since the last bundle. */
  suppressed: number;
  suppressedSince?: number;
}

/** Crashes that were not kept, and since when (RFC 3339). */
export interface Suppressed {
  count: number;
  since: string;
}

/** Whether a crash may be kept, and what was suppressed before it. */
export type RateDecision = (
  | { allowed: true; suppressed?: Suppressed }
  /** The narrowest scope whose limit is reached, and how many it has suppressed by now. */
  | { allowed: false; scope: Scope; suppressedCount: number }
) & {
  /** Why the counts are not exact; absent where they are. */
  doubt?: string;
};

const NOTHING: Count = { kept: [], suppressed: 0 };

/**
 * Decide on one crash; pure. It must meet all limits, and counts for all of them or, refused, for the narrowest one that is
 * reached: what a tenant can vary at will makes no new counts when the pod has no more to give.
 * @param counts of each limit, in the same order; @param nowMs epoch milliseconds
 * @returns the counts as they are afterwards; undefined where nothing changes
 */
export function decide(
  limits: readonly RateLimitOf[],
  counts: readonly (Count | undefined)[],
  nowMs: number,
): { next: (Count | undefined)[]; decision: RateDecision } {
  const current = limits.map(({ windowMs }, index) => {
    const count = counts[index] ?? NOTHING;
    // A clock that went backwards must not block a workload for ever: entries of the future do not count.
    return { ...count, kept: count.kept.filter((at) => at <= nowMs && nowMs - at < windowMs) };
  });
  const reached = limits.findIndex(({ count }, index) => (current[index]?.kept.length ?? 0) >= count);
  const limit = limits[reached];
  const refusing = current[reached];
  if (limit !== undefined && refusing !== undefined) {
    const suppressed = refusing.suppressed + 1;
    const next = { ...refusing, suppressed, suppressedSince: refusing.suppressedSince ?? nowMs };
    return {
      next: current.map((_count, index) => (index === reached ? next : undefined)),
      decision: { allowed: false, scope: limit.scope, suppressedCount: suppressed },
    };
  }
  const suppressed = sumOf(current, nowMs);
  return {
    next: current.map((count, index) => afterKeeping(count, limits[index], nowMs)),
    decision: { allowed: true, ...(suppressed === undefined ? {} : { suppressed }) },
  };
}

/** Without a window nothing is remembered of what was kept. */
function afterKeeping({ kept, suppressed }: Count, limit: RateLimitOf | undefined, nowMs: number): Count | undefined {
  if (limit?.windowMs === 0) return suppressed === 0 ? undefined : NOTHING;
  return { kept: [...kept, nowMs], suppressed: 0 };
}

/** The part of a {@link ScopedLimit} that decides. */
type RateLimitOf = Pick<ScopedLimit, "count" | "windowMs" | "scope">;

function sumOf(counts: readonly Count[], nowMs: number): Suppressed | undefined {
  const some = counts.filter(({ suppressed }) => suppressed > 0);
  if (some.length === 0) return undefined;
  return {
    count: some.reduce((sum, { suppressed }) => sum + suppressed, 0),
    since: toRfc3339(
      smallest(
        some.map(({ suppressedSince }) => suppressedSince ?? nowMs),
        nowMs,
      ),
    ),
  };
}

/**
 * Cut the random ends off a pod's name, so that all replicas of a workload count as one: `web-7d4b9c6f5-x2x7q` → `web`,
 * `db-0` → `db`.
 */
export function workloadOf(podName: string): string {
  const random = "[bcdfghjklmnpqrstvwxz2456789]";
  return podName.replace(new RegExp(`-(?:${random}{6,10}-)?${random}{5}$`), "").replace(/-\d+$/, "") || podName;
}
