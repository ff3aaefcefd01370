import type { Problem } from "../base/problem.ts";

/** A soft RLIMIT_CORE: bytes, or `"unlimited"` for the kernel's 2^64 − 1, which no JSON number can hold. */
export type RlimitBytes = number | "unlimited";

/** The short letters of the flags that the composer understands; the long names are IBM's. */
export type CrashFlag =
  | "P"
  | "p"
  | "i"
  | "I"
  | "u"
  | "g"
  | "s"
  | "t"
  | "c"
  | "m"
  | "F"
  | "h"
  | "e"
  | "E"
  | "d"
  | "T"
  | "D";

/**
 * Hold what the kernel said about one crash. A field is absent when the kernel did not say it, or said it wrongly.
 * `hostname`, `comm` and `pathname` are the crashed program's own words: never trust them with a decision.
 * @see core(5) for the specifiers
 */
export interface Crash {
  /** Pid on the host (`%P`). */
  pid?: number;
  /** Pid in the process's own pid namespace (`%p`), often 1 in a container. */
  pidInNamespace?: number;
  /** Thread id on the host (`%I`). */
  tid?: number;
  /** Thread id in the process's own pid namespace (`%i`). */
  tidInNamespace?: number;
  /** Real uid on the host (`%u`). */
  uid?: number;
  /** Real gid on the host (`%g`). */
  gid?: number;
  /** Signal number (`%s`). */
  signal?: number;
  /** Seconds since the Unix epoch (`%t`). */
  timestamp?: number;
  /** Soft RLIMIT_CORE (`%c`). */
  rlimitCoreBytes?: RlimitBytes;
  /** 0 not dumpable, 1 as the user, 2 as root only (`%d`). */
  dumpMode?: number;
  /** Descriptor number of a pidfd for the process, inherited from the kernel (`%F`, since Linux 6.16). */
  pidfd?: number;
  /** Host name in the process's own UTS namespace (`%h`). */
  hostname?: string;
  /** Name of the crashing thread, at most 15 bytes (`%e`). */
  comm?: string;
  /** Path of the executable as the kernel writes it, `/` as `!` (`%E`). */
  pathname?: string;
  /** The same path with its slashes; absent when the kernel did not know it. A `!` in a real name comes out as `/`. */
  exe?: string;
  /** Set when the executable was deleted before the crash. */
  exeDeleted?: true;
  /** Output directory of IBM's line (`-d`). */
  dir?: string;
  /** Seconds, of IBM's line (`-T`). */
  timeoutSeconds?: number;
  /** Of IBM's line (`-D`). */
  disableCompression?: boolean;
  /** What stood behind each flag that was taken, word for word; the compatible JSON and the name template want text. */
  raw: Readonly<Partial<Record<CrashFlag, string>>>;
  /** Words that belong to no flag. */
  rest: string[];
  /** What could not be understood, ready for the manifest. */
  problems: Problem[];
}
