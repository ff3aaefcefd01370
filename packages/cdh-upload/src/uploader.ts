import type { Clock } from "@cdh/core/clock";
import { CdhError, reasonOf } from "@cdh/core/errors";
import type { Logger } from "@cdh/core/log";
import { STATE_DIRECTORY } from "@cdh/core/spool/layout";
import { backoffMs } from "@cdh/core/store/backoff";
import type { ObjectStore } from "@cdh/core/store/store";
import { join } from "node:path";
import { Attempts } from "./attempts.ts";
import { HOST_NAMESPACE, readBundleFacts } from "./bundle-facts.ts";
import { Circuit } from "./circuit.ts";
import type { Outcome, UploadEvents } from "./events.ts";
import { faultOf } from "./faults.ts";
import { quarantine } from "./quarantine.ts";
import { Queue, type QueueItem } from "./queue.ts";
import type { UploadSettings } from "./settings.ts";
import { Seen } from "./seen.ts";
import { scanSpool, type SpoolFile, type SpoolScan } from "./spool-scan.ts";
import { uploadBundle } from "./upload-bundle.ts";
import { errorFields, UploadLog } from "./upload-log.ts";

/** A zip without an end may still be written by an older composer, which writes under the final name. */
const QUIET_MS = 60_000;
/** Waits after an upload that went wrong on its way. */
const OBJECT_BACKOFF = { baseMs: 2000, capMs: 10 * 60_000 };
/** Waits between attempts with a bundle that is itself the trouble: whatever was odd at the moment gets time to pass. */
const BUNDLE_BACKOFF = { baseMs: 15_000, capMs: 10 * 60_000 };

/** What the uploader works with. */
export interface UploaderOptions {
  settings: UploadSettings;
  store: ObjectStore;
  clock: Clock;
  log: Logger;
  events?: UploadEvents;
}

/** Move bundles from the spool to the store. Scanning and sending are separate: whoever calls decides when to look. */
export class Uploader {
  readonly circuit: Circuit;
  readonly queue = new Queue();
  readonly #options: UploaderOptions;
  readonly #attempts: Attempts;
  readonly #seen: Seen;
  readonly #running = new Set<Promise<void>>();
  readonly #words: UploadLog;

  private constructor(options: UploaderOptions, attempts: Attempts, seen: Seen) {
    this.#options = options;
    this.#attempts = attempts;
    this.#seen = seen;
    this.#words = new UploadLog(options.log);
    this.circuit = new Circuit(options.clock);
  }

  /** Make an uploader with what is remembered in the spool. */
  static async open(options: UploaderOptions): Promise<Uploader> {
    const state = join(options.settings.coreDir, STATE_DIRECTORY);
    const [attempts, seen] = await Promise.all([
      Attempts.open(join(state, "upload-attempts.json")),
      Seen.open(join(state, "upload-seen.json")),
    ]);
    return new Uploader(options, attempts, seen);
  }

  /** How many uploads are under way. */
  get running(): number {
    return this.#running.size;
  }

