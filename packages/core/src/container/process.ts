import { readlink } from "node:fs/promises";
import { join } from "node:path";
import type { Problem } from "../bundle/manifest.ts";
import { HeldDirectory, readBounded, type BoundedRead } from "./bounded-file.ts";
import { missingBecause, noteMiss, within } from "./collected.ts";
import { listDescriptors } from "./descriptors.ts";
import { parseCmdline } from "./proc-text.ts";
import {
  contradict,
  fingerprint,
  memorySource,
  readBootMs,
  readIdentityFile,
  startedTooLate,
  startOf,
  STATUS_BYTES,
  type Fingerprint,
  type ProcessAsked,
} from "./same-process.ts";

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
export interface SnapshotOptions extends ProcessAsked {
  /** The environment may hold secrets, so it is read only by choice. */
  includeEnviron?: boolean;
  /** Bytes of one file; more are left out. Default 512 KiB, 1 MiB of `status`, 4 MiB of `maps`. */
  maxFileBytes?: number;
  /** Called when all is read and the process is still the right one; it is looked at once more afterwards. */
  whileHeld?: (source: string, files: ProcessSnapshot["files"]) => Promise<void>;
}

const STEP = "process";
/** Text files that are taken as they are, smallest and most telling first. */
const FILES = ["cmdline", "status", "limits", "cgroup", "mountinfo", "auxv", "maps", "environ"];
/** Of these, those that the kernel writes without the process's memory or its lock, all at once: none of them can hang. */
const QUICK_FILES = ["status", "limits", "cgroup", "mountinfo", "auxv"];
/** A page of the process may be somebody's who does not answer: one thread at most hangs in it. */
const SLOW_FILES = ["cmdline", "maps"];
/** All of them together are what the process may take of our memory. Few are ever longer in earnest. */
const FILE_MAX_BYTES = 512 * 1024;
const LONG_FILES: Readonly<Record<string, number>> = { maps: 4 * 1024 * 1024, status: STATUS_BYTES };

/**
 * Read what `/proc` says about the crashed process. Never rejects.
 *
 * A pid can be used again as soon as its process is gone, and an attacker can make that happen (CVE-2025-4598). So the
 * directory is opened once and held, and the answer counts only when these agree, before and after reading: the pidfd
 * that the kernel gave (`-F`), `CoreDumping` of the process's status, its start, which must lie before the crash, and
 * the uid and gid that the kernel named, which are those of the thread that crashed. Where the kernel does not tell one
 * of them, the others decide; a kernel that has `CoreDumping` tells it of every process that is being dumped.
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
    directory = await HeldDirectory.open(join(roots.proc, String(crash.pid)), options.signal);
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

/**
 * Read something else of the crashed process, and believe it only when this is the process, before reading and after.
 * @param read gets the directory below /proc that describes the process's memory
 * @returns undefined when the process is gone, or may be another one
 * @throws what `read` throws, and the signal's reason
 */
export async function readHeld<T>(
  options: SnapshotOptions,
  read: (directory: string) => Promise<T>,
): Promise<T | undefined> {
  const { crash, roots } = options;
  if (crash.pid === undefined) return undefined;
  const directory = await HeldDirectory.open(join(roots.proc, String(crash.pid)), options.signal);
  try {
    const [before, bootMs] = await Promise.all([fingerprint(options, directory.path), readBootMs(options)]);
    if ((startedTooLate(crash, startOf(before, bootMs)) ?? contradict(options, before)) !== undefined) return undefined;
    const value = await read(memorySource(options, before, directory.path));
    const after = await fingerprint(options, directory.path);
    const isSame = after.startTicks === before.startTicks && contradict(options, after) === undefined;
    return isSame ? value : undefined;
  } finally {
    await directory.close().catch(() => undefined);
  }
}

async function fill(snapshot: ProcessSnapshot, options: SnapshotOptions, directory: HeldDirectory): Promise<void> {
  const [before, bootMs] = await Promise.all([fingerprint(options, directory.path), readBootMs(options)]);
  const startedAtMs = startOf(before, bootMs);
  const contradiction = startedTooLate(options.crash, startedAtMs) ?? contradict(options, before);
  if (contradiction !== undefined) return doubt(snapshot, contradiction);
  if (startedAtMs !== undefined) snapshot.startedAtMs = startedAtMs;
  if (before.crashed.uid !== undefined) snapshot.uid = before.crashed.uid;
  if (before.crashed.gid !== undefined) snapshot.gid = before.crashed.gid;
  const source = memorySource(options, before, directory.path);
  const [cgroup, exe] = await Promise.all([
    readIdentityFile(directory.path, "cgroup", options),
    within(readlink(`${source}/exe`), options.signal).catch(() => undefined),
  ]);
  snapshot.cgroup = cgroup;
  if (exe !== undefined) snapshot.exe = exe;
  if (!(await stillTheSame(snapshot, options, directory, before))) return;
  // From here on it is known whose crash this is, also when the deadline cuts the rest short.
  snapshot.state = "verified";
  try {
    const quick = Promise.all(QUICK_FILES.map((name) => readFile(options, source, name)));
    // What ends the slow ones early ends these as well.
    quick.catch(() => {});
    const slow: FileRead[] = [];
    for (const name of options.includeEnviron === true ? [...SLOW_FILES, "environ"] : SLOW_FILES)
      slow.push(await readFile(options, source, name));
    for (const read of inOrder([...(await quick), ...slow])) addFile(snapshot, read);
    await addFds(snapshot, options, source, before.status.fdSlots);
    await options.whileHeld?.(source, snapshot.files);
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
    after.startTicks === before.startTicks ? contradict(options, after) : "its start time changed while it was read";
  if (change !== undefined) doubt(snapshot, change);
  return change === undefined;
}

/** A file as it was read, or why it was not. */
interface FileRead {
  name: string;
  read: BoundedRead | { error: unknown };
}

async function readFile(options: SnapshotOptions, directory: string, name: string): Promise<FileRead> {
  const maxBytes = options.maxFileBytes ?? LONG_FILES[name] ?? FILE_MAX_BYTES;
  try {
    return { name, read: await readBounded(`${directory}/${name}`, maxBytes, options.signal) };
  } catch (error) {
    options.signal?.throwIfAborted();
    return { name, read: { error } };
  }
}

function inOrder(files: readonly FileRead[]): FileRead[] {
  return files.toSorted((one, other) => FILES.indexOf(one.name) - FILES.indexOf(other.name));
}

function addFile(snapshot: ProcessSnapshot, { name, read }: FileRead): void {
  const { files, problems } = snapshot;
  if ("error" in read) return noteMiss(problems, STEP, missingBecause(read.error, name));
  const { bytes, cut } = read;
  files.push({ name, bytes });
  if (name === "cmdline" && bytes.length > 0) snapshot.cmdline = parseCmdline(bytes);
  if (cut) problems.push({ step: STEP, code: "CDH_CUT", detail: `${name}: the first ${bytes.length} bytes` });
}

async function addFds(
  snapshot: ProcessSnapshot,
  { signal }: SnapshotOptions,
  directory: string,
  slots = 0,
): Promise<void> {
  try {
    snapshot.files.push({ name: "fds", bytes: await listDescriptors(directory, slots, signal) });
  } catch (error) {
    if (signal?.aborted === true) throw error;
    noteMiss(snapshot.problems, STEP, missingBecause(error, "fd"));
  }
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
