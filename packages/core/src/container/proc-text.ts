/** What of `/proc/<pid>/stat` identifies a process. */
export interface ProcStat {
  pid: number;
  ppid: number;
  state: string;
  /** Clock ticks between the machine's start and the process's. */
  startTicks: number;
}

/**
 * Read `/proc/<pid>/stat`. The name in parentheses may hold anything, parentheses and newlines too, so the fields are
 * counted from the last `)`.
 * @see proc_pid_stat(5)
 */
export function tryParseProcStat(text: string): ProcStat | undefined {
  const pid = /^(\d+) \(/.exec(text)?.[1];
  const close = text.lastIndexOf(")");
  if (pid === undefined || close === -1) return undefined;
  const fields = text.slice(close + 2).split(" ");
  const startTicks = Number(fields[19]);
  const ppid = Number(fields[1]);
  if (fields[19] === undefined || !Number.isSafeInteger(startTicks) || !Number.isSafeInteger(ppid)) return undefined;
  return { pid: Number(pid), ppid, state: fields[0] ?? "", startTicks };
}

/** What of `/proc/<pid>/status` identifies a process. */
export interface ProcStatus {
  /** Real ids in the reader's user namespace. */
  uid?: number;
  gid?: number;
  state?: string;
  /** Whether the kernel is dumping its core now; absent before Linux 4.15, and for a zombie. */
  coreDumping?: boolean;
  /** False for a zombie and a kernel thread, which have no memory left to describe. */
  hasMemory: boolean;
}

/** Read `/proc/<pid>/status`. Total. @see proc_pid_status(5) */
export function parseProcStatus(text: string): ProcStatus {
  const field = (name: string): string | undefined => new RegExp(`^${name}:\\t([^\\t\\n]*)`, "m").exec(text)?.[1];
  const number = (name: string): number | undefined => {
    const value = field(name);
    return value !== undefined && /^\d{1,10}$/.test(value) ? Number(value) : undefined;
  };
  const uid = number("Uid");
  const gid = number("Gid");
  const state = field("State")?.[0];
  const coreDumping = field("CoreDumping");
  return {
    ...(uid === undefined ? {} : { uid }),
    ...(gid === undefined ? {} : { gid }),
    ...(state === undefined ? {} : { state }),
    ...(coreDumping === undefined ? {} : { coreDumping: coreDumping === "1" }),
    hasMemory: field("VmSize") !== undefined,
  };
}

/** Read the pid that `/proc/self/fdinfo/<pidfd>` names; -1 when the process has gone, undefined when it is no pidfd. */
export function tryParsePidfdInfo(text: string): number | undefined {
  const pid = /^Pid:\t(-?\d+)$/m.exec(text)?.[1];
  return pid === undefined ? undefined : Number(pid);
}

/** Read the machine's start from `/proc/stat`, seconds since the Unix epoch. */
export function tryParseBootTime(text: string): number | undefined {
  const seconds = /^btime (\d{1,15})$/m.exec(text)?.[1];
  return seconds === undefined ? undefined : Number(seconds);
}

/** Split `/proc/<pid>/cmdline`: arguments that each end with a NUL. */
export function parseCmdline(bytes: Uint8Array): string[] {
  if (bytes.length === 0) return [];
  const text = Buffer.from(bytes).toString("utf8");
  return (text.endsWith("\0") ? text.slice(0, -1) : text).split("\0");
}
