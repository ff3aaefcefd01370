import { release } from "node:os";
import { join } from "node:path";
import { errnoOf } from "../base/errors.ts";
import type { Roots } from "../base/roots.ts";
import type { Crash } from "../kernel/crash.ts";
import { readBounded } from "./bounded-file.ts";
import {
  parseProcStatus,
  tryParseBootTime,
  tryParsePidfdInfo,
  tryParseProcStat,
  type ProcStatus,
} from "./proc-text.ts";

/** Which process is meant. */
export interface ProcessAsked {
  roots: Roots;
  crash: Crash;
  signal?: AbortSignal;
  /** As `uname -r` says it. Default: this machine's. */
  kernelRelease?: string;
}

const IDENTITY_BYTES = 65536;
/** `status` has a line of all supplementary groups, 65,536 at most: 722 KB. What identifies stands behind it too. */
export const STATUS_BYTES = 1024 * 1024;
/** USER_HZ: the unit of start times in /proc on every architecture that we run on. */
const TICKS_PER_SECOND = 100;

/** What identifies the process at one moment. */
export interface Fingerprint {
  startTicks: number;
  /** Of its first thread. */
  status: ProcStatus;
  /** Of the thread that crashed, which may have ids of its own; of the first one where the kernel names no other. */
  crashed: ProcStatus;
  /** The process that the kernel's own descriptor stands for; undefined where the kernel gave none. */
  named: number | undefined;
}

/**
 * Say that the process started after the crash; undefined when it did not. The machine's start is known to a second, and
 * the crash too, so a little is forgiven.
 */
export function startedTooLate(crash: Crash, startedAtMs: number | undefined): string | undefined {
  if (crash.timestamp === undefined || startedAtMs === undefined) return undefined;
  return startedAtMs > crash.timestamp * 1000 + 2000 ? "the process started after the crash" : undefined;
}

/**
 * Read what identifies the process. All of it at once: nothing of it waits for the process's memory, and the process is held
 * meanwhile.
 * @param path its directory below /proc
 * @throws when it is gone or cannot be read, and the signal's reason
 */
export async function fingerprint(options: ProcessAsked, path: string): Promise<Fingerprint> {
  const [statText, status, crashed, named] = await Promise.all([
    readIdentityFile(path, "stat", options),
    readStatus(path, options),
    readCrashedStatus(path, options),
    pidOfPidfd(options),
  ]);
  const stat = tryParseProcStat(statText);
  if (stat === undefined) throw new Error("stat cannot be read");
  return { startTicks: stat.startTicks, status, crashed: crashed ?? status, named };
}

/** Read the status of a thread that crashed and is not the first one; undefined where that is not to be seen: then the first one has to agree. */
async function readCrashedStatus(path: string, options: ProcessAsked): Promise<ProcStatus | undefined> {
  const { pid, tid } = options.crash;
  if (tid === undefined || tid === pid) return undefined;
  return await readStatus(`${path}/task/${tid}`, options).catch((error: unknown) => {
    options.signal?.throwIfAborted();
    if (errnoOf(error) === undefined) throw error;
    return undefined;
  });
}

async function readStatus(path: string, options: ProcessAsked): Promise<ProcStatus> {
  const { bytes } = await readBounded(`${path}/status`, STATUS_BYTES, options.signal);
  return parseProcStatus(bytes.toString());
}

/** Say what speaks against this being the crashed process, or nothing. */
export function contradict(
  { crash, kernelRelease }: ProcessAsked,
  { crashed, named }: Fingerprint,
): string | undefined {
  if (named !== undefined && named !== crash.pid) return `the kernel's pidfd names process ${named}, not ${crash.pid}`;
  if (crashed.coreDumping === false) return "the process is not dumping core";
  // Once its memory is gone a status does not say it; then only the pidfd shows that this is still the process.
  if (crashed.coreDumping === undefined && named === undefined && tellsCoreDumping(kernelRelease ?? release()))
    return "nothing says that the process is dumping core";
  if (crash.uid !== undefined && crashed.uid !== undefined && crashed.uid !== crash.uid) {
    return `its uid is ${crashed.uid}, the kernel said ${crash.uid}`;
  }
  if (crash.gid !== undefined && crashed.gid !== undefined && crashed.gid !== crash.gid) {
    return `its gid is ${crashed.gid}, the kernel said ${crash.gid}`;
  }
  return undefined;
}

/** The process that the kernel's own descriptor stands for; undefined where the kernel gave none. */
async function pidOfPidfd({ crash, signal }: ProcessAsked): Promise<number | undefined> {
  if (crash.pidfd === undefined) return undefined;
  try {
    const { bytes } = await readBounded(`/proc/self/fdinfo/${crash.pidfd}`, IDENTITY_BYTES, signal);
    return tryParsePidfdInfo(bytes.toString());
  } catch {
    // The kernel said -F but this runtime was not given the descriptor: the other signs decide.
    return undefined;
  }
}

/** Linux 4.15 and later write `CoreDumping` for every process that has memory. @see proc_pid_status(5) */
function tellsCoreDumping(kernelRelease: string): boolean {
  const [, major, minor] = /^(\d+)\.(\d+)/.exec(kernelRelease) ?? [];
  return Number(major) > 4 || (Number(major) === 4 && Number(minor) >= 15);
}

/**
 * Find the directory that describes the process's memory: when the first thread has ended before the others, it is that of
 * the thread that crashed.
 */
export function memorySource({ crash }: ProcessAsked, { status }: Fingerprint, path: string): string {
  return !status.hasMemory && crash.tid !== undefined && crash.tid !== crash.pid ? `${path}/task/${crash.tid}` : path;
}

/** When the machine started, in epoch milliseconds; undefined when that is not known. */
export async function readBootMs({ roots, signal }: ProcessAsked): Promise<number | undefined> {
  try {
    const { bytes } = await readBounded(join(roots.proc, "stat"), 1024 * 1024, signal);
    const bootSeconds = tryParseBootTime(bytes.toString());
    return bootSeconds === undefined ? undefined : bootSeconds * 1000;
  } catch {
    return undefined;
  }
}

/** When a process started, in epoch milliseconds. @param bootMs when the machine did */
export function startOf({ startTicks }: Fingerprint, bootMs: number | undefined): number | undefined {
  return bootMs === undefined ? undefined : bootMs + (startTicks * 1000) / TICKS_PER_SECOND;
}

/** Read a short file of the process as text. @throws when it cannot be read, and the signal's reason */
export async function readIdentityFile(directory: string, name: string, options: ProcessAsked): Promise<string> {
  return (await readBounded(`${directory}/${name}`, IDENTITY_BYTES, options.signal)).bytes.toString();
}
