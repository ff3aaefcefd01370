import { statSync } from "node:fs";
import { join } from "node:path";
import { reasonOf } from "@cdh/core/errors";
import { LEASE_NAME } from "@cdh/core/kernel/watch-lease";
import type { Logger } from "@cdh/core/log";
import { formatDuration } from "@cdh/core/units";

/**
 * Tell for how long nobody has looked after this handler, when that is longer than the lease; else undefined. One stat,
 * made after the crash is kept.
 * @param exeDir HOST_DIR
 * @param leaseMs the longest that a lease lasts; 0: for ever
 */
export function expiredFor(exeDir: string, leaseMs: number, nowMs: number): number | undefined {
  if (leaseMs === 0) return undefined;
  const lease = statSync(join(exeDir, LEASE_NAME), { throwIfNoEntry: false });
  const ageMs = lease === undefined ? 0 : nowMs - lease.mtimeMs;
  return ageMs > leaseMs ? ageMs : undefined;
}

/**
 * Look whether anybody still looks after this handler, once a crash is kept; if nobody does for longer than the lease, the
 * kernel gets the node's own values back. Never throws.
 */
export async function endWhenAbandoned(
  exeDir: string,
  options: { leaseMs: number; proc: string; nowMs: number; log: Logger; kernelLog: (text: string) => void },
): Promise<void> {
  const { leaseMs, proc, nowMs, log, kernelLog } = options;
  try {
    const ageMs = expiredFor(exeDir, leaseMs, nowMs);
    if (ageMs === undefined) return;
    // Loaded only now: no crash on a node that is looked after pays for it.
    const { giveBack } = await import("./give-back.ts");
    const done = giveBack(exeDir, proc);
    const since = formatDuration(ageMs);
    if (done.kind === "noted")
      log.warn("cdh-sysctl watch has not renewed its lease: the kernel's own values come back unless it does soon", {
        since,
      });
    if (done.kind !== "given-back") return;
    log.error("nobody looks after this handler: the kernel has the node's own values again", { since, ...done });
    kernelLog(
      `nobody has looked after this handler for ${since}: ${done.values.join(", ")} again; cdh-sysctl restore removes what is left in ${exeDir}`,
    );
  } catch (error) {
    log.error("cannot give the kernel the node's own values back", { reason: reasonOf(error) });
  }
}
