import { CdhError, ERROR_CODES } from "@cdh/core/errors";

/**
 * Whose trouble a failure is.
 * - `store`: down, refusing, slow: nobody's bundle is to blame, and all wait together.
 * - `bundle`: this bundle can never be sent as it is; after a few attempts it goes to quarantine.
 * - `object`: this one went wrong on its way; it is tried again for ever, and the others go on.
 * - `gone`: somebody else took the file away; there is nothing left to do.
 */
export type Blame = "store" | "bundle" | "object" | "gone";

/** Judge a failure. Unknown errors are the object's, so that a bug of ours never loses a bundle and never stops the rest. */
export function blameOf(error: unknown): Blame {
  if (!(error instanceof CdhError)) return "object";
  if (error.code === "CDH_NOT_FOUND") return "gone";
  if (error.code === "CDH_STORE_CONFLICT" || error.code === "CDH_STORE_REFUSED") return "bundle";
  if (error.code === "CDH_STORE_MISMATCH") return "object";
  if (ERROR_CODES[error.code] === "damaged") return "bundle";
  return ERROR_CODES[error.code] === "store" ? "store" : "object";
}
