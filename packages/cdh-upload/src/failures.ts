import { backoffMs } from "@cdh/core/async/backoff";
import type { Clock } from "@cdh/core/clock";
import { CdhError, reasonOf } from "@cdh/core/errors";
import { noteLostCore } from "@cdh/core/spool/lost-cores";
import type { Attempts } from "./queue/attempts.ts";
import type { BundleFacts } from "./queue/bundle-facts.ts";
import type { Lane } from "./queue/lane.ts";
import type { Queue, QueueItem } from "./queue/queue.ts";
import { blameOf } from "./send/blame.ts";
import type { UploadSettings } from "./settings.ts";
import type { Outcome, UploadEvents } from "./tell/events.ts";
import { quarantine } from "./tidy/quarantine.ts";

/** A zip without an end may still be written by an older composer, which writes under the final name. */
const QUIET_MS = 60_000;
/** Waits after an upload that went wrong on its way. */
const OBJECT_BACKOFF = { baseMs: 2000, capMs: 10 * 60_000 };
/** Waits between attempts with a bundle that is itself the trouble: whatever was odd at the moment gets time to pass. */
const BUNDLE_BACKOFF = { baseMs: 15_000, capMs: 10 * 60_000 };

/** What is needed to judge failures. */
export interface FailuresOptions {
  settings: UploadSettings;
  clock: Clock;
  queue: Queue;
  /** The attempts that are remembered now: they are read anew with the first look. */
  attempts: () => Attempts;
  events: UploadEvents | undefined;
  /** Told when the store of a lane answers as it should. */
  answered: (lane: Lane) => void;
  /** Told when the state cannot be written. */
  stateTrouble: (error: unknown) => void;
}

/** An upload that went wrong. */
export interface Failure {
  item: QueueItem;
  lane: Lane;
  /** Absent where the bundle could not be read. */
  facts: BundleFacts | undefined;
  error: unknown;
  /** It was told to stop. */
  isStopped: boolean;
  durationMs: number;
}

/** Judge uploads that went wrong: whose trouble it is, who waits for it, and until when. */
export class Failures {
  readonly #options: FailuresOptions;

  constructor(options: FailuresOptions) {
    this.#options = options;
  }

  /** Judge one. @returns what it led to */
  async judge(failure: Failure): Promise<Outcome> {
    const { item, lane, error, durationMs } = failure;
    const { clock, queue } = this.#options;
    const { file } = item;
    if (failure.isStopped) {
      lane.circuit.undecided();
      return { status: "stopped", file, durationMs };
    }
    const blame = blameOf(error);
    if (blame === "store") return this.#storeTrouble(failure);
    // Conflicts and refusals are answers: the store is well.
    if (blame === "bundle" && error instanceof CdhError && error.code.startsWith("CDH_STORE"))
      this.#options.answered(lane);
    else lane.circuit.undecided();
    if (blame === "gone") {
      queue.remove(file.fileName);
      return { status: "gone", file, durationMs };
    }
    if (blame === "object") {
      item.failures += 1;
      const waitMs = backoffMs(item.failures, OBJECT_BACKOFF);
      item.notBefore = clock.monotonic() + waitMs;
      return { status: "retried", file, error, waitMs, durationMs };
    }
    return await this.#bundleTrouble(failure);
  }

  #storeTrouble({ item, lane, facts, error, durationMs }: Failure): Outcome {
    const waitMs = lane.circuit.failed();
    this.#options.events?.storeTrouble?.(error, waitMs, lane.rule);
    const isFirst = item.failures === 0;
    // This one goes behind the others: were it the cause, the next probe is with another.
    item.failures += 1;
    item.notBefore = this.#options.clock.monotonic() + waitMs;
    const waiting =
      isFirst && facts !== undefined && lane.rule !== undefined ? { waiting: { facts, store: lane.store.url } } : {};
    return { status: "retried", file: item.file, error, waitMs, durationMs, ...waiting };
  }

  async #bundleTrouble({ item, error, durationMs }: Failure): Promise<Outcome> {
    const { settings, clock, queue } = this.#options;
    const attempts = this.#options.attempts();
    const { file } = item;
    const damaged = error instanceof CdhError && !error.code.startsWith("CDH_STORE");
    // A time in the future, from a clock that was set back, says nothing; that it did not change since does.
    const quietMs = Math.max(clock.now() - file.modifiedAt, clock.monotonic() - item.noticedAt);
    if (damaged && quietMs < QUIET_MS) {
      item.notBefore = clock.monotonic() + 5000;
      return { status: "unfinished", file, error, durationMs };
    }
    const code = error instanceof CdhError ? error.code : "CDH_DAMAGED";
    const reason = reasonOf(error);
    try {
      const fingerprint = `${file.sizeBytes} ${file.modifiedAt}`;
      const record = await attempts.count(file.name, fingerprint, { code, reason, at: clock.now() });
      if (record.attempts >= settings.quarantineAttempts) {
        const hint = error instanceof CdhError && error.hint !== undefined ? { hint: error.hint } : {};
        const told = { code, reason, ...hint, attempts: record.attempts };
        const path = await quarantine(settings.coreDir, file, told, clock);
        if (item.facts !== undefined) await noteLostCore(settings.coreDir, item.facts.manifest.crashId);
        queue.remove(file.fileName);
        await attempts.forget(file.name);
        return { status: "quarantined", file, error, path, durationMs };
      }
    } catch (stateError) {
      this.#options.stateTrouble(stateError);
    }
    item.failures += 1;
    const waitMs = backoffMs(item.failures, BUNDLE_BACKOFF);
    item.notBefore = clock.monotonic() + waitMs;
    return { status: "retried", file, error, waitMs, durationMs };
  }
}
