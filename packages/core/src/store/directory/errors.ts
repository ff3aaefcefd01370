import { CdhError, errnoOf, reasonOf } from "../../base/errors.ts";
import { StoreFailure } from "../explanation.ts";

const DENIED = new Set(["EACCES", "EPERM", "EROFS"]);
/** These speak about this very object; whatever else it is, the next one would meet it too. */
const REFUSED = new Set(["ENAMETOOLONG", "EFBIG"]);
const FULL = new Set(["ENOSPC", "EDQUOT"]);

/**
 * Translate what a file system said into an error that the reader can act on.
 * @param what what was tried: `store team-a/x.zip`
 * @param where the store's URL
 */
export function toDirectoryError(error: unknown, what: string, where: string): unknown {
  const errno = errnoOf(error);
  if (error instanceof CdhError || errno === undefined || errno === "ABORT_ERR") return error;
  const failure = new StoreFailure(error, { what, where }, { errno });
  const reason = reasonOf(error);
  if (DENIED.has(errno)) {
    const hint = "the directory must be writable for the user that this program runs as";
    return failure.explained({ code: "CDH_STORE_DENIED", reason, hint });
  }
  if (REFUSED.has(errno)) return failure.explained({ code: "CDH_STORE_REFUSED", reason });
  return failure.explained({
    code: "CDH_STORE",
    reason,
    ...(FULL.has(errno) ? { hint: "make room in the store" } : {}),
  });
}
