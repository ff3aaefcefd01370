import { errnoOf, reasonOf } from "../base/errors.ts";
import type { Problem } from "../bundle/manifest.ts";

/** What a collector gives: the value, or which code says why there is none. A miss is expected; it is not an error. */
export type Collected<T> = { value: T } | { missing: string; detail: string };

/** Make a miss of something that was thrown. */
export function missingBecause(error: unknown, what: string): { missing: string; detail: string } {
  const code = isAbort(error) ? "CDH_DEADLINE" : errnoOf(error) === "ENOENT" ? "CDH_NOT_FOUND" : "CDH_UNREADABLE";
  return { missing: code, detail: `${what}: ${isAbort(error) ? "no answer in time" : reasonOf(error)}` };
}

/** Write a miss into a list of problems. */
export function noteMiss(problems: Problem[], step: string, miss: { missing: string; detail: string }): void {
  problems.push({ step, code: miss.missing, detail: miss.detail });
}

/**
 * Wait for work, but not past an abort. The work itself goes on and its end is ignored: a read from a hanging file
 * system can't be called back.
 * @throws the signal's reason, or what the work throws
 */
export async function within<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return await work;
  if (signal.aborted) {
    work.catch(() => undefined);
    throw signal.reason;
  }
  let onAbort: (() => void) | undefined;
  try {
    return await Promise.race([
      work,
      new Promise<never>((_resolve, reject) => {
        onAbort = () => reject(signal.reason as Error);
        signal.addEventListener("abort", onAbort, { once: true });
      }),
    ]);
  } finally {
    if (onAbort !== undefined) signal.removeEventListener("abort", onAbort);
  }
}

function isAbort(error: unknown): boolean {
  return error instanceof DOMException && (error.name === "AbortError" || error.name === "TimeoutError");
}
