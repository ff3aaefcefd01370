import { soon } from "@cdh/core/async/soon";
import type { Clock } from "@cdh/core/clock";
import { reasonOf } from "@cdh/core/errors";
import type { Logger } from "@cdh/core/log";
import type { ObjectStore } from "@cdh/core/store/store";
import { ChangeLog, type Change } from "./change-log.ts";
import { DumpIndex } from "./dump-index.ts";
import { Notices } from "./notices.ts";
import type { PlacementRules } from "./placement.ts";
import { Prover } from "./prove-recalled.ts";
import { Refresher, type Look } from "./refresh.ts";

/** Listing may take so much of the time at most. */
const DUTY = 10;
/** A request hurries a look when the last one is older than this, and than {@link HURRY_DUTY} times what it took. */
const HURRY_MS = 1000;
const HURRY_DUTY = 20;
/** Between two looks at the notices, however many requests want one. */
const NOTICES_MS = 250;
/** And when nobody asks: while somebody watches, and else, so that none is missed. */
const NOTICES_WATCHED_MS = 1000;
const NOTICES_IDLE_MS = 30_000;
/** How long a request waits for a look that it hurried. */
const FRESHEN_MS = 3000;

/**
 * Fill an empty index.
 * @returns when that was so, epoch milliseconds; undefined when it is not all there is, or not known
 */
export type Recall = (index: DumpIndex, signal: AbortSignal) => Promise<number | undefined>;

/** What the dump store needs. */
export interface DumpStoreOptions {
  store: ObjectStore;
  rules: PlacementRules;
  clock: Clock;
  log: Logger;
  intervalMs: number;
  /** Whether writers give notice of what they change. */
  notices: boolean;
  /** 0 to 999, another one in each process. */
  replica: number;
  /** Fills the index with what is known of the store before it is listed. Never rejects. */
  recall?: Recall;
  onLook?: (look: Look | { failure: unknown }) => void;
  /** Told of every change of the index, the first look's too. */
  onChange?: (change: Change) => void;
}

/** The index and the store behind it: refreshed on an interval, and hurried by who needs it fresh. */
export class DumpStore {
  readonly store: ObjectStore;
  readonly index: DumpIndex;
  readonly rules: PlacementRules;
  readonly #options: DumpStoreOptions;
  readonly #refresher: Refresher;
  readonly #prover: Prover;
  readonly #notices: Notices | undefined;
  #noticesRun: Promise<void> | undefined;
  #noticesNext: Promise<void> | undefined;
  #noticesAt = Number.NEGATIVE_INFINITY;
  #noticesTrouble: string | undefined;
  #running: Promise<void> | undefined;
  #loadedAt: number | undefined;
  #isListed = false;
  #endedAt = Number.NEGATIVE_INFINITY;
  #durationMs = 0;
  #trouble: unknown;

  constructor(options: DumpStoreOptions) {
    this.#options = options;
    this.store = options.store;
    this.rules = options.rules;
    this.index = new DumpIndex(new ChangeLog(options.replica), options.onChange);
    this.#refresher = new Refresher({ ...options, index: this.index });
    const { index } = this;
    this.#prover = new Prover({ ...options, index });
    const lookAt = (stem: string, signal?: AbortSignal): Promise<void> => this.#refresher.lookAt(stem, signal);
    this.#notices = options.notices ? new Notices({ ...options, index, lookAt }) : undefined;
  }

  /** Whether anything can be shown: the store was listed to its end at least once, or what it held is recalled. */
  get isLoaded(): boolean {
    return this.#loadedAt !== undefined;
  }

  /** Whether the store was listed to its end at least once by this process. */
  get isListed(): boolean {
    return this.#isListed;
  }

  /** When the listing began that is shown, epoch milliseconds; perhaps another replica's. */
  get loadedAt(): number | undefined {
    return this.#loadedAt;
  }

  /** Why the last look failed; undefined when it did not. */
  get trouble(): unknown {
    return this.#trouble;
  }

  get garbageCount(): number {
    return this.#refresher.garbageCount;
  }

  /** Since when the listing may be out of date, epoch milliseconds; undefined while it is good. */
  get staleSince(): number | undefined {
    return this.#trouble === undefined && this.#isListed ? undefined : this.#loadedAt;
  }

  /** Look again and again until told to stop. */
  async run(stopSignal: AbortSignal): Promise<void> {
    const { clock, intervalMs, recall } = this.#options;
    const recalledAt = await recall?.(this.index, stopSignal);
    if (recalledAt !== undefined) {
      this.#loadedAt = recalledAt;
      this.#refresher.show();
    }
    while (!stopSignal.aborted) {
      await this.#look(stopSignal);
      const waitMs = this.#isListed ? Math.max(intervalMs, DUTY * this.#durationMs) : Math.min(2000, intervalMs);
      this.index.log.pausesFor(waitMs);
      await clock.sleep(waitMs, stopSignal).catch(() => {});
    }
    await this.#running;
  }

