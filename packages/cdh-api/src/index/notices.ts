import type { Clock } from "@cdh/core/clock";
import type { Logger } from "@cdh/core/log";
import { NOTICE_MAX_BYTES, NOTICES_FOLDER, noticeKeyAt, tryReadNotice, type Notice } from "@cdh/core/store/notices";
import { Semaphore } from "@cdh/core/store/semaphore";
import type { ObjectStore } from "@cdh/core/store/store";
import type { DumpIndex } from "./dump-index.ts";

/** So far back notices are read: clocks of nodes may differ by that. */
const WINDOW_MS = 3 * 60_000;
/** A change that has not come for so long after its notice will not come: its writer has ended. */
const OPEN_MS = 60_000;
/** More new notices than this are left to the next listing of everything. */
const READ_MAX = 1000;
const AT_ONCE = 16;

/** What reading notices needs. */
export interface NoticesOptions {
  store: ObjectStore;
  index: DumpIndex;
  clock: Clock;
  log: Logger;
  /** Bring the index up to date about one dump. */
  lookAt: (stem: string, signal?: AbortSignal) => Promise<void>;
}

/** Follow what writers say that they change, and look at just that. */
export class Notices {
  readonly #options: NoticesOptions;
  /** Keys that were read. */
  readonly #read = new Set<string>();
  /** Notices whose change was not seen yet, and until when it is waited for, monotonic milliseconds. */
  readonly #open = new Map<string, { notice: Notice; until: number }>();
  readonly #slots = new Semaphore(AT_ONCE);

  constructor(options: NoticesOptions) {
    this.#options = options;
  }

  /**
   * Read the notices that are new, and look at the dumps that they name. After it the index holds every change that
   * anybody could see in the store when it began, of those that were noticed.
   * @throws {CdhError} CDH_STORE…
   */
  async look(signal?: AbortSignal): Promise<void> {
    await this.#readNew(signal);
    const stems = new Set<string>();
    for (const [key, { notice, until }] of this.#open) {
      if (this.#isDone(notice) || until < this.#options.clock.monotonic()) this.#open.delete(key);
      else stems.add(notice.stem);
    }
    await this.#each([...stems], (stem) => this.#options.lookAt(stem, signal));
    for (const [key, { notice }] of this.#open) if (this.#isDone(notice)) this.#open.delete(key);
  }

  async #readNew(signal: AbortSignal | undefined): Promise<void> {
    const { store, clock, log } = this.#options;
    const startAfter = noticeKeyAt(clock.now() - WINDOW_MS);
    const keys: string[] = [];
    let left = 0;
    for await (const { key } of store.list(NOTICES_FOLDER, {
      startAfter,
      ...(signal === undefined ? {} : { signal }),
    })) {
      if (this.#read.has(key)) continue;
      if (keys.length < READ_MAX) keys.push(key);
      else left += 1;
    }
    if (left > 0) log.warn("more notices than are read at once: the next listing shows the rest", { left });
    for (const key of this.#read) if (key < startAfter) this.#read.delete(key);
    const until = clock.monotonic() + OPEN_MS;
    await this.#each(keys, async (key) => {
      const body = await store.get(key, { offset: 0, length: NOTICE_MAX_BYTES + 1 }, signal);
      const chunks: Uint8Array[] = [];
      if (body !== undefined) for await (const chunk of body) chunks.push(chunk);
      const notice = tryReadNotice(Buffer.concat(chunks));
      this.#read.add(key);
      if (notice !== undefined) this.#open.set(key, { notice, until });
    });
  }

  #isDone({ kind, stem }: Notice): boolean {
    const record = this.#options.index.byStem(stem);
    if (kind === "added") return record !== undefined;
    if (kind === "removed") return record === undefined;
    return record === undefined || record.keep === (kind === "kept" || record.keepByPod);
  }

  async #each<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
    const results = await Promise.allSettled(items.map((item) => this.#slots.run(() => work(item))));
    for (const result of results) if (result.status === "rejected") throw result.reason;
  }
}
