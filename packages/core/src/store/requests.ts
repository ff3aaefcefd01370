import { retrying } from "../async/backoff.ts";
import { timerMs, type Clock } from "../base/clock.ts";
import { CdhError } from "../base/errors.ts";
import { tryExplainTooLong } from "./answers.ts";

/** Say how one request is sent. */
export interface SendOptions {
  /** What is tried, for messages: `store team-a/x.zip`. */
  what: string;
  signal?: AbortSignal | undefined;
  /** The whole request must be answered in this time; {@link Attempt.kick} extends it. Default: the store's. */
  deadlineMs?: number;
  /** Default 4. */
  attempts?: number;
}

/** What one attempt of a request is given. */
export interface Attempt {
  abortSignal: AbortSignal;
  /** Count the deadline from now on: the body moved. */
  kick(): void;
}

/** Say how the requests to a store are sent. */
export interface RequestsOptions {
  clock: Clock;
  /** The store, for messages. */
  url: string;
  /** How long a request may be silent, in milliseconds. */
  timeoutMs: number;
  /** Make an error that the reader can act on of what the library threw. */
  toStoreError: (error: unknown, what: string) => unknown;
  /** Tell whether the same request, sent again a moment later, may succeed. */
  isTransient: (error: unknown) => boolean;
}

/** Send requests: each attempt with a deadline, transient failures again after a wait, and every failure as a CdhError. */
export class Requests {
  readonly #options: RequestsOptions;

  constructor(options: RequestsOptions) {
    this.#options = options;
  }

  /** How long a request may be silent, in milliseconds. */
  get timeoutMs(): number {
    return this.#options.timeoutMs;
  }

  /**
   * Run a request; it is made for each attempt anew, because a body can be read only once.
   * @throws {CdhError} of the CDH_STORE family; the signal's reason when aborted
   */
  async send<Output>(request: (attempt: Attempt) => Promise<Output>, options: SendOptions): Promise<Output> {
    const { clock, isTransient } = this.#options;
    const { attempts = 4, signal } = options;
    return await retrying(() => this.#attempt(request, options), {
      clock,
      attempts,
      baseMs: 200,
      capMs: 5000,
      isTransient,
      signal,
    });
  }

  async #attempt<Output>(request: (attempt: Attempt) => Promise<Output>, options: SendOptions): Promise<Output> {
    const { url, toStoreError } = this.#options;
    const { what, signal, deadlineMs = this.timeoutMs } = options;
    signal?.throwIfAborted();
    const attempt = new AbortController();
    const onStop = (): void => attempt.abort(signal?.reason);
    signal?.addEventListener("abort", onStop, { once: true });
    const timer = setTimeout(() => {
      const seconds = Math.round(deadlineMs / 1000);
      attempt.abort(
        new CdhError("CDH_STORE_UNREACHABLE", `cannot ${what} in ${url}: no answer in ${seconds} s`, {
          details: { deadlineMs },
          hint: "check the endpoint and the network",
        }),
      );
    }, timerMs(deadlineMs));
    try {
      const answer = request({ abortSignal: attempt.signal, kick: () => void timer.refresh() });
      return await Promise.race([answer, rejectWhenAborted(attempt.signal, answer)]);
    } catch (error) {
      if (attempt.signal.aborted) throw attempt.signal.reason;
      throw tryExplainTooLong(error, what, url) ?? toStoreError(error, what);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onStop);
    }
  }
}

/** Reject when the attempt is over, because a library may not look at the signal: getting a token can take it a minute. */
function rejectWhenAborted(signal: AbortSignal, answer: Promise<unknown>): Promise<never> {
  // Nobody else listens to an answer that comes too late.
  answer.catch(() => {});
  return new Promise((_resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

/** What the library threw, below our own error. */
export function causeOf(error: unknown): unknown {
  return error instanceof CdhError ? error.cause : error;
}
