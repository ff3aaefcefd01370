import { CdhError } from "@cdh/core/errors";
import type { Logger } from "@cdh/core/log";
import type { Outcome } from "./events.ts";

/** Names in the spool that are directories of our own. */
const RESERVED = new Set(["quarantine", "state", "uploaded"]);

/** Tell the log what became of each bundle, and once what was left alone. */
export class UploadLog {
  readonly #log: Logger;
  readonly #told = new Set<string>();

  constructor(log: Logger) {
    this.#log = log;
  }

  outcome(outcome: Outcome): void {
    const fields = {
      bundle: outcome.file.fileName,
      sizeBytes: outcome.file.sizeBytes,
      durationMs: Math.round(outcome.durationMs),
    };
    switch (outcome.status) {
      case "uploaded": {
        const { put, location, facts } = outcome.uploaded;
        const { alreadyThere, verifiedBy, sha256 } = put;
        const { crashId } = facts.manifest;
        this.#log.info("uploaded", { ...fields, location, sha256, verifiedBy, alreadyThere, crashId });
        break;
      }
      case "quarantined":
        this.#log.error("moved to quarantine", { ...fields, path: outcome.path, ...errorFields(outcome.error) });
        break;
      case "retried":
        this.#log.warn("not uploaded yet", {
          ...fields,
          waitMs: Math.round(outcome.waitMs),
          ...errorFields(outcome.error),
        });
        break;
      default:
        this.#log.debug(`upload ${outcome.status}`, fields);
    }
  }

  /** @param names what a look at the spool found and no bundle is */
  ignored(names: readonly string[]): void {
    for (const name of names) {
      if (this.#told.has(name) || RESERVED.has(name)) continue;
      this.#told.add(name);
      this.#log.info("left alone: not a published bundle", { name });
    }
  }
}

/** Say an error in a log line: code, reason and hint, or the error itself when it is a bug. */
export function errorFields(error: unknown): Record<string, unknown> {
  if (!(error instanceof CdhError)) return { error };
  return { code: error.code, reason: error.message, ...(error.hint === undefined ? {} : { hint: error.hint }) };
}
