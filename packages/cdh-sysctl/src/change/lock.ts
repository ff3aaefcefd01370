import { linkSync, readFileSync, readlinkSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { toRfc3339 } from "@cdh/core/clock";
import { CdhError, errnoOf } from "@cdh/core/errors";
import { parseJson } from "@cdh/core/json";
import { readTextIfThere } from "../node/files.ts";
import { inHostDir, NAMES, type Node } from "../node/target-node.ts";
import { diskError } from "./copy-verified.ts";

const POLL_MS = 100;
/** The holder touches its lock this often, so that one from another pid namespace can be judged by its age. */
const HEARTBEAT_MS = 5_000;
const SILENT_MS = 60_000;

/** Who holds the lock: enough to tell a process that is gone from one that got the same pid later. */
interface Holder {
  pid: number;
  /** Start time of the process in clock ticks since boot. @see proc(5), /proc/pid/stat field 22 */
  startTicks: string;
  bootId: string;
  /** Pids mean something only inside one pid namespace. */
  pidNamespace: string;
  since: string;
}

/** A lock that is held. */
export interface Lock {
  release(): void;
}

/**
 * Take the lock of this HOST_DIR: one install, restore or repair at a time. A holder that was killed leaves its lock
 * behind; it is recognised by boot, pid and start time, and taken over.
 * @throws {CdhError} CDH_DEADLINE when another one still holds it after `timeoutMs`
 */
export async function takeLock(node: Node, timeoutMs: number, signal?: AbortSignal): Promise<Lock> {
  const path = inHostDir(node, NAMES.lock);
  const mine = JSON.stringify(describeSelf(toRfc3339(node.clock.now())));
  const deadline = node.clock.monotonic() + timeoutMs;
  for (;;) {
    if (tryTake(path, mine)) return holdLock(node, path, mine);
    const text = readTextIfThere(path);
    if (text === undefined) continue;
    if (isStale(path, text, node.clock.now())) {
      removeStale(path, text);
      continue;
    }
    if (node.clock.monotonic() >= deadline) {
      const holder = parseHolder(text);
      throw new CdhError(
        "CDH_DEADLINE",
        `cannot work on ${node.hostDir}: another cdh-sysctl does (pid ${holder?.pid ?? "unknown"}, since ${holder?.since ?? "unknown"})`,
        {
          hint: "wait until it is done, or give --lock-timeout",
        },
      );
    }
    await node.clock.sleep(POLL_MS, signal).catch(() => {});
    if (signal?.aborted === true) {
      throw new CdhError("CDH_DEADLINE", `stopped while another cdh-sysctl was working on ${node.hostDir}`);
    }
  }
}

function holdLock(node: Node, path: string, mine: string): Lock {
  const heartbeat = setInterval(() => {
    try {
      const now = node.clock.now() / 1000;
      utimesSync(path, now, now);
    } catch {
      // Somebody removed the directory: the work itself will say so.
    }
  }, HEARTBEAT_MS);
  heartbeat.unref();
  return {
    release: () => {
      clearInterval(heartbeat);
      if (readTextIfThere(path) === mine) rmSync(path, { force: true });
    },
  };
}

/**
 * Tell whether a file beside the lock was left by a run that was killed. A process that waits for the lock makes such files
 * and removes them at once: they are no trace of anything.
 * @param now epoch milliseconds
 */
export function isAbandonedDraft(path: string, now: number): boolean {
  const pid = /\.(\d+)\.[^./]+$/.exec(path)?.[1];
  if (pid === undefined || startTicksOf(Number(pid)) === undefined) return true;
  const modifiedMs = statSync(path, { throwIfNoEntry: false })?.mtimeMs;
  return modifiedMs !== undefined && now - modifiedMs > SILENT_MS;
}

/** Create the lock with its content at once: a reader never sees it empty. */
function tryTake(path: string, mine: string): boolean {
  const draft = `${path}.${process.pid}.${process.hrtime.bigint()}`;
  try {
    writeFileSync(draft, mine, { flag: "wx", mode: 0o600 });
    linkSync(draft, path);
    return true;
  } catch (error) {
    // The draft is gone when the holder tidied up at this moment: try again.
    if (errnoOf(error) === "EEXIST" || errnoOf(error) === "ENOENT") return false;
    throw diskError(`cannot write the lock ${path}`, error);
  } finally {
    rmSync(draft, { force: true });
  }
}

/** Remove a stale lock, unless another process has just taken it over. */
function removeStale(path: string, seen: string): void {
  const aside = `${path}.${process.pid}.stale`;
  try {
    renameSync(path, aside);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return;
    throw error;
  }
  try {
    // It was not the one that was judged: give it back to its holder.
    if (readFileSync(aside, "utf8") !== seen) linkSync(aside, path);
  } finally {
    rmSync(aside, { force: true });
  }
}

function isStale(path: string, text: string, now: number): boolean {
  const holder = parseHolder(text);
  const self = describeSelf("");
  if (holder === undefined || holder.bootId !== self.bootId) return true;
  if (holder.pidNamespace === self.pidNamespace) return startTicksOf(holder.pid) !== holder.startTicks;
  try {
    return now - statSync(path).mtimeMs > SILENT_MS;
  } catch {
    return false;
  }
}

function parseHolder(text: string): Holder | undefined {
  try {
    const value = parseJson(text) as Partial<Holder> | null;
    return typeof value?.pid === "number" && typeof value.startTicks === "string" && typeof value.bootId === "string"
      ? { pidNamespace: "", since: "", ...value, pid: value.pid, startTicks: value.startTicks, bootId: value.bootId }
      : undefined;
  } catch {
    return undefined;
  }
}

/** These are facts about this process, so they come from its own /proc, whatever --proc-root says. */
function describeSelf(since: string): Holder {
  return {
    pid: process.pid,
    startTicks: startTicksOf(process.pid) ?? "",
    bootId: readTextIfThere("/proc/sys/kernel/random/boot_id")?.trim() ?? "",
    pidNamespace: pidNamespace(),
    since,
  };
}

function pidNamespace(): string {
  try {
    return readlinkSync("/proc/self/ns/pid");
  } catch {
    return "";
  }
}

function startTicksOf(pid: number): string | undefined {
  const stat = readTextIfThere(`/proc/${pid}/stat`);
  // The command name may hold blanks and parentheses: fields are counted from its end.
  return stat?.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
}
