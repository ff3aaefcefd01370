import type { S3Client } from "@aws-sdk/client-s3";
import type { Clock } from "../clock.ts";
import { CdhError } from "../errors.ts";
import { retrying } from "./backoff.ts";
import { isTransient, toStoreError } from "./s3-errors.ts";

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
  client: S3Client;
  abortSignal: AbortSignal;
  /** Count the deadline from now on: the body moved. */
  kick(): void;
}

/**
 * Send requests: each attempt with a deadline, transient failures again after a wait, and every failure as a CdhError.
 */
export class S3Requests {
  readonly client: S3Client;
  readonly #clock: Clock;
  readonly #url: string;
  /** How long a request may be silent, in milliseconds. */
  readonly timeoutMs: number;

  constructor(client: S3Client, options: { clock: Clock; url: string; timeoutMs: number }) {
    this.client = client;
    this.timeoutMs = options.timeoutMs;
    this.#clock = options.clock;
    this.#url = options.url;
  }

  /**
   * Run a request; it is made for each attempt anew, because a body can be read only once.
   * @throws {CdhError} of the CDH_STORE family; the signal's reason when aborted
   */
  async send<Output>(request: (attempt: Attempt) => Promise<Output>, options: SendOptions): Promise<Output> {
    const { attempts = 4, signal } = options;
    return await retrying(() => this.#attempt(request, options), {
      clock: this.#clock,
      attempts,
      baseMs: 200,
      capMs: 5000,
      isTransient,
      signal,
    });
  }

  async #attempt<Output>(request: (attempt: Attempt) => Promise<Output>, options: SendOptions): Promise<Output> {
    const { what, signal, deadlineMs = this.timeoutMs } = options;
    signal?.throwIfAborted();
    const attempt = new AbortController();
    const onStop = (): void => attempt.abort(signal?.reason);
    signal?.addEventListener("abort", onStop, { once: true });
    const timer = setTimeout(() => {
      attempt.abort(
        new CdhError(
          "CDH_STORE_UNREACHABLE",
          `cannot ${what} in ${this.#url}: no answer in ${Math.round(deadlineMs / 1000)} s`,
          {
            details: { deadlineMs },
            hint: "check the endpoint and the network",
          },
        ),
      );
    }, deadlineMs);
    try {
      return await request({ client: this.client, abortSignal: attempt.signal, kick: () => void timer.refresh() });
    } catch (error) {
      if (attempt.signal.aborted) throw attempt.signal.reason;
      throw toStoreError(error, what, this.#url);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onStop);
    }
  }
}
