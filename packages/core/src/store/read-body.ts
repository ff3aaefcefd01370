import { ownedItems } from "../async/owned-items.ts";
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

/**
 * Read the body of an answer chunk by chunk; each chunk extends the deadline, and a reader may stop early. The deadline
 * runs from the call: the connection of a body that nobody reads is closed with it, or when the body is forgotten.
 */
export function readBody(body: AsyncIterable<unknown>, options: ReadBodyOptions): AsyncIterable<Uint8Array> {
  const { what, timeoutMs, stop, signal } = options;
  const fail = (reason: string, cause?: unknown): CdhError =>
    new CdhError("CDH_STORE_UNREACHABLE", `cannot read ${what}: ${reason}`, { cause });
  const end = (): void => {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onStop);
    // A reader that stops early must not leave the connection half-read.
    (body as { destroy?: () => void }).destroy?.();
  };
  const timer = setTimeout(() => {
    stop.abort(fail(`nothing came for ${timeoutMs / 1000} s`));
  }, timerMs(timeoutMs)).unref();
  const onStop = (): void => stop.abort(signal?.reason);
  signal?.addEventListener("abort", onStop, { once: true });
  return ownedItems(
    chunksOf(body, options, () => timer.refresh(), fail),
    end,
  );
}

async function* chunksOf(
  body: AsyncIterable<unknown>,
  { stop, maxBytes }: ReadBodyOptions,
  moved: () => void,
  fail: (reason: string, cause: unknown) => CdhError,
): AsyncGenerator<Uint8Array> {
  let left = maxBytes ?? Number.POSITIVE_INFINITY;
  try {
    for await (const chunk of body) {
      moved();
      // Asked only when more comes: a body that is read to its end leaves its connection to the next request.
      if (left === 0) return;
      const wanted = (chunk as Uint8Array).subarray(0, left);
      left -= wanted.length;
      yield wanted;
    }
  } catch (error) {
    throw stop.signal.aborted ? stop.signal.reason : fail("connection lost", error);
  }
}

/** A body without a byte. */
export async function* nothing(): AsyncIterable<Uint8Array> {}
