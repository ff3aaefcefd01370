import { CdhError } from "@cdh/core/errors";
import type { Logger } from "@cdh/core/log";
import {
  PLAIN_DIRECTORY,
  BINARIES_DIRECTORY,
  QUARANTINE_DIRECTORY,
  STATE_DIRECTORY,
  UPLOADED_DIRECTORY,
} from "@cdh/core/spool/layout";
import type { SpoolScan } from "../queue/spool-scan.ts";
import type { Outcome } from "./events.ts";

/** Names in the spool that are directories of our own. */
const RESERVED: ReadonlySet<string> = new Set([
  BINARIES_DIRECTORY,
  QUARANTINE_DIRECTORY,
  STATE_DIRECTORY,
  UPLOADED_DIRECTORY,
  PLAIN_DIRECTORY,
]);

/** So many names that are left alone are told one by one, and remembered; of the others only how many there are. */
const TOLD_MAX = 100;

/** Tell the log what became of each bundle, and once what was left alone. */
export class UploadLog {
  readonly #log: Logger;
  readonly #ignored: OnceTold;
  readonly #foreign: OnceTold;

  constructor(log: Logger) {
    this.#log = log;
    this.#ignored = new OnceTold("left alone: not a published bundle", log.info, log);
    this.#foreign = new OnceTold("left alone: a bundle that is not root's", log.warn, log);
  }

  outcome(outcome: Outcome): void {
    const fields = {
      bundle: outcome.file.fileName,
      sizeBytes: outcome.file.sizeBytes,
      durationMs: Math.round(outcome.durationMs),
      ...(outcome.rule === undefined ? {} : { rule: outcome.rule }),
    };
    switch (outcome.status) {
      case "uploaded": {
        const { put, location, facts } = outcome.uploaded;
        const { alreadyThere, verifiedBy, sha256 } = put;
        const { crashId } = facts.manifest;
        if (facts.unreadable !== undefined)
          this.#log.warn("the manifest cannot be read: the bundle is kept as restricted, and belongs to nobody", {
            ...fields,
            location,
            reason: facts.unreadable,
          });
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

  /** Tell what a look at the spool left alone. */
  leftAlone({ ignored, foreign }: Pick<SpoolScan, "ignored" | "foreign">): void {
    this.#ignored.tell(ignored.filter((name) => !RESERVED.has(name)));
    this.#foreign.tell(foreign);
  }
}

/** Tell each of some names once, as long as it is there. */
class OnceTold {
  readonly #message: string;
  readonly #write: Logger["info"];
  readonly #log: Logger;
  #told = new Set<string>();
  #untold = 0;

  constructor(message: string, write: Logger["info"], log: Logger) {
    this.#message = message;
    this.#write = write.bind(log);
    this.#log = log;
  }

  tell(names: readonly string[]): void {
    // What is gone is forgotten; it would be told anew should it come back.
    const there = new Set(names);
    const told = new Set([...this.#told].filter((name) => there.has(name)));
    for (const name of names) {
      if (told.size >= TOLD_MAX) break;
      if (told.has(name)) continue;
      told.add(name);
      this.#write(this.#message, { name });
    }
    this.#told = told;
    const untold = names.length - told.size;
    if (untold > this.#untold) this.#log.warn(`${this.#message}; too many to name`, { files: untold });
    this.#untold = untold;
  }
}

/** Say an error in a log line: code, reason and hint, or the error itself when it is a bug. */
export function errorFields(error: unknown): Record<string, unknown> {
  if (!(error instanceof CdhError)) return { error };
  return { code: error.code, reason: error.message, ...(error.hint === undefined ? {} : { hint: error.hint }) };
}
