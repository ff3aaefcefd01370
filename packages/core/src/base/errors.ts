import { EXIT, type ExitName } from "./exit-status.ts";

export { EXIT, type ExitName };

/** Every stable error code and the exit status it leads to. A code, once released, keeps its meaning. */
export const ERROR_CODES = {
  CDH_CONFIG_INVALID: "config",
  CDH_PATTERN_TOO_LONG: "config",
  CDH_NOT_ROOT: "environment",
  CDH_NOT_LINUX: "environment",
  CDH_PROC_READ_ONLY: "environment",
  CDH_ENVIRONMENT: "environment",
  CDH_NOT_FOUND: "notFound",
  CDH_SPOOL_FULL: "disk",
  CDH_DISK: "disk",
  CDH_RUNTIME: "runtime",
  CDH_STORE_DENIED: "store",
  CDH_STORE_UNREACHABLE: "store",
  CDH_STORE_CONFLICT: "store",
  CDH_STORE_MISMATCH: "store",
  CDH_STORE_REFUSED: "store",
  CDH_STORE: "store",
  CDH_DAMAGED: "damaged",
  CDH_BUNDLE_NOT_ZIP: "damaged",
  CDH_BUNDLE_CUT_SHORT: "damaged",
  CDH_BUNDLE_DIRECTORY: "damaged",
  CDH_BUNDLE_NAME: "damaged",
  CDH_BUNDLE_SPECIAL: "damaged",
  CDH_BUNDLE_DUPLICATE: "damaged",
  CDH_BUNDLE_OVERLAP: "damaged",
  CDH_BUNDLE_ENCRYPTED: "damaged",
  CDH_BUNDLE_METHOD: "damaged",
  CDH_BUNDLE_HEADER: "damaged",
  CDH_BUNDLE_SIZE: "damaged",
  CDH_BUNDLE_CRC: "damaged",
  CDH_BUNDLE_DATA: "damaged",
  CDH_BUNDLE_TOO_MANY: "damaged",
  CDH_BUNDLE_ENTRY_TOO_LARGE: "damaged",
  CDH_BUNDLE_BOMB: "damaged",
  CDH_BUNDLE_JSON: "damaged",
  CDH_BUNDLE_SCHEMA: "damaged",
  CDH_BUNDLE_SEEK_TABLE: "damaged",
  CDH_BUNDLE_HASH: "damaged",
  CDH_BUNDLE_NO_CORE: "damaged",
  CDH_PATTERN_NOT_OURS: "owned",
  CDH_NOT_APPLIED: "owned",
  CDH_DEADLINE: "deadline",
} as const satisfies Record<string, ExitName>;

/** Name a stable error code, such as `CDH_STORE_DENIED`. */
export type ErrorCode = keyof typeof ERROR_CODES;

/** Carry what may accompany an error besides its message. */
export interface CdhErrorOptions {
  /** What the reader can do about it, one sentence. */
  hint?: string;
  /** Facts for machines: ids, sizes in bytes, HTTP statuses. */
  details?: Record<string, unknown>;
  cause?: unknown;
}

/**
 * Report a failure that the reader can act on. Anything that is not a `CdhError` is a bug of ours and keeps its stack.
 * The message says what was tried, on what, and why it failed.
 */
export class CdhError extends Error {
  override readonly name = "CdhError";
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly details: Record<string, unknown>;

  constructor(code: ErrorCode, message: string, options: CdhErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
    this.details = options.details ?? {};
  }

  /** Tell the exit status that this code leads to. */
  get exitCode(): number {
    return EXIT[ERROR_CODES[this.code]];
  }
}

/** Words for the `errno` names that our users meet. */
const ERRNO_WORDS: Record<string, string> = {
  EACCES: "permission denied",
  EBUSY: "busy",
  EDQUOT: "disk quota exceeded",
  EEXIST: "already exists",
  EFBIG: "file too large",
  EIO: "input/output error",
  EISDIR: "is a directory",
  ELOOP: "is a symbolic link",
  EMFILE: "too many open files",
  ENAMETOOLONG: "name too long",
  ENOENT: "no such file or directory",
  ENOEXEC: "not an executable",
  ENOSPC: "no space left on device",
  ENOTDIR: "not a directory",
  ENOTEMPTY: "directory not empty",
  EPERM: "operation not permitted",
  EROFS: "read-only file system",
  ESTALE: "the mount's server forgot it (stale file handle)",
  ETXTBSY: "text file busy",
};

/** What Linux says and Node has no name for. @see asm-generic/errno.h */
const UNNAMED: Record<string, string> = {
  "Unknown system error -116": "ESTALE",
  "Unknown system error -121": "EREMOTEIO",
  "Unknown system error -122": "EDQUOT",
};

/** Read the `errno` name (`ENOSPC`) from a thrown value, or undefined when it has none. */
export function errnoOf(error: unknown): string | undefined {
  if (typeof error === "object" && error !== null && "code" in error && typeof error.code === "string")
    return UNNAMED[error.code] ?? error.code;
  return undefined;
}

/** Say why something failed in a few words, without a stack: `no space left on device`. */
export function reasonOf(error: unknown): string {
  const errno = errnoOf(error);
  if (errno !== undefined && ERRNO_WORDS[errno] !== undefined) return ERRNO_WORDS[errno];
  return error instanceof Error ? error.message : String(error);
}
