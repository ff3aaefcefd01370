import { Alarm } from "@cdh/core/async/alarm";
import { backoffMs } from "@cdh/core/async/backoff";
import type { Clock } from "@cdh/core/clock";
import { reasonOf } from "@cdh/core/errors";
import type { Logger } from "@cdh/core/log";

/** More waiting messages than this are dropped: uploads must never wait for whoever is told about them. */
const WAITING_MAX = 1000;
/** After so many failures in a row a message lets the next one try: it may be the trouble itself. */
const TRIES_AT_A_TIME = 5;
const BACKOFF = { baseMs: 500, capMs: 60_000 };

/** What came of one attempt to send a message. */
export type Delivery =
  | { status: "done" }
  /** The receiver is away or busy. */
  | { status: "later"; reason: string }
  /** It was refused, and would be again; whoever sends has said so. */
  | { status: "refused" };

/** What an outbox needs. */
export interface OutboxOptions<Message> {
  /** Who is told, for the log: `webhook`. */
  receiver: string;
  clock: Clock;
  log: Logger;
  /** A message that is older than this when it fails is dropped. */
  maxAgeMs: number;
  send: (message: Message, signal: AbortSignal) => Promise<Delivery>;
}

interface Waiting<Message> {
  message: Message;
  addedAt: number;
  failures: number;
}

/**
 * Send small messages one after the other, beside the uploads. While the receiver is away they wait, and are sent when
 * it is back; what a restart or a full box loses is said in the log.
 */
export class Outbox<Message> {
  readonly #options: OutboxOptions<Message>;
  readonly #waiting: Waiting<Message>[] = [];
  readonly #closed = new AbortController();
  #work: Promise<void> | undefined;
  #failures = 0;
  #dropped = 0;
  /** Ends the wait before the next attempt. */
  readonly #hurry = new Alarm();
  #ending = false;

  constructor(options: OutboxOptions<Message>) {
    this.#options = options;
  }

  /** Add a message. */
  add(message: Message): void {
    if (this.#waiting.length >= WAITING_MAX) {
      this.#drop("too many messages wait; the newest are dropped");
      return;
    }
    this.#waiting.push({ message, addedAt: this.#options.clock.monotonic(), failures: 0 });
    this.#work ??= this.#run().finally(() => (this.#work = undefined));
  }

  /** Give each message that waits one more try. */
  async settle(): Promise<void> {
    this.#ending = true;
    this.#hurry.ring();
    await this.#work;
  }

  /** Give up what waits still, and say so. */
  close(): void {
    this.#closed.abort();
    this.#hurry.ring();
    const { receiver, log } = this.#options;
    const lost = this.#waiting.length;
    if (lost > 0) log.warn("messages were not delivered before the end", { receiver, messages: lost });
  }

  async #run(): Promise<void> {
    const { clock, maxAgeMs, send } = this.#options;
    // What is here when the end begins gets one try each.
    let last: Set<Waiting<Message>> | undefined;
    for (;;) {
      if (this.#ending) last ??= new Set(this.#waiting);
      const next = last === undefined ? this.#waiting[0] : this.#waiting.find((each) => last?.has(each));
      if (next === undefined || this.#closed.signal.aborted) return;
      last?.delete(next);
      const delivery = await send(next.message, this.#closed.signal).catch((error: unknown) => ({
        status: "later" as const,
        reason: reasonOf(error),
      }));
      if (delivery.status !== "later") {
        this.#remove(next);
        this.#answered();
        continue;
      }
      this.#failed(delivery.reason);
      next.failures += 1;
      if (clock.monotonic() - next.addedAt > maxAgeMs) {
        this.#remove(next);
        this.#drop("messages waited for too long and are dropped");
      } else if (next.failures % TRIES_AT_A_TIME === 0) {
        this.#remove(next);
        this.#waiting.push(next);
      }
      if (last === undefined) await this.#wait();
    }
  }

  async #wait(): Promise<void> {
    if (this.#ending) return;
    await this.#hurry.wait({ timeout: { clock: this.#options.clock, ms: backoffMs(this.#failures, BACKOFF) } });
  }

  #remove(message: Waiting<Message>): void {
    const index = this.#waiting.indexOf(message);
    if (index >= 0) this.#waiting.splice(index, 1);
  }

  #failed(reason: string): void {
    const { receiver, log } = this.#options;
    this.#failures += 1;
    if (this.#failures === 1) log.warn("cannot deliver messages; they wait", { receiver, reason });
  }

  #answered(): void {
    const { receiver, log } = this.#options;
    if (this.#failures > 0) log.info("messages are delivered again", { receiver, waiting: this.#waiting.length });
    this.#failures = 0;
    this.#dropped = 0;
  }

  /** Said once for each time of trouble. */
  #drop(why: string): void {
    const { receiver, log } = this.#options;
    this.#dropped += 1;
    if (this.#dropped === 1) log.warn(why, { receiver });
  }
}
