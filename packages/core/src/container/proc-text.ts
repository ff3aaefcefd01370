import { compact } from "../base/records.ts";
import { decodeText } from "../elf/bytes.ts";
import type { CoreMapping } from "../elf/facts.ts";

/** More than a manifest has room for, so that it says that there are more. */
const CMDLINE_MAX_WORDS = 5000;

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
  /** Slots of its table of descriptors. */
  fdSlots?: number;
  /** False for a zombie and a kernel thread, which have no memory left to describe. */
  hasMemory: boolean;
}

/**
 * Read `/proc/<pid>/status`. Total. The process chooses its name, which is the first line: the kernel escapes newlines in
 * it and nothing else, so lines end at newlines alone, and the first one tells nothing.
 * @see proc_pid_status(5), fs/proc/array.c
 */
export function parseProcStatus(text: string): ProcStatus {
  const lines = text.split("\n").slice(1);
  const field = (name: string): string | undefined => {
    const start = `${name}:\t`;
    const line = lines.find((candidate) => candidate.startsWith(start));
    return line?.slice(start.length).split("\t", 1)[0];
  };
  const number = (name: string): number | undefined => {
    const value = field(name);
    return value !== undefined && /^\d{1,10}$/.test(value) ? Number(value) : undefined;
  };
  const coreDumping = field("CoreDumping");
  return compact<ProcStatus>({
    uid: number("Uid"),
    gid: number("Gid"),
    state: field("State")?.[0],
    coreDumping: coreDumping === undefined ? undefined : coreDumping === "1",
    fdSlots: number("FDSize"),
    hasMemory: field("VmSize") !== undefined,
  });
}

/** Read the pid that `/proc/self/fdinfo/<pidfd>` names; -1 when the process has gone, undefined when it is no pidfd. */
export function tryParsePidfdInfo(text: string): number | undefined {
  const pid = valueOf(text, "Pid:\t");
  return pid !== undefined && /^-?\d+$/.test(pid) ? Number(pid) : undefined;
}

/** Read the machine's start from `/proc/stat`, seconds since the Unix epoch. */
export function tryParseBootTime(text: string): number | undefined {
  const seconds = valueOf(text, "btime ");
  return seconds !== undefined && /^\d{1,15}$/.test(seconds) ? Number(seconds) : undefined;
}

/** The rest of the first line that starts so. */
function valueOf(text: string, start: string): string | undefined {
  return text
    .split("\n")
    .find((line) => line.startsWith(start))
    ?.slice(start.length);
}

/**
 * Split `/proc/<pid>/cmdline`: arguments that each end with a NUL.
 * @param maxWords a megabyte can be a million empty arguments; what stands behind so many is left out
 */
export function parseCmdline(bytes: Uint8Array, maxWords = CMDLINE_MAX_WORDS): string[] {
  if (bytes.length === 0) return [];
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const words: string[] = [];
  for (let at = 0; at < buffer.length && words.length < maxWords;) {
    const end = buffer.indexOf(0, at);
    words.push(buffer.toString("utf8", at, end === -1 ? buffer.length : end));
    if (end === -1) break;
    at = end + 1;
  }
  return words;
}

/** A mapping of a file, with its rights as program headers have them: PF_X 1, PF_W 2, PF_R 4. */
export interface MapsLine extends CoreMapping {
  flags: number;
}

/**
 * Read a line of `/proc/<pid>/maps`; undefined for memory that is no file's nor the vDSO. Of a path the kernel writes a newline as
 * `\012`, and everything else as it is.
 * @param line without its newline, each byte as one character (latin1)
 * @see proc_pid_maps(5), fs/proc/task_mmu.c
 */
export function tryParseMapsLine(line: string): MapsLine | undefined {
  const [, start, end, r, w, x, offset, path] =
    /^([\da-f]{1,16})-([\da-f]{1,16}) ([r-])([w-])([x-])[ps] ([\da-f]{1,16}) \S+ \d+ +(\/.*|\[vdso\])$/s.exec(line) ??
    [];
  if (start === undefined || path === undefined) return undefined;
  return {
    path: decodeText(Buffer.from(path.replaceAll("\\012", "\n"), "latin1")),
    start: BigInt(`0x${start}`),
    end: BigInt(`0x${end}`),
    fileOffset: BigInt(`0x${offset}`),
    flags: (x === "x" ? 1 : 0) + (w === "w" ? 2 : 0) + (r === "r" ? 4 : 0),
  };
}
