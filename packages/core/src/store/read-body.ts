import { timerMs } from "../base/clock.ts";
import { CdhError } from "../base/errors.ts";

/** Say how a body is read. */
export interface ReadBodyOptions {
  /** What is read, for messages: `team-a/x.zip in s3://cores`. */
  what: string;
  /** How long nothing may come, in milliseconds. */
  timeoutMs: number;
  /** Ends the request; aborted here when nothing comes. */
  stop: AbortController;
  signal: AbortSignal | undefined;
  /** Bytes that were asked for: no more are taken, though a server that ignores the range would send everything. */
  maxBytes?: number | undefined;
}

/** Read the body of an answer chunk by chunk; each chunk extends the deadline, and a reader may stop early. */
export async function* readBody(body: AsyncIterable<unknown>, options: ReadBodyOptions): AsyncIterable<Uint8Array> {
  const { what, timeoutMs, stop, signal, maxBytes } = options;
  let left = maxBytes ?? Number.POSITIVE_INFINITY;
  const fail = (reason: string, cause?: unknown): CdhError =>
    new CdhError("CDH_STORE_UNREACHABLE", `cannot read ${what}: ${reason}`, { cause });
  const timer = setTimeout(() => stop.abort(fail(`nothing came for ${timeoutMs / 1000} s`)), timerMs(timeoutMs));
  const onStop = (): void => stop.abort(signal?.reason);
  signal?.addEventListener("abort", onStop, { once: true });
  try {
    for await (const chunk of body) {
      timer.refresh();
      // Asked only when more comes: a body that is read to its end leaves its connection to the next request.
      if (left === 0) return;
      const wanted = (chunk as Uint8Array).subarray(0, left);
      left -= wanted.length;
      yield wanted;
    }
  } catch (error) {
    throw stop.signal.aborted ? stop.signal.reason : fail("connection lost", error);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onStop);
    // A reader that stops early must not leave the connection half-read.
    (body as { destroy?: () => void }).destroy?.();
  }
}

/** A body without a byte. */
export async function* nothing(): AsyncIterable<Uint8Array> {}
