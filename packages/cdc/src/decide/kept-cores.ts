import type { RateLimit } from "@cdh/core/composer/rate-limit";

/** A crash whose core was or is being taken. */
export interface KeptCore {
  crashId: string;
  /** When it crashed, epoch milliseconds. */
  at: number;
  /** File name of its bundle, once that was published with a whole core; absent while nobody knows whether it will be. */
  bundle?: string;
}

/** The bundle that stands for a core which is not taken. */
export interface WholeCore {
  crashId: string;
  bundle: string;
}

/** Cores of one place that are remembered: with a larger limit all are taken. */
const CORES_MAX = 256;

/**
 * Decide whether a core is taken; pure. Enough were when so many of the window are whole or still being taken, and at least
 * one is whole: cores that were cut, failed, or whose composer died stand for nothing.
 * @param takingMs after so long a core that is being taken counts no more
 * @returns the cores as they are afterwards, and what stands for this one where it is not taken
 */
export function decideCore(
  cores: readonly KeptCore[],
  limit: RateLimit,
  now: { crashId: string; nowMs: number; takingMs: number },
): { cores: KeptCore[]; wholeCore?: WholeCore } {
  const { crashId, nowMs, takingMs } = now;
  // A clock that went backwards must not leave cores out for ever: those of the future do not count.
  const counting = cores.filter(
    ({ at, bundle }) =>
      at <= nowMs && nowMs - at < (bundle === undefined ? Math.min(takingMs, limit.windowMs) : limit.windowMs),
  );
  const whole = counting.findLast(({ bundle }) => bundle !== undefined);
  if (whole?.bundle !== undefined && counting.length >= limit.count)
    return { cores: counting, wholeCore: { crashId: whole.crashId, bundle: whole.bundle } };
  return { cores: [...counting, { crashId, at: nowMs }].slice(-CORES_MAX) };
}

/** Note how a core ended: with a whole one in a bundle, or not. */
export function settleCore(cores: readonly KeptCore[], crashId: string, bundle: string | undefined): KeptCore[] {
  return cores.flatMap((core) => {
    if (core.crashId !== crashId) return core;
    return bundle === undefined ? [] : { ...core, bundle };
  });
}
