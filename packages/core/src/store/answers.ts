import { Transform } from "node:stream";
import { CdhError } from "../base/errors.ts";

/**
 * Bounds on an answer that is held in memory, of any store: everything but an object's content. The longest honest ones are
 * a page of a listing (a thousand keys of a kilobyte, each byte of which XML may write as six) and a list of 50,000 blocks.
 */
const ANSWER_LIMITS = { bytes: 8 * 1024 * 1024, tags: 400_000 };

const TAG = 0x3c;

/** Says that an answer was cut off because it did not end, or was made up to fill memory. Never worth another try. */
export class AnswerTooLong extends Error {
  override readonly name = "AnswerTooLong";
}

/** Counts an answer while it arrives, before anybody parses it. */
export class AnswerMeter {
  readonly #maxBytes: number;
  #bytes = 0;
  #tags = 0;

  /** @param maxBytes the store's own, where it knows less to be enough */
  constructor(maxBytes = ANSWER_LIMITS.bytes) {
    this.#maxBytes = Math.min(maxBytes, ANSWER_LIMITS.bytes);
  }

  /**
   * Count a piece.
   * @throws {AnswerTooLong} when it is more than any answer has: a parser takes a hundred bytes and more for each tag
   */
  take(piece: Uint8Array): void {
    this.#bytes += piece.length;
    if (this.#bytes > this.#maxBytes) throw new AnswerTooLong(`the answer is longer than ${this.#maxBytes} bytes`);
    for (let at = piece.indexOf(TAG); at >= 0; at = piece.indexOf(TAG, at + 1)) this.#tags += 1;
    if (this.#tags > ANSWER_LIMITS.tags)
      throw new AnswerTooLong(`the answer has more than ${ANSWER_LIMITS.tags} elements`);
  }
}

/**
 * Read a whole answer as text.
 * @throws {AnswerTooLong} then the connection is closed
 */
export async function readAnswer(body: AsyncIterable<unknown>, maxBytes?: number): Promise<string> {
  const meter = new AnswerMeter(maxBytes);
  const chunks: Uint8Array[] = [];
  // A stream is destroyed when its loop is left.
  for await (const chunk of body) {
    meter.take(chunk as Uint8Array);
    chunks.push(chunk as Uint8Array);
  }
  return Buffer.concat(chunks).toString();
}

/** Hand an answer's body on to a library that reads it whole, as far as the bounds go. */
export function boundedBody(body: NodeJS.ReadableStream): NodeJS.ReadableStream {
  const meter = new AnswerMeter();
  const counter = new Transform({
    transform: (chunk: Buffer, _encoding, done) => {
      try {
        meter.take(chunk);
        done(null, chunk);
      } catch (error) {
        done(error as Error);
      }
    },
  });
  const source = body as NodeJS.ReadableStream & { destroy(error?: Error): void };
  source.on("error", (error: Error) => counter.destroy(error));
  // A connection that breaks off says so by closing, without an end.
  source.on("close", () => {
    if (!counter.writableEnded) counter.destroy(new Error("the connection was closed before the answer ended"));
  });
  counter.on("close", () => source.destroy());
  return source.pipe(counter);
}

/** Tell that an answer was too long, whatever a library made of it; undefined when it was not that. */
export function tryExplainTooLong(error: unknown, what: string, where: string): CdhError | undefined {
  // A library's error names what caused it, and that one names another: not without end.
  let cause = error;
  for (let depth = 0; depth < 8 && cause instanceof Error; depth += 1, { cause } = cause) {
    if (!(cause instanceof AnswerTooLong)) continue;
    return new CdhError("CDH_STORE", `cannot ${what} in ${where}: ${cause.message}`, {
      cause,
      hint: "is this a server of that kind? is there a proxy between it and this program?",
    });
  }
  return undefined;
}
