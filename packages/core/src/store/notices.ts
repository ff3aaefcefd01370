import { randomBytes } from "node:crypto";
import type { Clock } from "../base/clock.ts";
import { reasonOf } from "../base/errors.ts";
import type { Logger } from "../service/log.ts";
import type { ObjectStore } from "./store.ts";

/** Where notices lie. No namespace begins with an underscore. */
export const NOTICES_FOLDER = "_notices/";

/** What is about to become of a dump: stored, removed, protected from retention, or not protected any more. */
export const NOTICE_KINDS = ["added", "removed", "kept", "released"] as const;

/** Say that a dump changes. */
export interface Notice {
  kind: (typeof NOTICE_KINDS)[number];
  /** Key of its manifest without `.manifest.json`. */
  stem: string;
}

/** A notice of so many milliseconds has been read by every server that serves, and may be removed. */
const LIFETIME_MS = 15 * 60_000;
/** What a writer that ended left is removed by the others later, so many at once. */
const LEFT_MS = 60 * 60_000;
const LEFT_MAX = 1000;
const TIDY_MS = 60_000;
/** Notices of its own that a writer remembers to remove. */
const OWN_MAX = 10_000;

/** Bytes of a notice. S3 takes keys of 1024. */
export const NOTICE_MAX_BYTES = 1100;

/**
 * Make the text after which the keys of all notices come that were posted at a time or later.
 * @param atMs epoch milliseconds
 */
export function noticeKeyAt(atMs: number): string {
  return `${NOTICES_FOLDER}${String(Math.max(0, Math.floor(atMs))).padStart(13, "0")}`;
}

/** Read what {@link NoticeBoard.post} wrote; undefined when it is none. */
export function tryReadNotice(body: Uint8Array): Notice | undefined {
  const text = Buffer.from(body).toString();
  const end = text.indexOf(" ");
  const kind = NOTICE_KINDS.find((one) => one === text.slice(0, end));
  const stem = text.slice(end + 1);
  return kind === undefined || stem === "" || body.length > NOTICE_MAX_BYTES ? undefined : { kind, stem };
}

/**
 * Post in the store what is about to change there, for servers that show it: a listing of everything takes long, of the
 * last notices it takes moments. A notice is posted **before** the change, so that whoever sees the change can see the
 * notice too. It is a hint where to look, and nothing is believed because of it.
 */
export class NoticeBoard {
  readonly #store: ObjectStore;
  readonly #clock: Clock;
  readonly #log: Logger;
  /** Keys of our own, the oldest first, and when they may go, monotonic milliseconds. */
  readonly #own: { key: string; goesAt: number }[] = [];
  #isTroubled = false;

  constructor(options: { store: ObjectStore; clock: Clock; log: Logger }) {
    this.#store = options.store;
    this.#clock = options.clock;
    this.#log = options.log;
  }

  /** Post a notice. Never rejects: without it the change is seen at the next listing of everything. */
  async post(notice: Notice, signal?: AbortSignal): Promise<void> {
    const key = `${noticeKeyAt(this.#clock.now())}-${randomBytes(6).toString("hex")}`;
    await this.#try("post a notice", signal, async () => {
      const body = Buffer.from(`${notice.kind} ${notice.stem}`);
      await this.#store.putBytes(key, body, { contentType: "text/plain", ...(signal === undefined ? {} : { signal }) });
      this.#own.push({ key, goesAt: this.#clock.monotonic() + LIFETIME_MS });
      if (this.#own.length > OWN_MAX) this.#own.shift();
    });
  }

  /** Remove notices whose time is over, first those that others left, until told to stop. Never rejects. */
  async run(stopSignal: AbortSignal): Promise<void> {
    await this.tidyAll(stopSignal);
    while (!stopSignal.aborted) {
      await this.#clock.sleep(TIDY_MS, stopSignal).catch(() => {});
      await this.tidy(stopSignal);
    }
  }

  /** Remove notices of our own whose time is over. Never rejects. */
  async tidy(signal?: AbortSignal): Promise<void> {
    await this.#try("remove old notices", signal, async () => {
      for (let [oldest] = this.#own; oldest !== undefined; [oldest] = this.#own) {
        if (oldest.goesAt > this.#clock.monotonic() || signal?.aborted === true) return;
        await this.#store.delete(oldest.key, signal);
        this.#own.shift();
      }
    });
  }

  /** Remove old notices that others left, a part of them where there are many. Never rejects. */
  async tidyAll(signal?: AbortSignal): Promise<void> {
    await this.#try("remove old notices", signal, async () => {
      const before = noticeKeyAt(this.#clock.now() - LEFT_MS);
      const keys: string[] = [];
      for await (const { key } of this.#store.list(NOTICES_FOLDER, signal === undefined ? {} : { signal })) {
        if (key >= before || keys.length === LEFT_MAX) break;
        keys.push(key);
      }
      for (const key of keys) await this.#store.delete(key, signal);
    });
  }

  async #try(what: string, signal: AbortSignal | undefined, work: () => Promise<void>): Promise<void> {
    try {
      await work();
      this.#isTroubled = false;
    } catch (error) {
      if (signal?.aborted === true) return;
      if (!this.#isTroubled) this.#log.warn(`cannot ${what}`, { reason: reasonOf(error) });
      this.#isTroubled = true;
    }
  }
}