  /** Follow the notices, also while nobody asks, until told to stop. */
  async runNotices(stopSignal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    let lookedAt = clock.monotonic();
    while (this.#notices !== undefined && !stopSignal.aborted) {
      await clock.sleep(NOTICES_WATCHED_MS, stopSignal).catch(() => {});
      const isDue = this.index.isWatched || clock.monotonic() - lookedAt >= NOTICES_IDLE_MS;
      if (stopSignal.aborted || !this.isLoaded || this.#trouble !== undefined || !isDue) continue;
      lookedAt = clock.monotonic();
      await this.#lookAtNotices();
    }
  }

  /**
   * Make sure that the listing is recent: it holds every change of which notice was given before this was called, and
   * others as far as that is cheap. Never rejects: what is known stays known.
   */
  async freshen(): Promise<void> {
    const { clock } = this.#options;
    // While the store is down, waiting for it again and again helps nobody.
    if (!this.isLoaded || this.#trouble !== undefined) return;
    // Nor does waiting for the first listing, which takes long where so much is recalled.
    if (!this.#isListed) return void (await soon(this.#lookAtNotices(), FRESHEN_MS, clock));
    await soon(Promise.all([this.#lookAtNotices(), this.#hurry()]), FRESHEN_MS, clock);
  }

  /**
   * Make sure of one dump before it is shown alone: one that is recalled may be gone. Never rejects: while the store does not
   * answer, reading the dump tells.
   */
  async confirm(stem: string): Promise<void> {
    if (this.#isListed || !this.isLoaded) return;
    const { clock, log } = this.#options;
    const look = this.#refresher.lookAt(stem).catch((error: unknown) => {
      log.debug("cannot look at a dump", { stem, reason: reasonOf(error) });
    });
    await soon(look, FRESHEN_MS, clock);
  }

  /**
   * Make sure, before a dump is shown or changed alone, that it is where its manifest places it.
   * @returns false where it is not, or not there any more: who asks looks it up again
   * @throws {CdhError} the CDH_STORE family
   */
  async prove(stem: string): Promise<boolean> {
    return await this.#prover.prove(stem);
  }

  async #hurry(): Promise<void> {
    const age = this.#options.clock.monotonic() - this.#endedAt;
    if (this.#running === undefined && age < Math.max(HURRY_MS, HURRY_DUTY * this.#durationMs)) return;
    // A look that runs already began before this request: with a large store nobody waits for it.
    if (this.#durationMs <= FRESHEN_MS) await this.#look();
  }

  /** Look at the notices once more: a look that runs already may have passed what this one must see. */
  #lookAtNotices(): Promise<void> {
    if (this.#notices === undefined) return Promise.resolve();
    if (this.#noticesRun === undefined) {
      this.#noticesRun = this.#lookAtNoticesOnce().finally(() => (this.#noticesRun = undefined));
      return this.#noticesRun;
    }
    this.#noticesNext ??= this.#noticesRun.then(() => {
      this.#noticesNext = undefined;
      return this.#lookAtNotices();
    });
    return this.#noticesNext;
  }

  async #lookAtNoticesOnce(): Promise<void> {
    const { clock, log } = this.#options;
    const waitMs = this.#noticesAt + NOTICES_MS - clock.monotonic();
    if (waitMs > 0) await clock.sleep(waitMs);
    this.#noticesAt = clock.monotonic();
    try {
      await this.#notices?.look();
      this.#noticesTrouble = undefined;
    } catch (error) {
      const reason = reasonOf(error);
      if (this.#noticesTrouble !== reason) log.warn("cannot follow the notices", { reason });
      this.#noticesTrouble = reason;
    }
  }

  #look(stopSignal?: AbortSignal): Promise<void> {
    this.#running ??= this.#lookOnce(stopSignal).finally(() => (this.#running = undefined));
    return this.#running;
  }

  async #lookOnce(stopSignal: AbortSignal | undefined): Promise<void> {
    const { clock, log, onLook } = this.#options;
    const startedAt = clock.now();
    const began = clock.monotonic();
    try {
      const look = await this.#refresher.look(stopSignal);
      if (!this.#isListed || this.#trouble !== undefined) {
        log.info("the store is listed", { ...look, dumps: this.index.size, durationMs: Math.round(look.durationMs) });
      }
      this.#loadedAt = startedAt;
      this.#isListed = true;
      this.#trouble = undefined;
      onLook?.(look);
    } catch (failure) {
      if (stopSignal?.aborted === true) return;
      if (this.#trouble === undefined) log.error("cannot list the store", { reason: reasonOf(failure) });
      this.#trouble = failure;
      onLook?.({ failure });
    }
    this.#durationMs = clock.monotonic() - began;
    this.#endedAt = clock.monotonic();
  }
}
