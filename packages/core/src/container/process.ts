import { readdir, readlink } from "node:fs/promises";
import { join } from "node:path";
import type { Problem } from "../bundle/manifest.ts";
import type { Crash } from "../kernel/crash.ts";
import type { Roots } from "../roots.ts";
import { HeldDirectory, readBounded } from "./bounded-file.ts";
import { missingBecause, noteMiss, within } from "./collected.ts";
import {
  parseCmdline,
  parseProcStatus,
  tryParseBootTime,
  tryParsePidfdInfo,
  tryParseProcStat,
  type ProcStatus,
} from "./proc-text.ts";

/** What `/proc` said about the crashed process while the kernel still held it. */
export interface ProcessSnapshot {
  /**
   * `verified`: everything that identifies the process agreed, before reading and after. `doubtful`: something did not,
   * so this may be another process under the same pid, and nothing of it may be believed. `gone`: there was nothing to
   * read, or the kernel's line had no `-P`.
   */
  state: "verified" | "doubtful" | "gone";
  /** The files of `N-proc/`, in the order they are written. */
  files: { name: string; bytes: Uint8Array }[];
  /** Text of the cgroup file. */
  cgroup?: string;
  cmdline?: string[];
  exe?: string;
  startedAtMs?: number;
  uid?: number;
  gid?: number;
  problems: Problem[];
}

/** Say what to read. */
export interface SnapshotOptions {
  roots: Roots;
  crash: Crash;
  /** The environment may hold secrets, so it is read only by choice. */
  includeEnviron?: boolean;
  signal?: AbortSignal;
  /** Bytes of one file; more are left out. Default 4 MiB. */
  maxFileBytes?: number;
}

const STEP = "process";
/** Text files that are taken as they are, smallest and most telling first. */
const FILES = ["cmdline", "status", "limits", "cgroup", "mountinfo", "auxv", "maps"];
const IDENTITY_BYTES = 65536;
const MAX_FDS = 4096;
/** USER_HZ: the unit of start times in /proc on every architecture that we run on. */
const TICKS_PER_SECOND = 100;

/**
 * Read what `/proc` says about the crashed process. Never rejects.
 *
 * A pid can be used again as soon as its process is gone, and an attacker can make that happen (CVE-2025-4598). So the
 * directory is opened once and held, and the answer counts only when these agree, before and after reading: the pidfd
 * that the kernel gave (`-F`), `CoreDumping` of the process's status, its start, which must lie before the crash, and
 * the uid and gid that the kernel named. Where the kernel does not tell one of them, the others decide.
 */
export async function snapshotProcess(options: SnapshotOptions): Promise<ProcessSnapshot> {
  const snapshot: ProcessSnapshot = { state: "gone", files: [], problems: [] };
  const { crash, roots } = options;
  if (crash.pid === undefined) {
    noteMiss(snapshot.problems, STEP, { missing: "CDH_NO_PID", detail: "the kernel's line names no host pid (-P)" });
    return snapshot;
  }
  let directory: HeldDirectory;
  try {
    directory = await within(HeldDirectory.open(join(roots.proc, String(crash.pid))), options.signal);
  } catch (error) {
    noteMiss(snapshot.problems, STEP, missingBecause(error, join(roots.proc, String(crash.pid))));
    return snapshot;
  }
  try {
    await fill(snapshot, options, directory);
  } catch (error) {
    noteMiss(snapshot.problems, STEP, missingBecause(error, join(roots.proc, String(crash.pid))));
    forget(snapshot, "gone");
  } finally {
    await directory.close().catch(() => undefined);
  }
  return snapshot;
}

/** What identifies the process at one moment. */
interface Fingerprint {
  startTicks: number;
  status: ProcStatus;
}

async function fill(snapshot: ProcessSnapshot, options: SnapshotOptions, directory: HeldDirectory): Promise<void> {
  const before = await fingerprint(options, directory.path);
  const startedAtMs = await startOf(options, before.startTicks);
  const contradiction = startedTooLate(options.crash, startedAtMs) ?? (await contradict(options, before));
  if (contradiction !== undefined) return doubt(snapshot, contradiction);
  if (startedAtMs !== undefined) snapshot.startedAtMs = startedAtMs;
  if (before.status.uid !== undefined) snapshot.uid = before.status.uid;
  if (before.status.gid !== undefined) snapshot.gid = before.status.gid;
  const source = memorySource(options, before, directory.path);
  snapshot.cgroup = await readText(directory.path, "cgroup", options);
  const exe = await within(readlink(`${source}/exe`), options.signal).catch(() => undefined);
  if (exe !== undefined) snapshot.exe = exe;
  if (!(await stillTheSame(snapshot, options, directory, before))) return;
  // From here on it is known whose crash this is, also when the deadline cuts the rest short.
  snapshot.state = "verified";
  try {
    for (const name of options.includeEnviron === true ? [...FILES, "environ"] : FILES) {
      await addFile(snapshot, options, source, name);
    }
    await addFds(snapshot, options, source);
    await stillTheSame(snapshot, options, directory, before);
  } catch (error) {
    // What was read after the last check may be another process's.
    snapshot.files = [];
    delete snapshot.cmdline;
    noteMiss(snapshot.problems, STEP, missingBecause(error, "files of the process"));
  }
}

async function stillTheSame(
  snapshot: ProcessSnapshot,
  options: SnapshotOptions,
  directory: HeldDirectory,
  before: Fingerprint,
): Promise<boolean> {
  const after = await fingerprint(options, directory.path);
  const change =
    after.startTicks === before.startTicks
      ? await contradict(options, after)
      : "its start time changed while it was read";
  if (change !== undefined) doubt(snapshot, change);
  return change === undefined;
}