  /**
   * Look at the spool and put what is new into the queue.
   * @param onNoticed called after each new bundle: the first need not wait for the thousandth
   * @param signal ends the look early: whoever stops need not wait for the thousandth either
   */
  async scan(onNoticed: () => void = () => {}, signal?: AbortSignal): Promise<SpoolScan> {
    const { settings, log } = this.#options;
    const scan = await scanSpool(settings.coreDir);
    const { files, ignored } = scan;
    const there = new Set(files.map((file) => file.fileName));
    this.#seen.mindClock(this.#options.clock.now());
    for (const item of this.queue.items()) {
      if (!item.running && !there.has(item.file.fileName)) this.queue.remove(item.file.fileName);
    }
    for (const file of files) {
      if (signal?.aborted === true) return scan;
      if (await this.notice(file)) onNoticed();
    }
    const names = new Set(files.map((file) => file.name));
    await Promise.all([this.#attempts.keepOnly(names), this.#seen.save()]).catch((error: unknown) =>
      this.#stateTrouble(error),
    );
    this.#words.ignored(ignored);
    log.trace("looked at the spool", { bundles: files.length, waiting: this.queue.size });
    return scan;
  }

  /** Put one file into the queue, wherever it lies. @returns whether it is new there */
  async notice(file: SpoolFile): Promise<boolean> {
    const known = this.queue.get(file.fileName);
    if (known?.running === true) return false;
    const changed =
      known === undefined || known.file.sizeBytes !== file.sizeBytes || known.file.modifiedAt !== file.modifiedAt;
    if (!changed) return false;
    // What cannot be read now is judged when its turn comes.
    const facts = await readBundleFacts(file.path, file.name).catch(() => undefined);
    const namespace = facts?.namespace ?? HOST_NAMESPACE;
    const isNew = this.#seen.isNew(file) && known?.reported !== true;
    const reported = !isNew || facts !== undefined;
    this.queue.add({
      file,
      namespace,
      notBefore: known?.notBefore ?? 0,
      failures: known?.failures ?? 0,
      running: false,
      reported,
      noticedAt: this.#options.clock.monotonic(),
      facts,
    });
    if (isNew && facts !== undefined) this.#options.events?.crashed?.(file, facts);
    return true;
  }

  /**
   * Begin as many uploads as may begin now.
   * @returns how many began
   */
  pump(signal: AbortSignal, onSettled: () => void = () => {}): number {
    const { settings, clock } = this.#options;
    let begun = 0;
    while (this.#running.size < settings.uploadConcurrency) {
      const now = clock.monotonic();
      const next = this.queue.nextMoment();
      if (next === undefined || next > now || !this.circuit.tryBegin()) break;
      const item = this.queue.take(now);
      if (item === undefined) break;
      const work = this.#work(item, signal).finally(() => {
        this.#running.delete(work);
        onSettled();
      });
      this.#running.add(work);
      begun += 1;
      if (this.circuit.isOpen) break;
    }
    return begun;
  }

  /** When something may begin that cannot now, on the clock that never jumps. */
  nextMoment(): number | undefined {
    const next = this.queue.nextMoment();
    if (next === undefined) return undefined;
    return Math.max(next, this.circuit.nextAttemptAt ?? 0);
  }

  /** Wait until one of the uploads under way ends. */
  async oneEnds(): Promise<void> {
    await Promise.race(this.#running);
  }

  /** Wait for all uploads under way. */
  async settle(): Promise<void> {
    await Promise.allSettled(this.#running);
  }

  async #work(item: QueueItem, signal: AbortSignal): Promise<void> {
    const { settings, store, clock, events } = this.#options;
    const { file } = item;
    const started = clock.monotonic();
    events?.began?.(file);
    let outcome: Outcome;
    try {
      const uploaded = await uploadBundle(file, item.facts, {
        store,
        signal,
        keyTemplate: settings.keyTemplate,
        keepUploaded: settings.keepUploaded,
        nodeName: settings.nodeName,
        clusterName: settings.clusterName,
        onProgress: (sentBytes) => events?.progress?.(file, sentBytes),
      });
      if (this.circuit.succeeded()) this.#recovered();
      this.queue.remove(file.fileName);
      await this.#attempts.forget(file.name).catch((error: unknown) => this.#stateTrouble(error));
      outcome = { status: "uploaded", file, uploaded, durationMs: clock.monotonic() - started };
    } catch (error) {
      outcome = await this.#failed(item, error, signal, started);
    }
    item.running = false;
    this.#words.outcome(outcome);
    events?.ended?.(outcome);
  }

  async #failed(item: QueueItem, error: unknown, signal: AbortSignal, started: number): Promise<Outcome> {
    const { clock } = this.#options;
    const { file } = item;
    const took = (): number => clock.monotonic() - started;
    if (signal.aborted) {
      this.circuit.undecided();
      return { status: "stopped", file, durationMs: took() };
    }
    const fault = faultOf(error);
    if (fault === "store") {
      const waitMs = this.circuit.failed();
      this.#options.events?.storeTrouble?.(error, waitMs);
      // This one goes behind the others: were it the cause, the next probe is with another.
      item.failures += 1;
      item.notBefore = clock.monotonic() + waitMs;
      return { status: "retried", file, error, waitMs, durationMs: took() };
    }
    // Conflicts and refusals are answers: the store is well.
    if (fault === "bundle" && error instanceof CdhError && error.code.startsWith("CDH_STORE")) {
      if (this.circuit.succeeded()) this.#recovered();
    } else this.circuit.undecided();
    if (fault === "gone") {
      this.queue.remove(file.fileName);
      return { status: "gone", file, durationMs: took() };
    }
    if (fault === "object") {
      item.failures += 1;
      const waitMs = backoffMs(item.failures, OBJECT_BACKOFF);
      item.notBefore = clock.monotonic() + waitMs;
      return { status: "retried", file, error, waitMs, durationMs: took() };
    }
    return await this.#bundleTrouble(item, error, took);
  }

  async #bundleTrouble(item: QueueItem, error: unknown, took: () => number): Promise<Outcome> {
    const { settings, clock } = this.#options;
    const { file } = item;
    const damaged = error instanceof CdhError && !error.code.startsWith("CDH_STORE");
    // A time in the future, from a clock that was set back, says nothing; that it did not change since does.
    const quietMs = Math.max(clock.now() - file.modifiedAt, clock.monotonic() - item.noticedAt);
    if (damaged && quietMs < QUIET_MS) {
      item.notBefore = clock.monotonic() + 5000;
      return { status: "unfinished", file, error, durationMs: took() };
    }
    const code = error instanceof CdhError ? error.code : "CDH_DAMAGED";
    const reason = reasonOf(error);
    const at = clock.now();
    try {
      const record = await this.#attempts.count(file.name, `${file.sizeBytes} ${file.modifiedAt}`, {
        code,
        reason,
        at,
      });
      if (record.attempts >= settings.quarantineAttempts) {
        const hint = error instanceof CdhError && error.hint !== undefined ? { hint: error.hint } : {};
        const path = await quarantine(
          settings.coreDir,
          file,
          { code, reason, ...hint, attempts: record.attempts },
          clock,
        );
        this.queue.remove(file.fileName);
        await this.#attempts.forget(file.name);
        return { status: "quarantined", file, error, path, durationMs: took() };
      }
    } catch (stateError) {
      this.#stateTrouble(stateError);
    }
    item.failures += 1;
    const waitMs = backoffMs(item.failures, BUNDLE_BACKOFF);
    item.notBefore = clock.monotonic() + waitMs;
    return { status: "retried", file, error, waitMs, durationMs: took() };
  }

  #recovered(): void {
    this.#options.log.info("the store answers again");
    this.#options.events?.storeRecovered?.();
    // Whoever waits because of the store need not wait any longer.
    for (const item of this.queue.items()) if (!item.running) item.notBefore = 0;
  }

  #stateTrouble(error: unknown): void {
    this.#options.log.warn("cannot keep the state", errorFields(error));
  }
}
