import { createHash } from "node:crypto";
import { readBounded } from "@cdh/core/container/bounded-file";
import { reasonOf } from "@cdh/core/errors";
import { writeAtomically } from "@cdh/core/files/write-atomically";
import { tryParseJson } from "@cdh/core/json";
import { FILE_MODE } from "@cdh/core/spool/layout";
import type { Native } from "../self/native.ts";
import { underLock } from "./locked-state.ts";
import { decide, type Count, type RateDecision, type ScopedLimit } from "./rate-limit.ts";
import { UnlockedCounts } from "./unlocked-counts.ts";

/** Keys and bytes of the file. A node has some hundred; whoever makes more pushes out the ones that were quiet longest. */
const KEYS_MAX = 1024;
const BYTES_MAX = 1024 * 1024;

/** What a key is made of is shown to people, so far. */
const SHOWN_MAX = 160;

/** After so long nobody is told any more how many were suppressed, milliseconds. */
const TOLD_WITHIN_MS = 7 * 24 * 3600e3;

/** A count as it lies in the file. */
interface Entry extends Count {
  /** What is counted, for people. */
  of: string;
  /** When it matters no more, epoch milliseconds. */
  until: number;
}

/**
 * Count a crash against its limits. All counts live in one small file, changed under a lock and replaced by rename. Who
 * does not get the lock in time changes nothing in it, and is kept only where a place is left by all that was counted. A
 * broken file counts from anew, and where the spool takes no counts the crash is kept, as losing a core is the worse mistake:
 * `doubt` says so.
 * @param coreDir the spool; @param nowMs epoch milliseconds
 */
export async function countCrash(
  limits: readonly ScopedLimit[],
  coreDir: string,
  nowMs: number,
  native: Native,
): Promise<RateDecision> {
  try {
    return await underLock({ coreDir, native, name: "rate-limit.json" }, async (path, isLocked) => {
      const counts: Counts = { path, nowMs, limits, entries: await readEntries(path) };
      // Where there are no locks at all, whoever comes counts.
      return isLocked || !native.isThere ? await countLocked(counts) : await countUnlocked(counts);
    });
  } catch (error) {
    return { allowed: true, doubt: `the spool takes no counts: ${reasonOf(error)}` };
  }
}

interface Counts {
  path: string;
  nowMs: number;
  limits: readonly ScopedLimit[];
  entries: Map<string, Entry>;
}

async function countLocked({ path, nowMs, limits, entries }: Counts): Promise<RateDecision> {
  const keys = limits.map(hashOf);
  const unlocked = await new UnlockedCounts(path, nowMs).list();
  // What was kept without the lock counts until its file says, and is never written twice.
  const { next, decision } = decide(
    limits.map((limit, index) => ({ ...limit, count: limit.count - (unlocked.get(keys[index] ?? "")?.length ?? 0) })),
    keys.map((key) => entries.get(key)),
    nowMs,
  );
  for (const [index, count] of next.entries()) {
    const [key, limit] = [keys[index], limits[index]];
    if (key === undefined || limit === undefined || count === undefined) continue;
    const until = nowMs + (count.suppressed > 0 ? TOLD_WITHIN_MS : limit.windowMs);
    // What was used last stands last.
    entries.delete(key);
    entries.set(key, { ...count, until, of: shown(limit) });
  }
  if (next.every((count) => count === undefined)) return decision;
  // What was decided by the counts that are there holds, also when this one cannot be added.
  return await writeEntries(path, entries, nowMs).then(
    () => decision,
    (error: unknown) => ({ ...decision, doubt: `this crash could not be counted: ${reasonOf(error)}` }),
  );
}

/** Decide without changing the file, which another composer may be changing just now. */
async function countUnlocked({ path, nowMs, limits, entries }: Counts): Promise<RateDecision> {
  const keys = limits.map(hashOf);
  const doubt = "other composers held the counts all the time";
  const places = limits.map(({ count, windowMs }, index) => {
    const kept = (entries.get(keys[index] ?? "")?.kept ?? []).filter((at) => at <= nowMs && nowMs - at < windowMs);
    return { key: keys[index] ?? "", count, windowMs, kept: kept.length };
  });
  const reached = limits[await new UnlockedCounts(path, nowMs).take(places)];
  if (reached === undefined) return { allowed: true, doubt };
  const before = entries.get(hashOf(reached))?.suppressed ?? 0;
  return { allowed: false, scope: reached.scope, suppressedCount: before + 1, doubt };
}

/** Count a crash that nothing is kept of, so that the node's next bundle tells. @returns how many there are by now */
export async function countLoss(coreDir: string, nowMs: number, native: Native): Promise<number> {
  const decision = await countCrash([NOTHING_KEPT], coreDir, nowMs, native);
  return decision.allowed ? 1 : decision.suppressedCount;
}

/** No crash meets this: whatever is counted for it is suppressed. */
const NOTHING_KEPT: ScopedLimit = { scope: "node", key: ["nothing kept"], count: 0, windowMs: 0 };

/** Every crash meets this. Beside the others it tells what {@link countLoss} counted. */
export const LOSSES: ScopedLimit = { ...NOTHING_KEPT, count: Number.POSITIVE_INFINITY };

function hashOf({ scope, key }: ScopedLimit): string {
  return createHash("sha256")
    .update(JSON.stringify([scope, ...key]))
    .digest("hex")
    .slice(0, 32);
}

function shown({ scope, key }: ScopedLimit): string {
  return `${scope}: ${key.filter((part) => part !== undefined).join(", ")}`.slice(0, SHOWN_MAX);
}

/** Read the file. What is damaged in it counts from anew, the rest stays. */
async function readEntries(path: string): Promise<Map<string, Entry>> {
  const entries = new Map<string, Entry>();
  try {
    const { bytes, cut } = await readBounded(path, BYTES_MAX);
    const parsed: unknown = cut ? undefined : tryParseJson(bytes);
    if (typeof parsed !== "object" || parsed === null) return entries;
    for (const [key, value] of Object.entries(parsed)) {
      if (/^[0-9a-f]{32}$/.test(key) && isEntry(value)) entries.set(key, value);
    }
  } catch {
    // None yet, or none that can be read.
  }
  return entries;
}

async function writeEntries(path: string, entries: Map<string, Entry>, nowMs: number): Promise<void> {
  const living = [...entries].filter(([, { until }]) => until > nowMs);
  let rest = living.slice(-KEYS_MAX);
  let text = JSON.stringify(Object.fromEntries(rest));
  while (Buffer.byteLength(text) > BYTES_MAX && rest.length > 1) {
    rest = rest.slice(Math.ceil(rest.length / 2));
    text = JSON.stringify(Object.fromEntries(rest));
  }
  // One name for all: what a composer that was killed left is taken away by the next. Counts that are lost with the power
  // count from anew.
  await writeAtomically(path, text, { mode: FILE_MODE, partial: `${path}.tmp`, flush: "nothing" });
}

function isEntry(value: unknown): value is Entry {
  if (typeof value !== "object" || value === null) return false;
  const { kept, suppressed, suppressedSince, of, until } = value as Partial<Record<keyof Entry, unknown>>;
  return (
    Array.isArray(kept) &&
    kept.every(isTime) &&
    isTime(suppressed) &&
    (suppressedSince === undefined || isTime(suppressedSince)) &&
    typeof of === "string" &&
    isTime(until)
  );
}

/** The last moment that a Date can hold. @see ECMA-262, 21.4.1.1 */
const TIME_MAX = 8.64e15;

function isTime(value: unknown): value is number {
  return typeof value === "number" && value >= 0 && value <= TIME_MAX;
}