/** The machine's start is known to a second, and the crash too, so a little is forgiven. */
function startedTooLate(crash: Crash, startedAtMs: number | undefined): string | undefined {
  if (crash.timestamp === undefined || startedAtMs === undefined) return undefined;
  return startedAtMs > crash.timestamp * 1000 + 2000 ? "the process started after the crash" : undefined;
}

async function fingerprint(options: SnapshotOptions, path: string): Promise<Fingerprint> {
  const stat = tryParseProcStat(await readText(path, "stat", options));
  if (stat === undefined) throw new Error("stat cannot be read");
  return { startTicks: stat.startTicks, status: parseProcStatus(await readText(path, "status", options)) };
}

/** Say what speaks against this being the crashed process, or nothing. */
async function contradict({ crash, signal }: SnapshotOptions, { status }: Fingerprint): Promise<string | undefined> {
  if (crash.pidfd !== undefined) {
    try {
      const { bytes } = await readBounded(`/proc/self/fdinfo/${crash.pidfd}`, IDENTITY_BYTES, signal);
      const pid = tryParsePidfdInfo(bytes.toString());
      if (pid !== undefined && pid !== crash.pid) return `the kernel's pidfd names process ${pid}, not ${crash.pid}`;
    } catch {
      // The kernel said -F but this runtime was not given the descriptor: the other signs decide.
    }
  }
  if (status.coreDumping === false) return "the process is not dumping core";
  if (crash.uid !== undefined && status.uid !== undefined && status.uid !== crash.uid) {
    return `its uid is ${status.uid}, the kernel said ${crash.uid}`;
  }
  if (crash.gid !== undefined && status.gid !== undefined && status.gid !== crash.gid) {
    return `its gid is ${status.gid}, the kernel said ${crash.gid}`;
  }
  return undefined;
}

/** The first thread may have ended before the others; then only a living thread's directory describes the memory. */
function memorySource({ crash }: SnapshotOptions, { status }: Fingerprint, path: string): string {
  return !status.hasMemory && crash.tid !== undefined && crash.tid !== crash.pid ? `${path}/task/${crash.tid}` : path;
}

async function startOf(options: SnapshotOptions, startTicks: number): Promise<number | undefined> {
  try {
    const { bytes } = await readBounded(join(options.roots.proc, "stat"), 1024 * 1024, options.signal);
    const bootSeconds = tryParseBootTime(bytes.toString());
    return bootSeconds === undefined ? undefined : bootSeconds * 1000 + (startTicks * 1000) / TICKS_PER_SECOND;
  } catch {
    return undefined;
  }
}

async function readText(directory: string, name: string, options: SnapshotOptions): Promise<string> {
  return (await readBounded(`${directory}/${name}`, IDENTITY_BYTES, options.signal)).bytes.toString();
}

async function addFile(
  snapshot: ProcessSnapshot,
  options: SnapshotOptions,
  directory: string,
  name: string,
): Promise<void> {
  try {
    const { bytes, cut } = await readBounded(
      `${directory}/${name}`,
      options.maxFileBytes ?? 4 * 1024 * 1024,
      options.signal,
    );
    snapshot.files.push({ name, bytes });
    if (name === "cmdline" && bytes.length > 0) snapshot.cmdline = parseCmdline(bytes);
    if (cut)
      snapshot.problems.push({ step: STEP, code: "CDH_CUT", detail: `${name}: the first ${bytes.length} bytes` });
  } catch (error) {
    if (options.signal?.aborted === true) throw error;
    noteMiss(snapshot.problems, STEP, missingBecause(error, name));
  }
}

/** `fds`: one line for each open descriptor, `3 -> /path`, blanks and control bytes in paths written as in maps. */
async function addFds(snapshot: ProcessSnapshot, options: SnapshotOptions, directory: string): Promise<void> {
  try {
    const names = (await within(readdir(`${directory}/fd`), options.signal)).sort((a, b) => Number(a) - Number(b));
    const lines = await within(
      Promise.all(
        names.slice(0, MAX_FDS).map(async (name) => {
          const target = await readlink(`${directory}/fd/${name}`).catch(() => "?");
          return `${name} -> ${escapePath(target)}\n`;
        }),
      ),
      options.signal,
    );
    if (names.length > MAX_FDS) lines.push(`… ${names.length - MAX_FDS} more\n`);
    snapshot.files.push({ name: "fds", bytes: Buffer.from(lines.join("")) });
  } catch (error) {
    if (options.signal?.aborted === true) throw error;
    noteMiss(snapshot.problems, STEP, missingBecause(error, "fd"));
  }
}

function escapePath(path: string): string {
  // eslint-disable-next-line no-control-regex -- control characters are exactly what must not stay
  return path.replaceAll(/[\u0000-\u001f\u007f\\]/g, (byte) => `\\${byte.charCodeAt(0).toString(8).padStart(3, "0")}`);
}

function doubt(snapshot: ProcessSnapshot, detail: string): void {
  snapshot.problems.push({ step: STEP, code: "CDH_PROCESS_DOUBTFUL", detail });
  forget(snapshot, "doubtful");
}

/** Nothing that was read may be attributed to the crash. */
function forget(snapshot: ProcessSnapshot, state: "doubtful" | "gone"): void {
  const { problems } = snapshot;
  for (const key of Object.keys(snapshot) as (keyof ProcessSnapshot)[]) delete snapshot[key];
  Object.assign(snapshot, { state, files: [], problems } satisfies ProcessSnapshot);
}
