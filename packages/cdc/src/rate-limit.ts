import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { mkdir, open, rename, unlink } from "node:fs/promises";
import { join } from "node:path";
import { systemClock, toRfc3339 } from "@cdh/core/clock";
import { readBounded } from "@cdh/core/container/bounded-file";
import { CdhError } from "@cdh/core/errors";
import { DIRECTORY_MODE, FILE_MODE, STATE_DIRECTORY } from "@cdh/core/spool/layout";
import { parseDuration } from "@cdh/core/units";
import type { Native } from "./native.ts";

/** So many bundles in a window of time. */
export interface RateLimit {
  count: number;
  windowMs: number;
}

/** Read `5/1h`; `0` is no limit. @throws {CdhError} CDH_CONFIG_INVALID */
export function parseRateLimit(text: string): RateLimit | undefined {
  const trimmed = text.trim();
  if (trimmed === "0" || trimmed === "") return undefined;
  const match = /^(\d+)\s*\/\s*(.+)$/.exec(trimmed);
  if (match?.[1] === undefined || match[2] === undefined) {
    throw new CdhError("CDH_CONFIG_INVALID", "no rate limit", { hint: "write 5/1h, or 0 for none" });
  }
  if (Number(match[1]) === 0) return undefined;
  // `5/h` means the same as `5/1h`.
  const window = /^[a-z]/i.test(match[2]) ? `1${match[2]}` : match[2];
  return { count: Number(match[1]), windowMs: parseDuration(window) };
}

/** What a workload's crashes share. */
export interface WorkloadKey {
  namespace?: string | undefined;
  /** Name of the owner, or of the pod with its random ends cut off. */
  workload?: string | undefined;
  container?: string | undefined;
  executable: string;
  signal: number;
}

/** Whether a crash may be kept, and what was suppressed before it. */
export type RateDecision =
  | { allowed: true; suppressed?: { count: number; since: string } }
  | { allowed: false; suppressedCount: number };

interface RateState {
  /** When bundles were kept, epoch milliseconds. */
  kept: number[];
  suppressed: number;
  suppressedSince?: number;
}

/** Whatever stands there, a fifo that nobody reads included, must not keep a core waiting. */
const LOCK_FLAGS = constants.O_WRONLY | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** Far more than a state takes. */
const STATE_MAX_BYTES = 64 * 1024;

/**
 * Count a crash against its workload's limit. The counts live in a small file a workload, changed under a lock and
 * replaced by rename; a broken or unwritable one allows the crash, because losing a core is the worse mistake.
 * @param coreDir the spool; @param nowMs epoch milliseconds
 */
export async function countCrash(
  limit: RateLimit,
  coreDir: string,
  key: WorkloadKey,
  nowMs: number,
  native: Native | undefined,
): Promise<RateDecision> {
  const directory = join(coreDir, STATE_DIRECTORY, "rate-limit");
  const path = join(directory, `${createHash("sha256").update(JSON.stringify(key)).digest("hex").slice(0, 32)}.json`);
  try {
    await mkdir(directory, { recursive: true, mode: DIRECTORY_MODE });
    const lock = await open(`${path}.lock`, LOCK_FLAGS, FILE_MODE);
    try {
      if (native !== undefined) await lockPatiently(native, lock.fd);
      const state = await readState(path);
      const { next, decision } = decide(limit, state, nowMs);
      await writeState(path, { ...next, key });
      return decision;
    } finally {
      await lock.close();
    }
  } catch {
    return { allowed: true };
  }
}

/** Wait at most half a second: a count that is off by one is better than a core that waits. */
async function lockPatiently(native: Native, fd: number): Promise<void> {
  for (let tries = 0; tries < 100 && !native.tryLock(fd); tries += 1) await systemClock.sleep(5);
}

/** Decide on one crash; pure. */
export function decide(limit: RateLimit, state: RateState, nowMs: number): { next: RateState; decision: RateDecision } {
  // A clock that went backwards must not block a workload for ever: entries of the future do not count.
  const kept = state.kept.filter((at) => at <= nowMs && nowMs - at < limit.windowMs);
  if (kept.length >= limit.count) {
    const suppressed = state.suppressed + 1;
    return {
      next: { kept, suppressed, suppressedSince: state.suppressedSince ?? nowMs },
      decision: { allowed: false, suppressedCount: suppressed },
    };
  }
  return {
    next: { kept: [...kept, nowMs], suppressed: 0 },
    decision: {
      allowed: true,
      ...(state.suppressed > 0
        ? { suppressed: { count: state.suppressed, since: toRfc3339(state.suppressedSince ?? nowMs) } }
        : {}),
    },
  };
}

async function readState(path: string): Promise<RateState> {
  try {
    const { bytes, cut } = await readBounded(path, STATE_MAX_BYTES);
    const parsed: unknown = cut ? undefined : JSON.parse(bytes.toString());
    return isState(parsed) ? parsed : { kept: [], suppressed: 0 };
  } catch {
    return { kept: [], suppressed: 0 };
  }
}

function isState(value: unknown): value is RateState {
  if (typeof value !== "object" || value === null || !("kept" in value) || !("suppressed" in value)) return false;
  const { kept, suppressed } = value;
  const since = "suppressedSince" in value ? value.suppressedSince : undefined;
  return Array.isArray(kept) && kept.every(isTime) && isTime(suppressed) && (since === undefined || isTime(since));
}

/** The last moment that a Date can hold. @see ECMA-262, 21.4.1.1 */
const TIME_MAX = 8.64e15;

function isTime(value: unknown): value is number {
  return typeof value === "number" && value >= 0 && value <= TIME_MAX;
}

async function writeState(path: string, state: object): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    const file = await open(temporary, LOCK_FLAGS | constants.O_TRUNC, FILE_MODE);
    try {
      await file.writeFile(JSON.stringify(state));
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await unlink(temporary).catch(() => {});
    throw error;
  }
}

/**
 * Cut the random ends off a pod's name, so that all replicas of a workload count as one: `web-7d4b9c6f5-x2x7q` → `web`,
 * `db-0` → `db`.
 */
export function workloadOf(podName: string): string {
  const random = "[bcdfghjklmnpqrstvwxz2456789]";
  return podName.replace(new RegExp(`-(?:${random}{6,10}-)?${random}{5}$`), "").replace(/-\d+$/, "") || podName;
}
