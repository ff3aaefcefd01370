import type { DumpRecord } from "./dump-record.ts";

/**
 * Crashes of one bug whose dumps are gone, by retention or by hand: what is still known of them. Nothing that a process said is
 * among it (message, log, arguments), nor of which pod, node or user it was: who removes a dump removes that.
 */
export interface PastCrashes extends Pick<
  DumpRecord,
  "podNamespace" | "identityVerified" | "restricted" | "signature" | "site" | "exe" | "signalName" | "ownerName"
> {
  readonly count: number;
  readonly wholeCores: number;
  /** Of which only a report was kept. */
  readonly countedOnly: number;
  /** Epoch milliseconds. */
  readonly first: number;
  readonly last: number;
  readonly firstImage: string | undefined;
  readonly lastImage: string | undefined;
  /** When the last image was first seen, as far as that is known. */
  readonly lastImageSince?: number | undefined;
}

/** More than any loop makes: whoever writes a larger number counts as so many. */
const OTHERS_MAX = 1_000_000_000;

/** How many crashes a dump stands for: more than one only where a rate limit left the others out, and the node counted them. */
export function crashesOf({ truncatedBy, suppressedCount = 0 }: DumpRecord): number {
  const others = truncatedBy === "rateLimit" && Number.isSafeInteger(suppressedCount) ? suppressedCount : 0;
  return 1 + Math.min(Math.max(others, 0), OTHERS_MAX);
}

/** Of a Date: what is beyond cannot be written as a time. */
export const TIME_MAX_MS = 8.64e15;

/** When the first of the crashes was that a dump stands for, epoch milliseconds. */
export function firstOf({ crashedAt, countedSince }: DumpRecord): number {
  // Who writes segments may write any number.
  return countedSince === undefined || Math.abs(countedSince) > TIME_MAX_MS
    ? crashedAt
    : Math.min(countedSince, crashedAt);
}

/** Tell whether no core was taken of a crash, because of those that there are. */
export function isCountedOnly({ truncatedBy }: Pick<DumpRecord, "truncatedBy">): boolean {
  return truncatedBy === "keptEnough" || truncatedBy === "rateLimit";
}
