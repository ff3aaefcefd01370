import { closeSync, constants, openSync, readSync } from "node:fs";
import { errnoOf } from "@cdh/core/errors";

/**
 * Why the kernel itself kept no core, or handed it to nobody, in the words of our metrics.
 * pipe_failed: it could not start the handler · pipe_limit: more handlers ran than kernel.core_pipe_limit allows ·
 * socket_failed: nobody listens at the pattern's socket · refused: the pattern or the process's own limit forbids it.
 */
export type KernelReason = "pipe_failed" | "pipe_limit" | "socket_failed" | "refused";

/** Every reason, in the order in which they are told. */
export const KERNEL_REASONS: readonly KernelReason[] = ["pipe_failed", "pipe_limit", "socket_failed", "refused"];

/** A crash that the kernel says it could not hand over. */
export interface KernelComplaint {
  reason: KernelReason;
  /** Crashes that it stands for: the kernel leaves out lines that come too fast, and says how many. */
  count: number;
  /** Name of the crashed process; the process chose it. Absent where the kernel gives none. */
  comm?: string;
  /** Microseconds since the boot. */
  bootMicros: number;
}

/** Ends of the kernel's lines. The start holds the process's own name, so only the end decides. @see fs/coredump.c */
const ENDINGS: readonly [pattern: RegExp, reason: KernelReason][] = [
  [/ pipe failed$/, "pipe_failed"],
  [/over core_pipe_limit(?:, skipping core dump)?$/, "pipe_limit"],
  [/oredump socket .* failed -?\d+$/, "socket_failed"],
  [/(?:RLIMIT_CORE (?:is )?set to 1)(?:, aborting core)?$/, "refused"],
  [/format_corename failed(?:, aborting core)?$/, "refused"],
  [/fully qualified path!?(?:, skipping core dump)?$/, "refused"],
];

/** More records than a kernel's log holds: a look at it always ends. */
const RECORDS_MAX = 200_000;
const RECORD_MAX_BYTES = 8192;

/**
 * Understand one record of /dev/kmsg, or undefined when it tells nothing of a crash. Only the kernel's own records count:
 * those that programs write are marked by it with another facility.
 * @see https://docs.kernel.org/ABI/testing/dev-kmsg
 */
export function parseKernelRecord(record: string): KernelComplaint | { suppressed: number } | undefined {
  const match = /^(\d+),\d+,(\d+),[^;]*;([^\n]*)/.exec(record);
  const [, level = "", micros = "", text = ""] = match ?? [];
  if (match === null || Number(level) >= 8) return undefined;
  const suppressed = /^\w*core_?dump\w*: (\d+) callbacks suppressed$/.exec(text)?.[1];
  if (suppressed !== undefined) return { suppressed: Number(suppressed) };
  // Since Linux 6.12 the line begins with the subject; before, it was `Pid 4711(name) over …` or `Core dump to |… pipe failed`.
  const subject = /^(?:coredump: |Pid |Process )\d+\((.*)\)(?::| )/.exec(text);
  if (subject === null && !/^(?:Core dump to \||format_corename failed)/.test(text)) return undefined;
  const reason = ENDINGS.find(([pattern]) => pattern.test(text))?.[1];
  if (reason === undefined) return undefined;
  return {
    reason,
    count: 1,
    bootMicros: Number(micros),
    ...(subject?.[1] === undefined ? {} : { comm: subject[1] }),
  };
}

/** Understand records in their order; what was left out counts for the line that follows it, as the kernel writes them. */
export function understandRecords(records: readonly string[]): KernelComplaint[] {
  const complaints: KernelComplaint[] = [];
  let leftOut = 0;
  for (const record of records) {
    const found = parseKernelRecord(record);
    if (found === undefined) continue;
    if ("suppressed" in found) leftOut += found.suppressed;
    else {
      complaints.push({ ...found, count: found.count + leftOut });
      leftOut = 0;
    }
  }
  return complaints;
}

/** Add up complaints by their reason. */
export function countComplaints(complaints: readonly KernelComplaint[]): Partial<Record<KernelReason, number>> {
  const counts: Partial<Record<KernelReason, number>> = {};
  for (const { reason, count } of complaints) counts[reason] = (counts[reason] ?? 0) + count;
  return counts;
}

/** What the kernel says of crashes, read from /dev/kmsg without ever waiting. */
export class KernelLog {
  #fd: number | undefined;
  readonly #buffer = Buffer.allocUnsafe(RECORD_MAX_BYTES);

  private constructor(fd: number | undefined) {
    this.#fd = fd;
  }

  /** Open it at its beginning, as far as the kernel still has it. Without the right to read it, nothing is ever found. */
  static open(path = "/dev/kmsg"): KernelLog {
    try {
      return new KernelLog(openSync(path, constants.O_RDONLY | constants.O_NONBLOCK));
    } catch {
      return new KernelLog(undefined);
    }
  }

  /** Whether the kernel's log can be read here. */
  get readable(): boolean {
    return this.#fd !== undefined;
  }

  /** Read what was written since the last call. */
  read(): KernelComplaint[] {
    const records: string[] = [];
    for (let count = 0; count < RECORDS_MAX && this.#fd !== undefined; count += 1) {
      try {
        const length = readSync(this.#fd, this.#buffer, 0, RECORD_MAX_BYTES, null);
        if (length === 0) break;
        const record = this.#buffer.toString("latin1", 0, length);
        if (record.includes("core") || record.includes("Core")) records.push(record);
      } catch (error) {
        // EPIPE: records were overwritten before they were read; the next read goes on behind them.
        if (errnoOf(error) === "EPIPE") continue;
        if (errnoOf(error) !== "EAGAIN") this.close();
        break;
      }
    }
    return understandRecords(records);
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }
}
